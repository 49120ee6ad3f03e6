"""Policies: rl train, export."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from edge.commands import Commands, add_command, positive

from .policy_ray import TASKS, add_search, add_simulate, learner_address, option, seconds


def add_rl(commands: Commands) -> None:
    """Add `rl` with its own subcommands."""
    from .simulating import add_check, add_evaluate, add_video

    rl = commands.add_parser(
        "rl",
        help="policies by reinforcement learning in simulation: train, export, evaluate, film, ...",
        description="Policies by reinforcement learning in simulation, for the robot to run.",
        epilog="example: touchline-train rl train --env FollowTarget-v0 --out runs/follow",
    )
    steps = rl.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_train, add_simulate, add_search, _add_export, add_evaluate, add_video, add_check):
        add(steps)


def _add_train(steps: Commands) -> None:
    train = add_command(
        steps,
        _train,
        "train",
        "learn a policy in simulation; goes on after a kill",
        "touchline-train rl train --env FollowTarget-v0 --budget 60 --out runs/follow",
    )
    train.add_argument("--env", metavar="NAME", help=TASKS)
    train.add_argument(
        "--app", default="", metavar="PLACE", help="a simulation application, whose --jobs come over the network"
    )
    train.add_argument(
        "--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT",
        help="where they come to (default: 127.0.0.1 and any port)",
    )  # fmt: skip
    train.add_argument("--budget", type=seconds, metavar="SECONDS", help="of training (default: 60; 900 for pictures)")
    train.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="Keras here, or RLlib (default: local)"
    )
    train.add_argument("--out", required=True, metavar="RUN")
    train.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="processes for the simulations (default: 0, none)"
    )
    train.add_argument(
        "--restarts",
        type=int,
        default=20,
        metavar="N",
        help="simulation jobs that may die before it fails (default: 20)",
    )
    train.add_argument(
        "--option",
        action="append",
        type=option,
        default=[],
        metavar="K=V",
        help="of the environment, such as moving=true",
    )
    train.add_argument(
        "--external",
        type=learner_address,
        metavar="[HOST:]PORT",
        help="with --engine ray: jobs are started by `rl simulate` and connect here, the next one to the port"
        " after it, and so on (default host: 127.0.0.1; only in a network that you trust)",
    )
    _settings_options(train)


def _settings_options(command: argparse.ArgumentParser) -> None:
    from cloud_train.rl.settings import DEFAULTS, Settings

    group = command.add_argument_group("hyperparameters", "defaults: of pictures; of a vector where they differ")
    fast = DEFAULTS["FollowTarget-v0"]
    for field in fields(Settings):
        values = (
            f"{field.default}"
            if getattr(fast, field.name) == field.default
            else (f"{field.default}; {getattr(fast, field.name)}")
        )
        group.add_argument(
            f"--{field.name.replace('_', '-')}", type=type(field.default), metavar="N",
            help=f"{field.metadata['help']} (default: {values})",
        )  # fmt: skip


def _add_export(steps: Commands) -> None:
    export = add_command(
        steps,
        _export,
        "export",
        "write a trained policy into a bundle, in float32 or int8 by what is measured",
        "touchline-train rl export runs/follow --out bundles/follow",
    )
    export.add_argument("run", metavar="RUN")
    export.add_argument("--out", required=True, metavar="BUNDLE")
    export.add_argument("--precision", choices=("auto", "float32", "int8"), default="auto", help="(default: auto)")
    export.add_argument("--with", dest="join", metavar="BUNDLE", help="a bundle whose classifiers go in as well")
    export.add_argument("--episodes", type=positive, default=100, metavar="N", help="to compare on (default: 100)")
    export.add_argument("--version", default="1.0.0", help="the bundle's version (default: 1.0.0)")


def _train(arguments: argparse.Namespace) -> int:
    from cloud_train import stop
    from cloud_train.backend import load_simulation, load_tensorflow
    from cloud_train.recordings import DataError
    from cloud_train.rl.settings import BUDGET_SECONDS, Settings, settings_for

    load_simulation()
    from cloud_train.rl.tasks import make

    _take_app(arguments)
    make(arguments.env, **dict(arguments.option)).close()  # what is wrong with it is said before TensorFlow is loaded
    load_tensorflow()
    from cloud_train.rl.train import Wanted, train

    if arguments.external is not None and arguments.engine != "ray":
        msg = "--external: simulation jobs connect to the engine ray; add --engine ray"
        raise DataError(msg)
    if arguments.engine == "ray":
        from functools import partial

        from cloud_train.rl import rllib

        train = partial(rllib.train, external=arguments.external)
    given = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
    settings = settings_for(arguments.env, **given)
    budget = arguments.budget or BUDGET_SECONDS.get(arguments.env, 60.0)
    wanted = Wanted(
        arguments.env, settings, budget, dict(arguments.option), arguments.jobs, arguments.restarts, arguments.app,
        arguments.listen,
    )  # fmt: skip
    stop.listen()
    run = train(wanted, Path(arguments.out))
    sys.stdout.write(
        f"{run.path}: {run.steps} steps in {run.seconds:.0f} s, {run.episodes} episodes, best return {run.best:.1f};"
        f" {run.path / 'curve.svg'} shows how it went\n"
    )
    return 0


def _take_app(arguments: argparse.Namespace) -> None:
    """Let a simulation application say what is trained on."""
    from cloud_train.recordings import DataError
    from cloud_train.rl.app import load

    if not arguments.app:
        if not arguments.env:
            msg = f"--env is missing; name one: {TASKS}"
            raise DataError(msg)
        return
    if arguments.jobs < 1 or arguments.engine == "ray":
        msg = "--app needs --jobs, the number of simulation jobs that will come, and the engine local"
        raise DataError(msg)
    app = load(arguments.app)
    arguments.env, arguments.option = app.task, list(app.options.items())


def _export(arguments: argparse.Namespace) -> int:
    from cloud_train.backend import load_simulation, load_tensorflow
    from cloud_train.job import refuse_foreign

    refuse_foreign(Path(arguments.out))
    load_simulation()
    load_tensorflow()
    from cloud_train.rl.export import export
    from cloud_train.rl.train import PolicyRun
    from edge.describe import describe

    bundle = export(
        PolicyRun.load(arguments.run), arguments.out, precision=arguments.precision, episodes=arguments.episodes,
        join=arguments.join, version=arguments.version,
    )  # fmt: skip
    sys.stdout.write(describe(bundle))
    return 0


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit()):
        msg = f"{text!r} is not HOST:PORT"
        raise argparse.ArgumentTypeError(msg)
    return host, int(port)
