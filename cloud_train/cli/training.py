"""Features to models: all, fit."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from edge.clip import MODALITIES, Modality
from edge.commands import Commands, add_command, positive

from .data import extracted, feature_options
from .debugging import RULES_HELP, action_options, actions_of, write_verdicts
from .judging import report

if TYPE_CHECKING:
    from cloud_train.args import Args
    from cloud_train.dataset import Dataset
    from cloud_train.watched import Watched


NARROW, NARROW_PIXELS = 0.5, 288
"""A narrow network gains by larger pictures: on photographs 0.844 instead of 0.816 (docs/training.md)."""


def add_all(commands: Commands) -> None:
    """Add `all`."""
    everything = add_command(
        commands,
        _all,
        "all",
        "each step on the synthetic world: render, learn, fuse, export, judge",
        "touchline-train all --preset demo --out /tmp/demo",
    )
    everything.add_argument("--preset", choices=("demo", "tiny"), default="demo", help="how much (default: demo)")
    everything.add_argument("--out", required=True, metavar="DIR")
    everything.add_argument("--json", metavar="F", help="write the scores to this file as JSON")


def add_fit(commands: Commands) -> None:
    """Add `fit`."""
    fit = add_command(
        commands,
        _fit,
        "fit",
        "train one modality in two steps",
        "touchline-train fit rgb --data recordings/ --alpha 0.35 --out runs/rgb",
    )
    fit.add_argument("modality", choices=MODALITIES)
    fit.add_argument("--data", required=True, metavar="DIR_OR_MANIFEST", help="recordings, or extracted features")
    fit.add_argument("--out", required=True, metavar="RUN")
    fit.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that share each batch")
    fit.add_argument("--engine", choices=("local", "ray"), default="local", help="where the workers run")
    fit.add_argument(
        "--watch", action="store_true", help="have rules judge the training, and stop it when one finds something"
    )
    fit.add_argument(
        "--rules", default="", metavar="A,B", help=f"with --watch: other rules than the usual ones; {RULES_HELP}"
    )
    action_options(fit)
    feature_options(fit, pixels=None, pixels_help=f"default: 224; {NARROW_PIXELS} for MobileNetV2 below {NARROW}")
    training_options(fit)


def training_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a training, as `Args` describes them."""
    from cloud_train.args import DEFAULTS, Args

    group = command.add_argument_group("training")
    kinds = get_type_hints(Args)
    for field in fields(Args):
        defaults = {modality: getattr(args, field.name) for modality, args in DEFAULTS.items()}
        values = f"{field.default}; audio: {defaults['audio']}" if len(set(defaults.values())) > 1 else field.default
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            choices=get_args(kinds[field.name]) or None,
            help=f"{field.metadata['help']} (default: {values})",
        )


def training_args(arguments: argparse.Namespace, modality: Modality) -> Args:
    """Give the settings of one modality's training: what was asked for, else its defaults."""
    from cloud_train.args import DEFAULTS

    given = {field.name: getattr(arguments, field.name) for field in fields(DEFAULTS[modality])}
    return replace(DEFAULTS[modality], **{name: value for name, value in given.items() if value is not None})


def _all(arguments: argparse.Namespace) -> int:
    from cloud_train.presets import run_all

    bundle, results = run_all(arguments.preset, arguments.out)
    return report(results, arguments.json, f"bundle: {bundle.path}")


def _fit(arguments: argparse.Namespace) -> int:
    from cloud_train import cluster, stop
    from cloud_train.backend import load_tensorflow
    from cloud_train.parallel import end_with
    from cloud_train.workers import fit_command, train_together

    if cluster.PARENT in os.environ:
        end_with(int(os.environ[cluster.PARENT]))
    args = training_args(arguments, arguments.modality)
    watched = _watched(arguments)
    if arguments.pixels is None:
        narrow = args.backbone == "mobilenet_v2" and args.alpha < NARROW
        arguments.pixels = NARROW_PIXELS if narrow else 224
    dataset = _prepared(arguments)
    stop.listen()
    out = Path(arguments.out)
    if arguments.workers > 1:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(args).items()]
        command = fit_command(arguments.modality, dataset.path, out, options)
        train_together(command, arguments.workers, out, arguments.engine)
        return 0
    cluster.join()
    load_tensorflow()  # takes seconds: only after the data was found good
    from cloud_train.train import fit

    run = fit(dataset, arguments.modality, args, out, watched=watched)
    if watched is not None:
        from cloud_train.debugger.judge import verdicts

        write_verdicts(verdicts(out), sys.stderr)
    for name, value in run.metrics.items() if run is not None else ():  # the chief alone has a run to speak of
        sys.stdout.write(f"{name.replace('_', ' ')}: {value:.3f}\n")
    return 0


def _watched(arguments: argparse.Namespace) -> Watched | None:
    """Read `--watch` and what belongs to it."""
    from cloud_train.debugger.rules import read_rules
    from cloud_train.recordings import DataError
    from cloud_train.watched import Watched

    if not arguments.watch:
        if arguments.rules or arguments.mqtt or arguments.webhook or arguments.run_command:
            msg = "--rules and actions belong to --watch; add it, or leave them out"
            raise DataError(msg)
        return None
    if arguments.workers > 1:
        msg = "--watch sees one process train; leave out --workers"
        raise DataError(msg)
    return Watched(read_rules(arguments.rules), actions_of(arguments))


def _prepared(arguments: argparse.Namespace) -> Dataset:
    """Give the features to train on, extracted and split first where they are not yet."""
    from cloud_train.dataset import INDEX, Dataset
    from cloud_train.split import split

    features = Path(arguments.data)
    if not (features / INDEX).is_file():
        features = Path(arguments.out) / "features"
        extracted(arguments.data, features, arguments)
    dataset = Dataset.load(features)
    if not all(r.side for r in dataset.recordings):
        dataset = replace(dataset, recordings=split(dataset.recordings))
        dataset.save()
    return dataset
