"""A job in the words that all providers understand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloud_train.recordings import DataError

ENDS = ("Completed", "Failed", "Stopped")
"""As SageMaker calls them; before, a job is InProgress, or Stopping once it was asked to end."""
CONTAINED = ("-m", "cloud_train.pipelines.contained")
"""Python's arguments before the command: a subcommand that knows it is in a container."""
NODE = "TOUCHLINE_NODE"
"""The environment variable that says by which address others reach the machine of a job."""
GRACE_SECONDS = 120.0
"""How long a job may take to end after SIGTERM, as in SageMaker."""


@dataclass(frozen=True)
class JobSpec:
    """What a job runs, arguments of `touchline-train`, and within which limits.

    `channel` is a folder that the job finds at `/opt/ml/input/data/training`. A job that fails is started again, in its
    own checkpoints, `restarts` times at most; one that prints nothing for `hang_seconds` counts as failed, 0: never.
    A cluster sets `cpus` and `gpus` aside for it.
    """

    name: str
    command: tuple[str, ...]
    channel: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    max_seconds: float = 86400.0
    restarts: int = 0
    hang_seconds: float = 0.0
    cpus: float = 1.0
    gpus: float = 0.0
    program: tuple[str, ...] = CONTAINED


def set_aside(cloud: Mapping[str, str]) -> tuple[float, float]:
    """Read how many processors and GPUs a cluster shall set aside for a training job."""
    try:
        return float(cloud.get("cpus", "1")), float(cloud.get("gpus", "0"))
    except ValueError as error:
        msg = f"cpus and gpus: must be numbers ({error})"
        raise DataError(msg) from None


@dataclass(frozen=True)
class Description:
    """How a job stands: its status, how often it was started again, and why it failed."""

    id: str
    status: str
    restarts: int = 0
    reason: str = ""


class Jobs(Protocol):
    """Where jobs run. A job is named by its id, which `start` gives; starting the same name twice is one job."""

    def start(self, spec: JobSpec) -> str:
        """Begin a job and return at once."""

    def describe(self, job: str) -> Description:
        """Say how a job stands."""

    def stop(self, job: str) -> None:
        """Ask a job to end; one that has ended stays as it is."""

    def names(self, prefix: str) -> list[str]:
        """Give the ids of the jobs whose names begin with `prefix`."""

    def log(self, job: str, seen: Any) -> tuple[list[str], Any]:  # noqa: ANN401 - each provider's own
        """Give the lines of a job's log since `seen`, None at first, and what to ask with the next time."""

    def fetch(self, job: str, folder: str) -> None:
        """Bring what a job left in its model folder into a folder here."""
