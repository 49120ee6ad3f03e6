"""Pipelines: pipeline run, compile, submit, picture; and what their runs left: runs list, show, compare."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands import RUN_ERROR, Commands, add_command

from .cloud import pair

if TYPE_CHECKING:
    from cloud_train.pipelines.catalogue import Order

NAMES, PLACES = ("event", "policy", "debug"), ("local", "ray", "sagemaker")


def add_pipeline(commands: Commands) -> None:
    """Add `pipeline` with its own subcommands."""
    pipeline = commands.add_parser(
        "pipeline",
        help="everything from recordings, or a simulator, to a published bundle: run, compile, submit, picture",
        description="Pipelines of Kubeflow's kind: run on this machine, or compiled for a cluster.",
        epilog="example: touchline-train pipeline run event --set preset=tiny --set minimum=0 --out /tmp/event",
    )
    steps = pipeline.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = add_command(
        steps, _run, "run", "run a pipeline on this machine; killed, the same command goes on where it was",
        "touchline-train pipeline run event --set data=recordings/ --set epochs=20 --out runs/event",
    )  # fmt: skip
    _common(run)
    run.add_argument("--out", required=True, metavar="DIR", help="what steps make, a folder for each run, the bundle")
    run.add_argument("--json", metavar="F", help="write the run's record, steps and figures to this file as JSON")
    compiling = add_command(
        steps, _compile, "compile", "write a pipeline as the YAML that Kubeflow Pipelines runs",
        "touchline-train pipeline compile event --image registry.example.com/touchline:1 --out event.yaml",
    )  # fmt: skip
    _common(compiling)
    compiling.add_argument("--image", default="", metavar="URI", help="the image of the steps, from Dockerfile.train")
    compiling.add_argument("--out", required=True, metavar="YAML")
    _add_submit(steps)
    picture = add_command(
        steps, _picture, "picture", "draw a compiled pipeline as SVG",
        "touchline-train pipeline picture event.yaml --out event.svg",
    )  # fmt: skip
    picture.add_argument("yaml", metavar="YAML")
    picture.add_argument("--out", required=True, metavar="SVG")


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", choices=NAMES)
    command.add_argument(
        "--set", action="append", type=pair, default=[], metavar="K=V",
        help="a parameter, a setting of training such as epochs=20, of a cluster such as storage=DIR, or of a cloud"
        " such as role=ARN; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--on", choices=PLACES, default="local", help="where training and simulation run (default: local)"
    )


def _add_submit(steps: Commands) -> None:
    submit = add_command(
        steps, _submit, "submit", "compile a pipeline and start it on a Kubeflow Pipelines host",
        "touchline-train pipeline submit event --host http://localhost:8080"
        " --image registry.example.com/touchline:1 --set data=s3://bucket/recordings.csv",
    )  # fmt: skip
    _common(submit)
    submit.add_argument("--host", required=True, metavar="URL", help="of Kubeflow Pipelines, such as a port-forward's")
    submit.add_argument("--image", default="", metavar="URI", help="the image of the steps, from Dockerfile.train")
    submit.add_argument("--experiment", default="touchline", metavar="NAME", help="(default: touchline)")


def add_runs(commands: Commands) -> None:
    """Add `runs` with its own subcommands."""
    runs = commands.add_parser(
        "runs",
        help="what runs of pipelines did and made: list, show, compare",
        description="Runs of pipelines: their parameters, steps, figures, data, code and bundles.",
        epilog="example: touchline-train runs list /tmp/event",
    )
    steps = runs.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = add_command(steps, _list, "list", "list the runs of a folder", "touchline-train runs list /tmp/event")
    listing.add_argument("out", metavar="DIR", help="the --out of `pipeline run`")
    show = add_command(
        steps, _show, "show", "show one run, the last by default; or which run, data and code made a bundle",
        "touchline-train runs show /tmp/event --picture run.svg",
    )  # fmt: skip
    show.add_argument("out", metavar="DIR_OR_BUNDLE")
    show.add_argument("run", nargs="?", metavar="RUN", help="(default: the last)")
    show.add_argument("--picture", metavar="SVG", help="draw the pipeline with what became of each step")
    compare = add_command(
        steps, _compare, "compare", "show in what two runs differ: parameters, data, code, figures",
        "touchline-train runs compare /tmp/event event-20261126-101500-1a2b event-20261126-104500-3c4d",
    )  # fmt: skip
    compare.add_argument("out", metavar="DIR")
    compare.add_argument("first", metavar="RUN")
    compare.add_argument("second", metavar="RUN")


def _ordered(arguments: argparse.Namespace) -> Order:
    from cloud_train.pipelines.catalogue import order
    from cloud_train.pipelines.ready import require_ready

    wanted = order(arguments.name, dict(arguments.set), arguments.on)
    require_ready(wanted)
    return wanted


def _run(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from cloud_train import stop
    from cloud_train.atomic import write_atomically
    from cloud_train.job import refuse_foreign
    from cloud_train.pipelines.catalogue import parameters
    from cloud_train.pipelines.summary import summary, to_json

    wanted = _ordered(arguments)
    out = Path(arguments.out)
    from cloud_train.pipelines.catalogue import graph
    from cloud_train.pipelines.run import run

    if "publish" in parameters(graph(wanted)) and not wanted.arguments.get("publish"):
        refuse_foreign(out / "bundle")
        wanted = replace(wanted, arguments={**wanted.arguments, "publish": str((out / "bundle").absolute())})
    stop.listen()
    record, steps = run(wanted, out)
    summary(out, record, steps)
    if arguments.json:
        write_atomically(Path(arguments.json), to_json(record, steps))
    if record.state == "stopped":
        from cloud_train.stop import Stopped

        msg = f"run {record.id} was stopped; the same command goes on"
        raise Stopped(msg)
    return 0 if record.state == "done" else RUN_ERROR


def _compile(arguments: argparse.Namespace) -> int:
    from cloud_train.pipelines.catalogue import compile_to, order

    wanted = order(arguments.name, dict(arguments.set), arguments.on)
    compile_to(wanted, Path(arguments.out), arguments.image)
    sys.stdout.write(f"{arguments.out}: pipeline {arguments.name} for Kubeflow Pipelines\n")
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from cloud_train.pipelines.catalogue import compile_to, order
    from cloud_train.pipelines.submit import submit

    wanted = order(arguments.name, dict(arguments.set), arguments.on)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compile_to(wanted, file, arguments.image)
        page = submit(
            file, arguments.host, experiment=arguments.experiment, arguments=wanted.arguments,
            token=os.environ.get("TOUCHLINE_KFP_TOKEN", ""),
        )  # fmt: skip
    sys.stdout.write(f"{page}\n")
    return 0


def _picture(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.pipelines.picture import draw
    from cloud_train.recordings import DataError

    if not Path(arguments.yaml).is_file():
        msg = f"{arguments.yaml}: no such file; make one with `touchline-train pipeline compile`"
        raise DataError(msg)
    write_atomically(Path(arguments.out), draw(Path(arguments.yaml)))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from cloud_train.pipelines.lineage import listed

    sys.stdout.write(listed(Path(arguments.out)))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.pipelines.lineage import find, of_bundle, shown
    from cloud_train.pipelines.picture import draw
    from cloud_train.pipelines.record import YAML, steps
    from edge.bundle import MANIFEST

    out = Path(arguments.out)
    if (out / MANIFEST).is_file():
        sys.stdout.write(of_bundle(out))
        return 0
    folder, record = find(out, arguments.run)
    sys.stdout.write(shown(folder, record))
    if arguments.picture:
        write_atomically(Path(arguments.picture), draw(folder / YAML, steps(folder)))
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from cloud_train.pipelines.lineage import compared, find

    out = Path(arguments.out)
    sys.stdout.write(compared(find(out, arguments.first), find(out, arguments.second)))
    return 0
