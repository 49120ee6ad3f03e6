"""Waiting for jobs: what they say is said here, and when one that counts fails the others are stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cloud_train import stop
from cloud_train.recordings import TrainingError

from .providers import provider
from .spec import ENDS, GRACE_SECONDS, Description, Jobs

EVERY_SECONDS = 10.0
NEAR = ("local:", "ray:")
"""Where asking costs nothing: every half a second."""
HELPERS_SECONDS = 30.0
"""How long helpers may take to end by themselves once those they helped are done."""


def wait(
    essential: Sequence[str], helpers: Sequence[str] = (), *, cloud: Mapping[str, str], every_seconds: float = 0.0
) -> dict[str, Description]:
    """Wait for jobs named `provider:id`, reflecting their states and logs; how each ended.

    A failure of an essential job stops all and is a TrainingError; a helper's is said and no more. Stopped where a stop
    was asked for, once all were stopped.
    """
    watched = [_Watched(name, cloud) for name in (*essential, *helpers)]
    every = every_seconds or (0.5 if all(name.startswith(NEAR) for name in essential) else EVERY_SECONDS)
    needed, others = watched[: len(essential)], watched[len(essential) :]
    while True:
        for job in watched:
            job.look()
        failed = next((job for job in needed if job.now.status in ("Failed", "Stopped")), None)
        if failed is not None or stop.requested():
            _stop(watched, every)
            if failed is None:
                msg = "stopped as asked, with its jobs"
                raise stop.Stopped(msg)
            why = failed.now.reason or "no reason was given"
            msg = f"job {failed.id} {failed.now.status.lower()}: {why}"
            raise TrainingError(msg)
        if all(job.now.status == "Completed" for job in needed):
            _end_helpers(others, every)
            return {job.name: job.now for job in watched}
        time.sleep(every)


class _Watched:
    """A job as it is followed."""

    def __init__(self, name: str, cloud: Mapping[str, str]) -> None:
        where, _, self.id = name.partition(":")
        self.name = name
        self.jobs: Jobs = provider(where, cloud)
        self.now = Description(self.id, "Unknown")
        self._seen: Any = None

    @property
    def over(self) -> bool:
        return self.now.status in ENDS

    def look(self) -> None:
        """Say what is new of the job."""
        if self.over:
            return
        before, self.now = self.now, self.jobs.describe(self.id)
        lines, self._seen = self.jobs.log(self.id, self._seen)
        for line in lines:
            _say(f"{self.id}: {line}")
        if (before.status, before.restarts) != (self.now.status, self.now.restarts):
            again = f", started again {self.now.restarts} times" if self.now.restarts else ""
            why = f": {self.now.reason}" if self.now.reason else ""
            _say(f"{self.id}: [{self.now.status}{again}{why}]")


def _stop(watched: Sequence[_Watched], every: float) -> None:
    """Ask all to end and wait until they have."""
    for job in watched:
        if not job.over:
            job.jobs.stop(job.id)
    deadline = time.monotonic() + GRACE_SECONDS + 10
    while any(not job.over for job in watched) and time.monotonic() < deadline:
        time.sleep(min(every, 1.0))
        for job in watched:
            job.look()


def _end_helpers(helpers: Sequence[_Watched], every: float) -> None:
    deadline = time.monotonic() + HELPERS_SECONDS
    while any(not job.over for job in helpers) and time.monotonic() < deadline:
        for job in helpers:
            job.look()
        time.sleep(min(every, 1.0))
    _stop(helpers, every)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
