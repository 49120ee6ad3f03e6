"""Train a policy on this machine: gather, update, save; goes on after a kill, and ends when its time is over."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from cloud_train import stop
from cloud_train.atomic import write_atomically
from cloud_train.checkpoint import assign, load_as, save
from cloud_train.progress import console
from cloud_train.provenance import git_commit
from cloud_train.recordings import DataError, TrainingError

from .baselines import CONTROLLERS
from .evaluate import chance, judge
from .gather import Gatherer, RewardScale, World
from .jobs import Jobs, Processes, shared
from .ppo import Learner, clip_now
from .progress import WINDOW, Point, Progress, write_curve
from .remote import Visitors
from .settings import Settings
from .simulations import Simulations
from .tasks import maker

RUN, POLICY = "policy-run.json", "policy.keras"
SAVE_SECONDS = 15.0
"""How often the curve is drawn and the training saved, once an update is over."""
LEVEL_EPISODES = 20
"""Episodes of the controller and of chance that the curve shows as levels."""


def identity(task: str, settings: Settings, options: Mapping[str, Any]) -> str:
    """Hash all that makes a training what it is."""
    return hashlib.sha256(msgspec.json.encode([task, asdict(settings), dict(options)])).hexdigest()


@dataclass(frozen=True)
class PolicyRun:
    """A finished training of a policy: its folder, task and settings, and what it came to."""

    path: Path
    task: str
    engine: str
    settings: Settings
    steps: int
    seconds: float
    episodes: int
    best: float
    options: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    dropped: int = 0
    commit: str = "unknown"

    @property
    def identity(self) -> str:
        """The hash of task, settings and options: what a policy has for data."""
        return identity(self.task, self.settings, self.options)

    @classmethod
    def load(cls, path: str | Path) -> PolicyRun:
        """Read a run's folder; DataError where it is none."""
        path = Path(path)
        if not (path / RUN).is_file():
            msg = f"{path}: is not a finished training of a policy ({RUN} is missing); make one with `rl train`"
            raise DataError(msg)
        return msgspec.convert({**msgspec.json.decode((path / RUN).read_bytes()), "path": path}, cls)

    def save(self) -> None:
        """Write the record, which makes the run finished."""
        raw = {**msgspec.to_builtins(asdict(self), enc_hook=str), "path": ""}
        write_atomically(self.path / RUN, msgspec.json.format(msgspec.json.encode(raw), indent=2))

    def policy(self) -> keras.Model:
        """Load the policy's network: observations `[n, ...]` to scores, or to numbers of -1 to 1."""
        return keras.saving.load_model(self.path / POLICY, compile=False)


@dataclass(frozen=True)
class Wanted:
    """What to train: a task with its options, for how many seconds, and in how many simulation jobs (0: in-process).

    `app` is the place of a simulation application, whose jobs come by themselves to the address `listen`.
    """

    task: str
    settings: Settings
    budget_seconds: float
    options: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = 0
    restart_budget: int = 20
    app: str = ""
    listen: tuple[str, int] = ("127.0.0.1", 0)

    @property
    def identity(self) -> str:
        """The hash of all that makes the training what it is."""
        return identity(self.task, self.settings, self.options)


@dataclass(frozen=True, eq=False)
class Training:
    """What a training is made of; `progress` and the networks change as it goes."""

    wanted: Wanted
    folder: Path
    learner: Learner
    scale: RewardScale
    progress: Progress


