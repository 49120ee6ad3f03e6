"""The life of one local job, as SageMaker leads it: `python -m cloud_train.pipelines.jobs.supervise FOLDER`.

It lays out `/opt/ml` in the job's folder, sets the `SM_...` variables, starts the job, sends SIGTERM and after 120
seconds SIGKILL where it is asked to stop or the time is over, and starts it again in its own checkpoints where it died
or hangs, within its budget.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.sagemaker import CHANNEL
from cloud_train.workers import PARENT

from .local import LOG, SPEC, STOP, Status, read_status, write_status
from .spec import GRACE_SECONDS, JobSpec

POLL_SECONDS = 0.2


class Ended(Exception):  # noqa: N818 - an end need not be an error
    """A job's last word: its status, and the reason where it failed."""

    def __init__(self, status: str, reason: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def main(place: Path, grace_seconds: float = GRACE_SECONDS) -> None:
    """Lead a job from its start to its end."""
    signal.signal(signal.SIGTERM, lambda *_: (place / STOP).touch())
    spec = msgspec.json.decode((place / SPEC).read_bytes(), type=JobSpec)
    environment = _laid_out(place / "ml", spec)
    status = Status(os.getpid())
    deadline = time.monotonic() + spec.max_seconds
    try:
        while True:
            why = _attempt(place, spec, environment, status, deadline=deadline, grace_seconds=grace_seconds)
            if status.restarts >= spec.restarts:
                raise Ended("Failed", f"{why}, after {status.restarts} restarts" if spec.restarts else why)
            status = replace(status, restarts=status.restarts + 1)
            _say(f"{why}; it is started again ({status.restarts} of {spec.restarts})")
    except Ended as end:
        write_status(place, replace(read_status(place), status=end.status, reason=end.reason))


def _laid_out(base: Path, spec: JobSpec) -> dict[str, str]:
    """Make the folders of a container and give the variables that name them."""
    for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        (base / name).mkdir(parents=True, exist_ok=True)
    hosts = {"current_host": "algo-1", "hosts": ["algo-1"]}
    write_atomically(base / "input" / "config" / "resourceconfig.json", json.dumps(hosts).encode())
    write_atomically(base / "input" / "config" / "hyperparameters.json", b"{}")
    ours = {
        "SAGEMAKER_BASE_DIR": str(base), "SM_MODEL_DIR": str(base / "model"), "SM_HPS": "{}",
        "SM_OUTPUT_DATA_DIR": str(base / "output" / "data"), "SM_HOSTS": '["algo-1"]', "SM_CURRENT_HOST": "algo-1",
        "TRAINING_JOB_NAME": spec.name, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    if spec.channel:
        ours[f"SM_CHANNEL_{CHANNEL.upper()}"] = spec.channel
        link = base / "input" / "data" / CHANNEL
        link.unlink(missing_ok=True)
        link.symlink_to(spec.channel)
    return {**os.environ, **ours, **spec.environment}


def _attempt(
    place: Path, spec: JobSpec, environment: dict[str, str], status: Status, *, deadline: float, grace_seconds: float
) -> str:
    """Run the job once; give the reason where it may be started again, raise Ended where it may not."""
    failure = place / "ml" / "output" / "failure"
    failure.unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-m", "cloud_train.pipelines.contained", *spec.command], env=environment) as job:
        write_status(place, replace(status, process=job.pid))
        began = time.time()
        while job.poll() is None:
            if (place / STOP).exists() or time.monotonic() > deadline:
                write_status(place, replace(status, status="Stopping", process=job.pid))
                raise _stopped(job, grace_seconds, over=not (place / STOP).exists())
            silent = time.time() - max(began, (place / LOG).stat().st_mtime)
            if spec.hang_seconds and silent > spec.hang_seconds:
                job.kill()
                job.wait()
                return f"{spec.name} hangs: it said nothing for {spec.hang_seconds:g} s"
            time.sleep(POLL_SECONDS)
    if job.returncode == 0:
        raise Ended("Completed")
    reason = failure.read_text(encoding="utf-8") if failure.is_file() else ""
    if reason:  # what the job says itself will be so the next time
        raise Ended("Failed", reason)
    return f"{spec.name} died ({_code(job.returncode)})"


def _stopped(job: subprocess.Popen[bytes], grace_seconds: float, *, over: bool) -> Ended:
    job.terminate()
    try:
        job.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()
    return Ended("Stopped", "its time was over" if over else "")


def _code(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(os.environ.get("TOUCHLINE_GRACE_SECONDS", GRACE_SECONDS)))
