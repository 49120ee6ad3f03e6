"""Policies in simulation: rl check, evaluate, video."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands import RUN_ERROR, Commands, add_command, positive

from .policies import TASKS, option

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from cloud_train.rl.baselines import Act
    from cloud_train.rl.simulations import Episode
    from cloud_train.rl.tasks import Watched


def add_check(steps: Commands) -> None:
    """Add `rl check`."""
    check = add_command(
        steps,
        _check,
        "check",
        "does an environment keep to what training and a robot need?",
        "touchline-train rl check --env package.module:Docking-v0",
    )
    check.add_argument("--env", required=True, metavar="NAME", help=TASKS)
    check.add_argument("--option", action="append", type=option, default=[], metavar="K=V", help="of the environment")


def add_evaluate(steps: Commands) -> None:
    """Add `rl evaluate`."""
    evaluate = add_command(
        steps,
        _evaluate,
        "evaluate",
        "judge a bundle's policy in simulation, through the device's code, beside a controller made by hand and chance",
        "touchline-train rl evaluate bundles/follow --episodes 100 --json scores.json",
    )
    evaluate.add_argument("bundle", metavar="BUNDLE")
    evaluate.add_argument("--episodes", type=positive, default=100, metavar="N", help="(default: 100)")
    _robot_options(evaluate)
    evaluate.add_argument("--json", metavar="F", help="write the scores to this file as JSON")


def add_video(steps: Commands) -> None:
    """Add `rl video`."""
    video = add_command(
        steps,
        _video,
        "video",
        "film an episode of a bundle's policy",
        "touchline-train rl video bundles/follow -o follow.mp4 --physics",
    )
    video.add_argument("bundle", metavar="BUNDLE")
    video.add_argument("-o", "--out", required=True, metavar="F.mp4", help="or F.gif")
    video.add_argument("--seed", type=int, default=10_000, metavar="N", help="of the episode (default: 10000)")
    _robot_options(video)


def _robot_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--guard", action="store_true", help="with the robot's guard between policy and wheels")
    command.add_argument(
        "--physics", action="store_true", help="in MuJoCo: with mass, motors and friction instead of an ideal drive"
    )


def _check(arguments: argparse.Namespace) -> int:
    from cloud_train.backend import load_simulation

    load_simulation()
    from cloud_train.rl.conform import conform

    broken = False
    for kept in conform(arguments.env, **dict(arguments.option)):
        broken |= bool(kept.problem)
        sys.stdout.write(f"{'FAIL' if kept.problem else 'ok  '}  {kept.rule:<26}  {kept.problem}".rstrip() + "\n")
        sys.stdout.flush()
    return RUN_ERROR if broken else 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.rl.evaluate import compare

    task, make, act = _simulated(arguments)
    scores = compare(task, make, act, arguments.episodes)
    for name, score in scores.items():
        sys.stdout.write(f"{name:8} {score}\n")
    if arguments.json:
        found = {name: asdict(score) for name, score in scores.items()}
        write_atomically(Path(arguments.json), (json.dumps(found, indent=2) + "\n").encode())
    return 0


def _video(arguments: argparse.Namespace) -> int:
    from cloud_train.progress import track
    from cloud_train.rl.film import frames, write_film

    _, make, act = _simulated(arguments)
    env, out = make(), Path(arguments.out)
    ended: list[Episode] = []
    with _camera(physics=arguments.physics) as draw:
        steps = env.spec.max_episode_steps if env.spec is not None else None
        write_film(track(frames(env, act, arguments.seed, draw, ended), "film", steps or 0), out)
    sys.stdout.write(f"{out}: {ended[0].steps} steps, return {ended[0].total:.1f}, success {ended[0].success:.2f}\n")
    return 0


def _simulated(arguments: argparse.Namespace) -> tuple[str, Callable[[], Watched], Act]:
    """Give the task of a bundle's policy, what makes it with the robot asked for, and what acts."""
    from cloud_train.backend import load_simulation

    load_simulation()
    from cloud_train.rl.drive import Drive, GuardedDrive
    from cloud_train.rl.evaluate import on_device
    from cloud_train.rl.tasks import maker
    from edge.bundle import Bundle
    from edge.manifest import BundleError
    from edge.policy import Policy

    bundle = Bundle.load(arguments.bundle)
    policy = Policy(bundle)
    made = bundle.manifest.provenance.get("policy", {})
    if "task" not in made:
        msg = f"{arguments.bundle}: does not say which task its policy was trained on; export it with `rl export`"
        raise BundleError(msg)
    drive: Any = GuardedDrive if arguments.guard else Drive
    if arguments.physics:
        from cloud_train.rl.physics import Physical

        drive = partial(drive, body=Physical)
    options: dict[str, Any] = dict(made.get("options", {}))
    robot = drive if arguments.guard or arguments.physics else None
    return made["task"], maker(made["task"], robot, **options), on_device(policy)


@contextmanager
def _camera(*, physics: bool) -> Iterator[Callable[[Any], NDArray[np.uint8]]]:
    """Give what draws an environment: its own picture, with physics beside the scene in MuJoCo."""
    if not physics:
        yield lambda env: env.render()
        return
    import numpy as np

    from cloud_train.rl.physics import viewer

    def beside(env: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - one of the tasks
        scene, from_above = draw(env.robot.body, getattr(env, "target", None)), env.render()
        return np.hstack([scene, from_above[:, -len(from_above) :]])

    with viewer() as draw:
        yield beside
