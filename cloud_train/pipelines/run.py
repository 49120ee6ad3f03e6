"""Run a pipeline on this machine: the compiled YAML through kfp's local runner, in a process that may be killed.

What steps make is kept under the hash of what went into it, so that the same call goes on where a killed one stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from secrets import token_hex

import psutil

from cloud_train import stop
from cloud_train.progress import console
from cloud_train.provenance import PIPELINE_RUN, git_commit
from cloud_train.recordings import DataError

from .catalogue import Order, compile_to
from .execute import OUTPUT
from .jobs.local import JOBS_FOLDER
from .picture import tasks
from .record import EVENTS, JOBS, LOG, RUNS, STORE, YAML, Record, Step, events, follow, now, records, steps
from .step import LOG as STEP_LOG
from .step import STOP, code_sha256
from .step import STORE as STEP_STORE

END_SECONDS = 150.0
"""How long steps may take to end once a stop was asked for; jobs have 120 seconds of it, as in SageMaker."""


def run(wanted: Order, out: Path) -> tuple[Record, dict[str, Step]]:
    """Run a pipeline below `out`, or go on with its last run that did not end well; give its record and its steps."""
    out = out.absolute()
    (out / STORE).mkdir(parents=True, exist_ok=True)
    with _alone(out):
        folder, record = _begun(wanted, out)
        (folder / STOP).unlink(missing_ok=True)
        compile_to(wanted, folder / YAML)
        record = replace(record, tasks=tuple(tasks(folder / YAML)))
        record.save(folder)
        before = len(list(events(folder)))
        with (folder / LOG).open("ab") as log:
            command = [sys.executable, "-m", "cloud_train.pipelines.execute", str(folder)]
            # A session of its own: Ctrl-C reaches this process alone, which ends the others in order.
            child = subprocess.Popen(
                command, env=_environment(out, folder, record), stdout=log, stderr=log, start_new_session=True
            )
        stopped = _watched(child, folder, record, before)
        state = "stopped" if stopped else "done" if child.returncode == 0 else "failed"
        output = json.loads((folder / OUTPUT).read_bytes()) if state == "done" else None
        record = replace(record, state=state, ended=now(), output=output)
        record.save(folder)
        return record, steps(folder)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"{out}: another run is under way there; wait for it, or name another folder"
            raise DataError(msg) from None
        yield


def _begun(wanted: Order, out: Path) -> tuple[Path, Record]:
    """Take up the last run of the same order that is not done, or begin one."""
    same = [
        (folder, record)
        for folder, record in records(out)
        if (record.pipeline, record.on, record.shape, record.arguments)
        == (wanted.pipeline, wanted.on, dict(wanted.shape), dict(wanted.arguments))
    ]
    commit, code = git_commit(), code_sha256()
    if same and same[-1][1].state != "done":
        folder, record = same[-1]
        console.print(f"goes on with run {record.id}", highlight=False)
        return folder, replace(
            record, state="running", starts=record.starts + 1, pid=os.getpid(), commit=commit, code_sha256=code
        )
    name = f"{wanted.pipeline}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{token_hex(2)}"
    folder = out / RUNS / name
    folder.mkdir(parents=True)
    return folder, Record(
        name, wanted.pipeline, wanted.on, dict(wanted.shape), dict(wanted.arguments), started=now(), pid=os.getpid(),
        commit=commit, code_sha256=code,
    )  # fmt: skip


def _environment(out: Path, folder: Path, record: Record) -> dict[str, str]:
    ours = {
        STEP_STORE: str(out / STORE), STEP_LOG: str(folder / EVENTS), PIPELINE_RUN: record.id,
        JOBS_FOLDER: str(out / JOBS), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    return {**os.environ, **ours}


def _watched(child: subprocess.Popen[bytes], folder: Path, record: Record, before: int) -> bool:
    """Say what steps do until the run ends; True where it was ended because a stop was asked for."""
    deadline, seen = float("inf"), before
    found: dict[str, Step] = {}
    with console.status(f"{record.pipeline}: starting") as line:
        while True:
            ended = child.poll() is not None
            try:
                if stop.requested() and deadline == float("inf"):
                    deadline = time.monotonic() + END_SECONDS
                    _end_steps(child, folder)
                if time.monotonic() > deadline:
                    child.kill()
                for event in list(events(folder))[seen:]:
                    seen += 1
                    found = follow(found, event)
                    _tell(found[event["step"]])
                    line.update(_now(found, record))
                if ended:
                    return deadline < float("inf")
                time.sleep(0.2)
            except KeyboardInterrupt:
                console.print("stopping: steps save what they have, jobs are stopped", highlight=False)
                stop.ask()


def _tell(step: Step) -> None:
    if step.state == "started":
        return
    took = {"done": f"done in {step.seconds:.1f} s", "kept": "kept from before"}.get(step.state, step.state)
    why = f": {step.reason}" if step.reason else ""
    console.print(f"{step.name}: {took}{why}", highlight=False, soft_wrap=True)


def _now(found: dict[str, Step], record: Record) -> str:
    over = sum(step.state in ("done", "kept") for step in found.values())
    running = ", ".join(step.name for step in found.values() if step.state == "started")
    return f"{record.pipeline}: {over} of {len(record.tasks)} steps{f', now {running}' if running else ''}"


def _end_steps(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Let no step begin any more, but those that clean up, and ask those that run to end."""
    (folder / STOP).touch()
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(child.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() != "sh":  # kfp's shell would end before its step has
                    process.send_signal(signal.SIGTERM)
