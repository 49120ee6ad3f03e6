"""Policies on Ray: rl simulate, search."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands import Commands, add_command, positive

if TYPE_CHECKING:
    from cloud_train.rl.rllink import Address

TASKS = "ObjectTracker-v0, FollowTarget-v0, FollowEvent-v0, or package.module:Name-v0"


def add_simulate(steps: Commands) -> None:
    """Add `rl simulate`."""
    simulate = add_command(
        steps,
        _simulate,
        "simulate",
        "be a simulation job of a learner elsewhere: of `rl train --app PLACE`, or, with --env and --learner, of"
        " `rl train --engine ray --external PORT`, one job for each port, over RLlib's RLlink (only in a network that"
        " you trust)",
        "touchline-train rl simulate s3://bucket/apps/follow",
    )
    simulate.add_argument(
        "place", nargs="?", metavar="PLACE", help="of a simulation application: a folder that the learner sees too, or"
        " an S3 prefix",
    )  # fmt: skip
    simulate.add_argument("--env", metavar="NAME", help=TASKS)
    simulate.add_argument(
        "--learner", type=learner_address, metavar="HOST:PORT", help="of the engine ray; a place that is free"
    )
    simulate.add_argument(
        "--option",
        action="append",
        type=option,
        default=[],
        metavar="K=V",
        help="of the environment, as of the learner's",
    )
    simulate.add_argument("--seed", type=int, default=0, metavar="N", help="of simulation and choices (default: 0)")
    simulate.add_argument(
        "--patience",
        type=seconds,
        default=120.0,
        metavar="SECONDS",
        help="how long to look for a learner that is not there yet, or any more (default: 120)",
    )


def add_search(steps: Commands) -> None:
    """Add `rl search`."""
    search = add_command(
        steps,
        _search,
        "search",
        "try hyperparameters by Ray Tune, the defaults first; each trial trains for the same time in a process of its"
        " own (engine local), and is judged on the same episodes; goes on after a kill",
        "touchline-train rl search --env FollowTarget-v0 --trials 8 --budget 30 --param learning_rate=1e-4..1e-2"
        " --param minibatch=64,256 --out runs/search",
    )
    search.add_argument("--env", required=True, metavar="NAME", help=TASKS)
    search.add_argument("--out", required=True, metavar="DIR", help="trials, search.json with the results")
    search.add_argument("--trials", type=positive, default=8, metavar="N", help="(default: 8)")
    search.add_argument("--budget", type=seconds, default=30.0, metavar="SECONDS", help="of a trial (default: 30)")
    search.add_argument(
        "--param",
        action="append",
        type=_range,
        required=True,
        metavar="NAME=LOW..HIGH",
        help="a hyperparameter of `rl train` and where to look, evenly in its logarithm where that is a decade or more;"
        " NAME=A,B,C: one of these; again for others",
    )
    search.add_argument("--episodes", type=positive, default=50, metavar="N", help="to judge a trial (default: 50)")
    search.add_argument("--jobs", type=positive, metavar="N", help="trials at once (default: one a core)")
    search.add_argument("--seed", type=int, default=0, metavar="N", help="of what is tried (default: 0)")
    search.add_argument(
        "--option",
        action="append",
        type=option,
        default=[],
        metavar="K=V",
        help="of the environment, such as moving=true",
    )


def learner_address(text: str) -> Address:
    """Read an address for argparse."""
    from cloud_train.rl.rllink import Address

    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """Read a time for argparse."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        msg = f"{text!r} is not a number of seconds above 0"
        raise argparse.ArgumentTypeError(msg)
    return found


def option(text: str) -> tuple[str, Any]:
    """Read an option of an environment for argparse: JSON, or else a text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        msg = f"{text!r} is not NAME=VALUE"
        raise argparse.ArgumentTypeError(msg)
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _range(text: str) -> tuple[str, Any]:
    from cloud_train.recordings import DataError
    from cloud_train.rl.search import parse

    try:
        return parse(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _simulate(arguments: argparse.Namespace) -> int:
    from cloud_train import stop
    from cloud_train.backend import load_simulation
    from cloud_train.recordings import DataError

    load_simulation()
    if arguments.place:
        from cloud_train.rl import remote

        sys.stdout.write(f"{remote.simulate(arguments.place)} steps, and the learner is done\n")
        return 0
    if not (arguments.env and arguments.learner):
        msg = "name the PLACE of a simulation application, or --env and --learner of a learner of the engine ray"
        raise DataError(msg)
    from cloud_train.rl.simulator import simulate
    from cloud_train.rl.tasks import maker

    make = maker(arguments.env, **dict(arguments.option))
    make().close()  # what is wrong with it is said before a learner is looked for
    stop.listen()
    steps = simulate(make, arguments.learner, seed=arguments.seed, patience_seconds=arguments.patience)
    sys.stdout.write(f"{arguments.learner}: {steps} steps sent, and it is gone\n")
    return 0


def _search(arguments: argparse.Namespace) -> int:
    from cloud_train.backend import load_simulation

    load_simulation()
    from cloud_train.rl.search import Search, command, search
    from cloud_train.rl.tasks import make

    options = dict(arguments.option)
    make(arguments.env, **options).close()
    wanted = Search(
        arguments.env, dict(arguments.param), arguments.trials, arguments.budget, arguments.episodes, options,
        arguments.seed,
    )  # fmt: skip
    found = search(wanted, Path(arguments.out), jobs=arguments.jobs)
    sys.stdout.write(found.table())
    sys.stdout.write(f"best settings: {command(wanted, found.best, Path(arguments.out) / 'best')}\n")
    return 0
