"""Features to models: all, fit."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from edge.clip import MODALITIES, Modality
from edge.commands import Commands, add_command

from .data import extracted, feature_options
from .judging import report

if TYPE_CHECKING:
    from cloud_train.args import Args


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
    feature_options(fit)
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
    from cloud_train import stop
    from cloud_train.backend import load_tensorflow
    from cloud_train.dataset import INDEX, Dataset
    from cloud_train.split import split

    args = training_args(arguments, arguments.modality)
    features = Path(arguments.data)
    if not (features / INDEX).is_file():
        features = Path(arguments.out) / "features"
        extracted(arguments.data, features, arguments)
    dataset = Dataset.load(features)
    if not all(r.side for r in dataset.recordings):
        dataset = replace(dataset, recordings=split(dataset.recordings))
        dataset.save()

    load_tensorflow()  # takes seconds: only after the data was found good
    from cloud_train.train import fit

    stop.listen()
    run = fit(dataset, arguments.modality, args, arguments.out)
    if run is None:  # the chief says the rest
        return 0
    for name, value in run.metrics.items():
        sys.stdout.write(f"{name.replace('_', ' ')}: {value:.3f}\n")
    return 0
