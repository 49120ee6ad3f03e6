"""Jobs in folders shaped like SageMaker's containers, each led by a supervisor (`supervise`) that outlives its step.

Where supervisors run is another's matter: on this machine (`local`), or on the nodes of a Ray cluster (`ray`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.recordings import DataError

from .spec import Description, JobSpec

SPEC, STATUS, LOG, STOP = "job.json", "status.json", "log.txt", "stop"
UNDER_WAY = ("InProgress", "Stopping")


@dataclass(frozen=True)
class Status:
    """What a supervisor writes down: its own process, that of the job, and how the job stands."""

    supervisor: int
    status: str = "InProgress"
    process: int = 0
    restarts: int = 0
    reason: str = ""


class Supervisors(Protocol):
    """How the supervisor of a job's folder is started, and whether it still lives."""

    def prepared(self, spec: JobSpec) -> JobSpec:
        """Give the job as it is where it will run."""

    def begin(self, place: Path, spec: JobSpec) -> None:
        """Start it, and write down its first status."""

    def lives(self, place: Path, status: Status) -> bool:
        """Say whether it is there; of one that is gone nothing is left to run."""


@dataclass(frozen=True)
class FolderJobs:
    """Jobs below a folder, one folder each, by name."""

    folder: Path
    supervisors: Supervisors

    def start(self, spec: JobSpec) -> str:
        """Begin a job; one that is there already stays, one that failed begins again."""
        place = self.folder / spec.name
        if (place / STATUS).is_file() and self.describe(spec.name).status in ("InProgress", "Completed"):
            return spec.name
        spec = self.supervisors.prepared(spec)
        place.mkdir(parents=True, exist_ok=True)
        for left in (STOP, STATUS):
            (place / left).unlink(missing_ok=True)
        write_atomically(place / SPEC, msgspec.json.encode(spec))
        self.supervisors.begin(place, spec)
        return spec.name

    def describe(self, job: str) -> Description:
        """Say how a job stands; Failed where its supervisor is gone without a word."""
        place = self._place(job)
        status = read_status(place)
        if status.status in UNDER_WAY and not self.supervisors.lives(place, status):
            status = read_status(place)  # what it wrote before it went
            if status.status in UNDER_WAY:
                status = replace(status, status="Failed", reason="its supervisor was killed")
        return Description(job, status.status, status.restarts, status.reason)

    def stop(self, job: str) -> None:
        """Ask a job to end: SIGTERM, and SIGKILL after 120 seconds."""
        if read_status(self._place(job)).status == "InProgress":
            (self._place(job) / STOP).touch()  # the supervisor looks for it; a signal might come before it is ready

    def names(self, prefix: str) -> list[str]:
        """Give the names of the jobs that begin with `prefix`."""
        return sorted(file.parent.name for file in self.folder.glob(f"{prefix}*/{SPEC}"))

    def log(self, job: str, seen: Any) -> tuple[list[str], Any]:  # noqa: ANN401 - a position in the file
        """Give the whole lines that came since."""
        file = self._place(job) / LOG
        if not file.is_file():  # it waits for its turn
            return [], seen
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


def led(place: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the process that leads a job, in a session of its own; what it and the job say goes into the log."""
    command = [sys.executable, "-m", "cloud_train.pipelines.jobs.supervise", str(place)]
    with (place / LOG).open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )


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