def train(wanted: Wanted, folder: Path) -> PolicyRun:
    """Train until the budget is spent, counting what earlier calls spent; the best policy is what counts in the end.

    Stopped where a stop was asked for; run again, it goes on with the same networks in new episodes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make = maker(wanted.task, **wanted.options)
    probe = make()
    learner, scale = Learner(probe.interface, wanted.settings), RewardScale()
    probe.close()
    progress = Progress(wanted.identity)
    saved = load_as(Progress, folder, wanted.identity)
    if saved is not None:
        progress, values = saved
        *values, scale_values = values
        assign(learner.variables, values)
        count, mean, variance = map(float, scale_values)
        scale = RewardScale(count, mean, variance)
        console.print(f"goes on after {progress.steps} steps", highlight=False)
    if progress.seconds < wanted.budget_seconds:
        with _world(wanted, make, progress) as world:
            _learn(Training(wanted, folder, learner, scale, progress), world)
    run = PolicyRun(
        folder, wanted.task, "local", wanted.settings, progress.steps, progress.seconds, progress.episodes,
        progress.best, dict(wanted.options), progress.restarts, progress.dropped, git_commit(),
    )  # fmt: skip
    run.save()
    return run


@contextlib.contextmanager
def _world(wanted: Wanted, make: Any, progress: Progress) -> Iterator[World]:  # noqa: ANN401 - a maker
    # After a resumption other episodes, not those of the beginning once more.
    count, seed = wanted.settings.simulations, wanted.settings.seed + 1009 * progress.updates
    world: World
    if not wanted.jobs:
        world = Simulations(make, count, seed)
    else:
        each, (host, port) = shared(count, wanted.jobs), wanted.listen
        source = Visitors(wanted.app, each, seed, host=host, port=port) if wanted.app else Processes(make, each, seed)
        world = Jobs(source, count, jobs=wanted.jobs, budget=wanted.restart_budget - progress.restarts)
    try:
        yield world
    finally:
        world.close()


def _learn(training: Training, world: World) -> None:
    wanted, folder, learner, progress = training.wanted, training.folder, training.learner, training.progress
    settings, shown = wanted.settings, levels(wanted)
    gatherer = Gatherer(world, learner, training.scale)
    restarts, dropped = progress.restarts, progress.dropped
    began, before = time.monotonic(), progress.seconds
    kept = began
    with console.status("") as line:
        while progress.seconds < wanted.budget_seconds:
            batch, episodes = gatherer.gather(settings.rollout // settings.simulations)
            measured = learner.update(batch, clip_now(settings, progress.steps))
            if not all(map(np.isfinite, measured.values())):
                msg = (
                    f"{folder}: the training's losses are no numbers any more ({measured}); try a smaller learning rate"
                )
                raise TrainingError(msg)
            progress.steps += len(batch.actions)
            progress.updates += 1
            progress.seconds = before + time.monotonic() - began
            progress.episodes += len(episodes)
            progress.restarts, progress.dropped = restarts + world.restarts, dropped + gatherer.dropped
            progress.recent = [*progress.recent, *((one.total, one.success) for one in episodes)][-WINDOW:]
            note(progress, measured)
            line.update(said(progress, wanted.budget_seconds))
            if best_so_far(progress, least=WINDOW):
                keep_policy(folder, learner.policy)
            over = progress.seconds >= wanted.budget_seconds or stop.requested()
            if over or time.monotonic() - kept > SAVE_SECONDS:
                kept = time.monotonic()
                _save(training)
                if not console.is_terminal:  # in a log: a learner that says nothing hangs
                    console.print(said(progress, wanted.budget_seconds), highlight=False, soft_wrap=True)
                write_curve(folder, progress.curve, shown, wanted.task)
            if stop.requested():
                msg = f"{folder}: stopped after {progress.steps} steps and saved; run again, it goes on"
                raise stop.Stopped(msg)
    if not (folder / POLICY).is_file():  # too few episodes to tell the best
        keep_policy(folder, learner.policy)
    console.print(said(progress, wanted.budget_seconds), highlight=False)


def note(progress: Progress, measured: dict[str, float]) -> None:
    """Add a point to the curve."""
    point = Point(
        progress.steps, round(progress.seconds, 2), progress.episodes, progress.mean, progress.success,
        progress.restarts, progress.dropped, measured,
    )  # fmt: skip
    progress.curve.append(point)


def best_so_far(progress: Progress, *, least: int) -> bool:
    """Say whether the latest episodes, `least` or more, went better than any before, and remember it."""
    if len(progress.recent) < least or progress.mean is None or progress.mean <= progress.best:
        return False
    progress.best = progress.mean
    return True


def said(progress: Progress, budget_seconds: float) -> str:
    """Tell in a line how far a training is."""
    mean = "no episode is over" if progress.mean is None else f"return {progress.mean:.1f}"
    mean += "" if progress.success is None else f", success {progress.success:.2f}"
    lost = f", {progress.restarts} simulation jobs started anew" if progress.restarts else ""
    speed = progress.steps / max(1e-9, progress.seconds)
    return (
        f"{progress.seconds:.0f} of {budget_seconds:.0f} s: {progress.steps} steps ({speed:.0f} a second),"
        f" {progress.episodes} episodes, {mean}{lost}"
    )


def _save(training: Training) -> None:
    scale = np.array([training.scale.count, training.scale.mean, training.scale.variance])
    save(training.folder, training.progress, [*training.learner.variables, scale])


def keep_policy(folder: Path, network: keras.Model) -> None:
    """Write a policy's network, whole or not at all."""
    scratch = folder / f".{POLICY}.tmp.keras"
    network.save(scratch)
    scratch.replace(folder / POLICY)


def levels(wanted: Wanted) -> dict[str, float]:
    """Give the returns of chance and of the controller, for the curve."""
    make = maker(wanted.task, **wanted.options)
    found = {"chance": chance(make, LEVEL_EPISODES).mean}
    if wanted.task in CONTROLLERS:
        found["controller"] = judge(make, lambda _seed: CONTROLLERS[wanted.task](), LEVEL_EPISODES).mean
    return found
