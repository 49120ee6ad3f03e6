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
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.cluster import PARENT
from cloud_train.sagemaker import CHANNEL

from .folders import LOG, SPEC, STATUS, STOP, UNDER_WAY, Status, read_status, write_status
from .spec import GRACE_SECONDS, JobSpec

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class End:
    """How one attempt ended: the status that the job would have, why, and whether it may be started again."""

    status: str
    reason: str = ""
    again: bool = False


def main(place: Path, grace_seconds: float = GRACE_SECONDS) -> None:
    """Lead a job from its start to its end."""
    signal.signal(signal.SIGTERM, lambda *_: (place / STOP).touch())
    if PARENT in os.environ:
        threading.Thread(target=_end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
    spec = msgspec.json.decode((place / SPEC).read_bytes(), type=JobSpec)
    environment = _laid_out(place / "ml", spec)
    status = _taken_up(place)
    deadline = time.monotonic() + spec.max_seconds
    end = End("Failed", f"{spec.name} was lost with its node", again=True)
    while status.restarts <= spec.restarts:
        end = _attempt(place, spec, environment, status, deadline=deadline, grace_seconds=grace_seconds)
        if not end.again or status.restarts >= spec.restarts:
            break
        status = replace(status, restarts=status.restarts + 1)
        _say(f"{end.reason}; it is started again ({status.restarts} of {spec.restarts})")
    many = f", after {status.restarts} restarts" if end.again and spec.restarts else ""
    write_status(place, replace(read_status(place), status=end.status, reason=f"{end.reason}{many}"))


def _end_with(parent: int) -> None:
    """End this process and its job, which are one group, when the process is gone that started them."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _taken_up(place: Path) -> Status:
    """Begin; where a supervisor was lost with its node while the job ran, that counts as a restart."""
    before = read_status(place) if (place / STATUS).is_file() else Status(0)
    lost = before.status in UNDER_WAY and before.process != 0
    return Status(os.getpid(), restarts=before.restarts + lost)


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
) -> End:
    """Run the job once, to its end or to ours."""
    failure = place / "ml" / "output" / "failure"
    failure.unlink(missing_ok=True)
    command = [sys.executable, *spec.program, *spec.command]
    with subprocess.Popen(command, env=environment) as job:
        write_status(place, replace(status, process=job.pid))
        size, spoke = -1, time.monotonic()
        while job.poll() is None:
            if (place / STOP).exists() or time.monotonic() > deadline:
                write_status(place, replace(status, status="Stopping", process=job.pid))
                _end(job, grace_seconds)
                return End("Stopped", "" if (place / STOP).exists() else "its time was over")
            if (now := (place / LOG).stat().st_size) != size:  # its time would be that of a file server's clock
                size, spoke = now, time.monotonic()
            if spec.hang_seconds and time.monotonic() - spoke > spec.hang_seconds:
                _end(job, 0.0)
                return End("Failed", f"{spec.name} hangs: it said nothing for {spec.hang_seconds:g} s", again=True)
            time.sleep(POLL_SECONDS)
    if job.returncode == 0:
        return End("Completed")
    if failure.is_file():  # what the job says itself will be so the next time
        return End("Failed", failure.read_text(encoding="utf-8"))
    return End("Failed", f"{spec.name} died ({_code(job.returncode)})", again=True)


def _end(job: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Ask a job to end, and kill it where it does not."""
    if grace_seconds:
        job.terminate()
    try:
        job.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


def _code(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(os.environ.get("TOUCHLINE_GRACE_SECONDS", GRACE_SECONDS)))
