"""What is known of a run of a pipeline: its order, how it went, and what each step did and made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.recordings import DataError

RECORD, EVENTS, YAML, LOG = "run.json", "steps.jsonl", "pipeline.yaml", "log.txt"
RUNS, STORE, JOBS = "runs", "store", "jobs"
"""Folders of a pipeline's output: a folder for each run, what steps made, and jobs of the local provider."""


@dataclass(frozen=True)
class Step:
    """The latest account of one step; `seconds` is None while it runs."""

    name: str
    state: str = "started"
    began: float = 0.0
    seconds: float | None = None
    reason: str = ""
    key: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One run; `state` is running, done, failed or stopped, `starts` how often it was begun."""

    id: str
    pipeline: str
    on: str
    shape: dict[str, Any]
    arguments: dict[str, Any]
    state: str = "running"
    started: str = ""
    ended: str = ""
    starts: int = 1
    pid: int = 0
    commit: str = "unknown"
    code_sha256: str = ""
    tasks: tuple[str, ...] = ()
    output: Any = None

    def save(self, folder: Path) -> None:
        """Write the record into the run's folder."""
        write_atomically(folder / RECORD, msgspec.json.format(msgspec.json.encode(self), indent=2))

    @property
    def made(self) -> str:
        """Where the bundle is that the run published, empty where there is none."""
        return str(self.output or self.arguments.get("publish", "")) if self.state == "done" else ""

    @property
    def lives(self) -> bool:
        """Whether the process that runs it is there."""
        return self.state == "running" and Path(f"/proc/{self.pid}").exists() and self.pid != os.getpid()


def load(folder: Path) -> Record:
    """Read a run; one whose process is gone is `killed`."""
    if not (folder / RECORD).is_file():
        msg = f"{folder}: holds no run of a pipeline ({RECORD} is missing)"
        raise DataError(msg)
    record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    return replace(record, state="killed") if record.state == "running" and not record.lives else record


def records(out: Path) -> list[tuple[Path, Record]]:
    """Give the runs below a pipeline's output, the oldest first."""
    folders = sorted((out / RUNS).glob(f"*/{RECORD}"), key=lambda file: (load(file.parent).started, str(file)))
    return [(file.parent, load(file.parent)) for file in folders]


def now() -> str:
    """Give the time as it is written down."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def events(folder: Path) -> Iterator[dict[str, Any]]:
    """Give the lines of a run's log of steps; a last line that is not whole yet is left out."""
    file = folder / EVENTS
    if file.is_file():
        for line in file.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line)


def steps(folder: Path) -> dict[str, Step]:
    """Give what each step did last, in the order of their beginnings."""
    found: dict[str, Step] = {}
    for event in events(folder):
        found = follow(found, event)
    return found


def follow(found: Mapping[str, Step], event: Mapping[str, Any]) -> dict[str, Step]:
    """Bring what is known of the steps up to date with one more line of the log."""
    name, state = event["step"], event["state"]
    before = found.get(name, Step(name))
    if state == "started":
        return {**{k: v for k, v in found.items() if k != name}, name: Step(name, began=event["at"])}
    seconds = event["at"] - before.began if before.began else 0.0
    after = replace(
        before, state=state, seconds=seconds, reason=event.get("reason", ""), key=event.get("key", ""),
        outputs=event.get("outputs", {}),
    )  # fmt: skip
    return {**found, name: after}


def figures(found: Mapping[str, Step]) -> dict[str, float]:
    """Collect the numbers that steps logged, as `step: name`."""
    return {
        f"{step.name}: {key}": value
        for step in found.values()
        if "metrics" in step.outputs
        for key, value in step.outputs["metrics"]["metadata"].items()
        if isinstance(value, int | float)
    }
