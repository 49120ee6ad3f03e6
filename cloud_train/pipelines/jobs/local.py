"""Jobs as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from cloud_train.cluster import PARENT

from .folders import FolderJobs, Status, led, write_status
from .spec import JobSpec

JOBS_FOLDER = "TOUCHLINE_JOBS"
"""The environment variable that names the folder of this machine's jobs."""


def local_jobs(folder: str | Path = "") -> FolderJobs:
    """Give the jobs below a folder, by default that of the environment."""
    return FolderJobs(Path(folder or os.environ.get(JOBS_FOLDER) or "jobs").absolute(), Processes())


class Processes:
    """Supervisors as processes, each in a session of its own."""

    def prepared(self, spec: JobSpec) -> JobSpec:
        """Give the job as it is: all is on this machine."""
        return spec

    def begin(self, place: Path, spec: JobSpec) -> None:  # noqa: ARG002 - this machine sets nothing aside
        """Start a supervisor, which outlives this process."""
        environment = {name: value for name, value in os.environ.items() if name != PARENT}
        child = led(place, environment)
        write_status(place, Status(child.pid))
        child.returncode = 0  # nobody waits for it here: it outlives this process

    def lives(self, place: Path, status: Status) -> bool:  # noqa: ARG002 - the process says it
        """Say whether the supervisor runs; what one that was killed left behind is killed too."""
        if alive(status.supervisor):
            return True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(status.supervisor, signal.SIGKILL)
        return False


def alive(process: int) -> bool:
    """Say whether a process runs: one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
