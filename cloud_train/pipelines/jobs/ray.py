"""Jobs on a Ray cluster, in folders of a storage that all its nodes and this machine see.

The supervisor of a job hangs on a detached actor: it outlives the step that started it, and Ray starts it again on
another node when its own is lost, where the job goes on in its checkpoints.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloud_train.aws import CloudError
from cloud_train.cluster import PARENT
from cloud_train.recordings import DataError

from .folders import FolderJobs, Status, led, write_status
from .spec import NODE, JobSpec

NAMESPACE = "touchline"
ANSWER_SECONDS = 10.0
CLIENT_PORT = 10001
"""Where a cluster listens for `ray://HOST`, Ray's own default."""


def ray_jobs(cloud: Mapping[str, str]) -> FolderJobs:
    """Give the jobs of a cluster, below its storage."""
    return FolderJobs(jobs_folder(cloud), Actors(cloud))


def jobs_folder(cloud: Mapping[str, str]) -> Path:
    """Say where the folders of jobs are; DataError where no storage that nodes share was named."""
    storage = Path(named(cloud, "storage"))
    if not storage.is_absolute() or not storage.is_dir():
        msg = f"storage={storage}: must be the absolute path of a folder that is there, here and on all nodes"
        raise DataError(msg)
    return storage / "jobs"


def named(cloud: Mapping[str, str], what: str) -> str:
    """Give what a cluster must be known by; DataError where it was not set."""
    if not cloud.get(what):
        msg = f"--on ray needs {what}: give --set {what}=..., as docs/pipelines.md says"
        raise DataError(msg)
    return cloud[what]


class Actors:
    """Supervisors as detached actors, named like their jobs."""

    def __init__(self, cloud: Mapping[str, str]) -> None:
        self._address, self._data = named(cloud, "address"), jobs_folder(cloud).with_name("data")

    def prepared(self, spec: JobSpec) -> JobSpec:
        """Copy the channel into the storage, once for all jobs that have the same."""
        channel = Path(spec.channel).resolve()
        if not spec.channel or channel.is_relative_to(self._data.parent.resolve()):
            return spec
        from cloud_train.pipelines.step import tree_sha256

        shared = self._data / tree_sha256(channel)[:16]
        if not shared.is_dir():
            scratch = shared.with_name(f".{shared.name}")
            shutil.copytree(channel, scratch, dirs_exist_ok=True)
            scratch.rename(shared)
        return replace(spec, channel=str(shared))

    def begin(self, place: Path, spec: JobSpec) -> None:
        """Create the actor, which waits for its turn where the cluster is full."""
        ray = connected(self._address)
        write_status(place, Status(0))
        ray.remote(Supervisor).options(
            name=place.name, namespace=NAMESPACE, lifetime="detached", max_restarts=-1, scheduling_strategy="SPREAD",
            num_cpus=spec.cpus, num_gpus=spec.gpus,
        ).remote(str(place))  # fmt: skip

    def lives(self, place: Path, status: Status) -> bool:  # noqa: ARG002 - the cluster says it
        """Say whether the actor is there; its supervisor, and then the job, end when it does."""
        try:
            connected(self._address).get_actor(place.name, namespace=NAMESPACE)
        except ValueError:
            return False
        return True


class Supervisor:
    """The actor: lives as long as the supervisor that it starts on its node."""

    def __init__(self, place: str) -> None:
        import ray

        ours = {PARENT: str(os.getpid()), NODE: ray.util.get_node_ip_address()}
        child = led(Path(place), {**os.environ, **ours})
        threading.Thread(target=_follow, args=(child,), daemon=True).start()


def _follow(child: subprocess.Popen[bytes]) -> None:
    """End the actor for good, and so that what it set aside is free, when its supervisor has ended."""
    import ray

    child.wait()
    with contextlib.suppress(ProcessLookupError):  # what one that was killed left behind
        os.killpg(child.pid, signal.SIGKILL)
    ray.kill(ray.get_runtime_context().current_actor)


def connected(address: str) -> Any:  # noqa: ANN401 - the module
    """Give Ray, connected to the cluster; CloudError where that cannot be reached."""
    try:
        import ray
    except ModuleNotFoundError:
        msg = "--on ray needs Ray, which is not installed: pip install 'touchline[ray]'"
        raise DataError(msg) from None
    if ray.is_initialized():
        return ray
    _require_answer(address)
    ours = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        msg = f"address={address}: the Ray cluster cannot be joined from here ({first})"
        raise CloudError(msg) from None
    finally:
        signal.signal(signal.SIGTERM, ours)  # Ray's ends the process at once
    return ray


def _require_answer(address: str) -> None:
    """Ask once whether anybody listens: Ray itself would ask for minutes, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address.startswith("ray://") and not host:
        host, port = port, str(CLIENT_PORT)
    if not host or not port.isdecimal():
        msg = f"address={address}: is no address of a Ray cluster; it must look like HOST:6379 or ray://HOST:10001"
        raise DataError(msg)
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        msg = f"address={address}: no Ray cluster answers there ({reason}); does it run?"
        raise CloudError(msg) from None
