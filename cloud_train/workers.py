"""Several workers train one model together: started, watched, and started again where one is lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from . import cluster, stop
from .atomic import write_atomically
from .parallel import Engine, ray_cluster
from .progress import console
from .recordings import TrainingError

ATTEMPTS = 3
GRACE_SECONDS = 60.0
"""How long the others may take to notice that one of them is gone, or that a stop was asked for."""


class LocalWorker:
    """A process on this machine that trains with others; what all but the chief say goes to a log file."""

    def __init__(self, log: Path | None) -> None:
        self._log = log
        self.address = f"127.0.0.1:{_free_port('127.0.0.1')}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Begin."""
        environment = {**os.environ, **environment, cluster.PARENT: str(os.getpid())}
        with ExitStack() as files:
            log = None if self._log is None else files.enter_context(self._log.open("ab"))
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def poll(self) -> int | None:
        """Give the exit code, None while it runs."""
        return None if self._process is None else self._process.poll()

    def end(self, *, gently: bool) -> None:
        """End it: gently with SIGTERM, so that it saves first."""
        if self._process is not None and self._process.poll() is None:
            (self._process.terminate if gently else self._process.kill)()


class RayWorker:
    """An actor on a Ray cluster that runs a worker's process; all see the same file system."""

    def __init__(self, log: Path | None) -> None:
        self._ray = ray_cluster()
        self._actor = self._ray.remote(max_concurrency=4)(LocalWorker).remote(log)
        port = self._ray.get(self._actor.__ray_call__.remote(lambda worker: worker.address)).rpartition(":")[2]
        host = self._ray.get(self._actor.__ray_call__.remote(lambda _: _node_address()))
        self.address = f"{host}:{port}"

    def start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Begin."""
        self._ray.get(self._actor.start.remote(command, environment))

    def poll(self) -> int | None:
        """Give the exit code, None while it runs; -9 when the actor is gone."""
        try:
            code: int | None = self._ray.get(self._actor.poll.remote())
        except self._ray.exceptions.RayActorError:
            return -9
        return code

    def end(self, *, gently: bool) -> None:
        """End it: gently with SIGTERM, so that it saves first."""
        try:
            self._ray.get(self._actor.end.remote(gently=gently))
        except self._ray.exceptions.RayActorError:
            return


def train_together(command: Sequence[str], count: int, run: Path, engine: Engine = "local") -> None:
    """Run `command` in `count` processes that train together, on this machine or on a Ray cluster, until all are done.

    Each is told by TF_CONFIG who the others are. When one is lost all are started again, and go on from their
    checkpoint in `run`. TrainingError after three attempts; Stopped when a stop was asked for.
    """
    (run / "workers").mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        failed = _attempt(command, count, run, engine)
        if failed is None:
            _agree(run, count)
            return
        if attempt < ATTEMPTS:
            console.print(
                f"a worker was lost (exit code {failed}); all go on from the last checkpoint", highlight=False
            )
    msg = f"{run}: training with {count} workers failed {ATTEMPTS} times (exit code {failed}); see {run / 'workers'}"
    raise TrainingError(msg)


def _attempt(command: Sequence[str], count: int, run: Path, engine: Engine) -> int | None:
    """Start all and wait; return the exit code of the first that failed, None if none did."""
    kind: Any = RayWorker if engine == "ray" else LocalWorker
    members = [kind(run / "workers" / f"{i}.log" if i else None) for i in range(count)]
    addresses = [member.address for member in members]
    for i, member in enumerate(members):
        member.start(command, {"TF_CONFIG": cluster.tf_config(addresses, i)})
    failed, deadline = None, float("inf")
    while None in (codes := [member.poll() for member in members]):
        failed = failed or next((code for code in codes if code), None)
        if (failed or stop.requested()) and deadline == float("inf"):
            deadline = time.monotonic() + GRACE_SECONDS
            for member in members if stop.requested() else ():
                member.end(gently=True)
        if time.monotonic() > deadline:
            for member in members:
                member.end(gently=False)
        time.sleep(0.2)
    if stop.requested():
        msg = f"{run}: stopped as asked"
        raise stop.Stopped(msg)
    return failed or next((code for code in codes if code), None)


def record(run: Path, weights_sha256: str) -> None:
    """Leave what this worker came to, for comparison with the others."""
    write_atomically(run / "workers" / f"{cluster.index()}.json", msgspec.json.encode(weights_sha256))


def _agree(run: Path, count: int) -> None:
    found = {msgspec.json.decode((run / "workers" / f"{i}.json").read_bytes()) for i in range(count)}
    if len(found) > 1:
        msg = f"{run}: the workers ended with different weights; nothing of this run can be trusted"
        raise TrainingError(msg)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


def _node_address() -> str:
    import ray

    address: str = ray.util.get_node_ip_address()
    return address


def fit_command(modality: str, data: Path, out: Path, options: Sequence[str]) -> list[str]:
    """Give the command line of one worker."""
    return [sys.executable, "-m", "cloud_train", "fit", modality, "--data", str(data), "--out", str(out), *options]
