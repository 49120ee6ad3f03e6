"""Simulation jobs: environments in processes of their own, of which any may die or hang without ending the training."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cloud_train.progress import console
from cloud_train.recordings import TrainingError

from .simulations import Moment, Simulations
from .tasks import TaskError, Watched

if TYPE_CHECKING:
    from numpy.typing import NDArray

START_SECONDS, HANG_SECONDS = 120.0, 20.0
"""A job that says nothing for so long, at its start and after a step, hangs."""
_SPAWN = multiprocessing.get_context("spawn")  # a fork would inherit TensorFlow's threads, and not what they hold


class Link(Protocol):
    """The way to one job: takes actions, gives observations at first and a `Moment` after each."""

    name: str

    def send(self, what: Any) -> None:  # noqa: ANN401 - actions
        """Send actions; OSError where the job is gone."""

    def poll(self, seconds: float) -> bool:
        """Say whether the job has answered within so long."""

    def recv(self) -> Any:  # noqa: ANN401 - observations, a Moment, or a TaskError
        """Take the answer; EOFError or OSError where the job is gone."""

    def end(self) -> None:
        """End the job, or the way to it."""


class Source(Protocol):
    """Where jobs come from: processes that are started, or jobs elsewhere that come by themselves."""

    def open(self, rows: Sequence[int], *, least: int, restarts: int) -> dict[int, Link]:
        """Give links for those rows, at least so many of them; `restarts` is how many jobs have died so far."""

    def close(self) -> None:
        """Let nobody come any more."""


class Jobs:
    """Simulations in `jobs` jobs of `source`, with the methods of `Simulations`.

    A job that dies or hangs is ended, and replaced before the next rollout; what it had gathered is marked as not
    alive. TrainingError once more than `budget` have died.
    """

    def __init__(
        self, source: Source, count: int, *, jobs: int, budget: int, hang_seconds: float = HANG_SECONDS
    ) -> None:
        self._source, self._each, self._budget = source, shared(count, jobs), budget
        self._hang_seconds = hang_seconds
        self.restarts = 0
        self._jobs: list[Link | None] = [None] * jobs
        self._blank: NDArray[np.float32] = np.zeros(0, np.float32)

    def begin(self) -> NDArray[np.float32]:
        """Start every job; first observations `[n, ...]`."""
        first = self._start(range(len(self._jobs)), len(self._jobs))
        if len(first) < len(self._jobs):
            msg = f"{len(self._jobs) - len(first)} of {len(self._jobs)} simulation jobs did not start"
            raise TrainingError(msg)
        self._blank = np.zeros_like(first[0])
        return np.concatenate([first[k] for k in range(len(self._jobs))])

    def revive(self) -> dict[int, NDArray[np.float32]]:
        """Replace the jobs that died, within the budget; first observations by row."""
        gone = [k for k, job in enumerate(self._jobs) if job is None]
        if self.restarts > self._budget:
            msg = f"simulation jobs died {self.restarts} times, {self._budget} are allowed; is the environment sound?"
            raise TrainingError(msg)
        first = self._start(gone, 1 if len(gone) == len(self._jobs) else 0)
        return {k * self._each + i: one for k, many in first.items() for i, one in enumerate(many)}

    def step(self, actions: Sequence[Any] | NDArray[Any]) -> Moment:
        """Act in every simulation of the jobs that live."""
        for k in range(len(self._jobs)):
            self._send(k, actions[k * self._each : (k + 1) * self._each])
        deadline = time.monotonic() + self._hang_seconds
        moments = [self._receive(k, deadline) for k in range(len(self._jobs))]
        if not any(isinstance(moment, Moment) for moment in moments):
            msg = "every simulation job died in one step; is the environment sound?"
            raise TrainingError(msg)
        return self._joined(moments)

    def close(self) -> None:
        """End every job."""
        for k in range(len(self._jobs)):
            self._end(k)
        self._source.close()

    def _start(self, which: Sequence[int], least: int) -> dict[int, NDArray[np.float32]]:
        if not which:
            return {}
        links = self._source.open(which, least=least, restarts=self.restarts)
        for k, link in links.items():
            self._jobs[k] = link
        deadline = time.monotonic() + START_SECONDS
        found = {k: self._receive(k, deadline) for k in links}
        return {k: first for k, first in found.items() if first is not None}

    def _send(self, k: int, what: object) -> None:
        job = self._jobs[k]
        if job is not None:
            try:
                job.send(what)
            except OSError:
                self._lose(k, "died")

    def _receive(self, k: int, deadline: float) -> Any:  # noqa: ANN401 - observations or a Moment
        job = self._jobs[k]
        if job is None:
            return None
        try:
            if not job.poll(max(0.0, deadline - time.monotonic())):
                self._lose(k, "hangs")
                return None
            said = job.recv()
        except (EOFError, OSError):
            self._lose(k, "died")
            return None
        if isinstance(said, TaskError):
            raise said
        return said

    def _lose(self, k: int, how: str) -> None:
        job = self._jobs[k]
        assert job is not None
        console.print(f"simulation job {k + 1} ({job.name}) {how}; its steps are dropped, and it is started anew")
        self.restarts += 1
        self._end(k)

    def _end(self, k: int) -> None:
        job, self._jobs[k] = self._jobs[k], None
        if job is not None:
            job.end()

    def _joined(self, moments: Sequence[Moment | None]) -> Moment:
        blank = Moment(self._blank, np.zeros(self._each, np.float32), np.ones(self._each, np.bool_))
        whole = [moment or blank for moment in moments]
        last = {k * self._each + i: one for k, moment in enumerate(whole) for i, one in moment.last.items()}
        return replace(
            blank,
            observations=np.concatenate([moment.observations for moment in whole]),
            rewards=np.concatenate([moment.rewards for moment in whole]),
            ended=np.concatenate([moment.ended for moment in whole]),
            last=last,
            episodes=tuple(episode for moment in whole for episode in moment.episodes),
            alive=np.repeat([moment is not None for moment in moments], self._each),
        )


def shared(count: int, jobs: int) -> int:
    """Give how many simulations each job has; TrainingError where they cannot be shared evenly."""
    if count % jobs:
        msg = f"{count} simulations cannot be shared by {jobs} jobs; make the number of simulations a multiple"
        raise TrainingError(msg)
    return count // jobs


def job_seed(seed: int, row: int, each: int, restarts: int) -> int:
    """Seed a job's simulations: one that was started anew must not live through the episode that may have killed it."""
    return seed + row * each + 100_003 * restarts


