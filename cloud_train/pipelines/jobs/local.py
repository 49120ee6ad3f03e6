"""Jobs as processes of this machine, in folders shaped like SageMaker's containers.

Each has a supervisor (`supervise`), which goes on when the pipeline's step that started it is over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.recordings import DataError

from .spec import Description, JobSpec

JOBS_FOLDER = "TOUCHLINE_JOBS"
"""The environment variable that names the folder of this machine's jobs."""
SPEC, STATUS, LOG, STOP = "job.json", "status.json", "log.txt", "stop"


@dataclass(frozen=True)
class Status:
    """What a supervisor writes down: its own process, that of the job, and how the job stands."""

    supervisor: int
    status: str = "InProgress"
    process: int = 0
    restarts: int = 0
    reason: str = ""


class LocalJobs:
    """Jobs below a folder, one folder each, by name."""

    def __init__(self, folder: str | Path = "") -> None:
        self.folder = Path(folder or os.environ.get(JOBS_FOLDER) or "jobs").absolute()

    def start(self, spec: JobSpec) -> str:
        """Begin a job in a session of its own; one that is there already stays, one that failed begins again."""
        place = self.folder / spec.name
        if (place / STATUS).is_file() and self.describe(spec.name).status in ("InProgress", "Completed"):
            return spec.name
        place.mkdir(parents=True, exist_ok=True)
        (place / STOP).unlink(missing_ok=True)
        write_atomically(place / SPEC, msgspec.json.encode(spec))
        command = [sys.executable, "-m", "cloud_train.pipelines.jobs.supervise", str(place)]
        with (place / LOG).open("ab") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        write_status(place, Status(child.pid))
        child.returncode = 0  # nobody waits for it here: it outlives this process
        return spec.name

    def describe(self, job: str) -> Description:
        """Say how a job stands; Failed where its supervisor is gone without a word."""
        status = read_status(self._place(job))
        if status.status in ("InProgress", "Stopping") and not alive(status.supervisor):
            status = replace(status, status="Failed", reason="its supervisor was killed")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(status.supervisor, signal.SIGKILL)
        return Description(job, status.status, status.restarts, status.reason)

    def stop(self, job: str) -> None:
        """Ask a job to end: SIGTERM, and SIGKILL after 120 seconds."""
        status = read_status(self._place(job))
        if status.status == "InProgress":
            (self._place(job) / STOP).touch()  # the supervisor looks for it; a signal might come before it is ready

    def names(self, prefix: str) -> list[str]:
        """Give the names of the jobs that begin with `prefix`."""
        return sorted(file.parent.name for file in self.folder.glob(f"{prefix}*/{SPEC}"))

    def log(self, job: str, seen: Any) -> tuple[list[str], Any]:  # noqa: ANN401 - a position in the file
        """Give the whole lines that came since."""
        file = self._place(job) / LOG
        with file.open("rb") as content:
            content.seek(seen or 0)
            data = content.read()
        whole = data[: data.rfind(b"\n") + 1]
        return whole.decode(errors="replace").splitlines(), (seen or 0) + len(whole)

    def fetch(self, job: str, folder: str) -> None:
        """Copy the files of the model folder."""
        shutil.copytree(self._place(job) / "ml" / "model", folder, dirs_exist_ok=True)

    def _place(self, job: str) -> Path:
        place = self.folder / job
        if not (place / SPEC).is_file():
            msg = f"job {job!r} is not known in {self.folder}"
            raise DataError(msg)
        return place


def alive(process: int) -> bool:
    """Say whether a process runs: one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_status(place: Path) -> Status:
    """Read what a supervisor wrote last; wait a moment for the first word."""
    for _ in range(50):
        if (place / STATUS).is_file():
            return msgspec.json.decode((place / STATUS).read_bytes(), type=Status)
        time.sleep(0.1)
    return Status(0, "Failed", reason="it never began")


def write_status(place: Path, status: Status) -> None:
    """Write down how a job stands."""
    write_atomically(place / STATUS, msgspec.json.encode(status))