class Processes:
    """Jobs as processes that are started here, each with `each` simulations."""

    def __init__(self, make: Callable[[], Watched], each: int, seed: int) -> None:
        self._make, self._each, self._seed = make, each, seed
        self.pids: dict[int, int] = {}
        """The process of each job, by row."""

    def open(self, rows: Sequence[int], *, least: int, restarts: int) -> dict[int, Link]:  # noqa: ARG002 - all are started
        """Start a process for each row."""
        found: dict[int, Link] = {}
        for k in rows:
            ours, theirs = _SPAWN.Pipe()
            seed = job_seed(self._seed, k, self._each, restarts)
            process = _SPAWN.Process(target=_simulate, args=(theirs, self._make, self._each, seed), daemon=True)
            process.start()
            theirs.close()
            found[k] = _Pipe(process, ours)
            self.pids[k] = process.pid or 0
        return found

    def close(self) -> None:
        """Do nothing: nobody comes by himself."""


class _Pipe:
    """The way to a process."""

    def __init__(self, process: Any, connection: Connection) -> None:  # noqa: ANN401 - a spawned process
        self._process, self._connection = process, connection
        self.name = str(process.pid)
        self.send, self.poll, self.recv = connection.send, connection.poll, connection.recv

    def end(self) -> None:
        """Kill the process."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def _simulate(connection: Connection, make: Callable[[], Watched], count: int, seed: int) -> None:
    """Run in a process of its own until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the learner ends its jobs
    with contextlib.suppress(EOFError, OSError):
        try:
            simulations = Simulations(make, count, seed)
            connection.send(simulations.begin())
            while True:
                connection.send(simulations.step(connection.recv()))
        except TaskError as error:
            connection.send(error)
