"""Training jobs, here or in SageMaker: train, submit."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.clip import MODALITIES
from edge.commands import Commands, add_command

from .hyperparameters import add_hyperparameters, checked, defaults

if TYPE_CHECKING:
    from cloud_train.job import Job
    from cloud_train.sagemaker import Container


def add_train(commands: Commands) -> None:
    """Add `train`."""
    train = add_command(
        commands,
        _train,
        "train",
        "one whole training job, here or in a SageMaker container: recordings in, bundle out; goes on after a kill",
        "touchline-train train --data recordings/ --out bundles/match --alpha 0.35 --audio-epochs 100",
    )
    place = train.add_argument_group("places (in a SageMaker container they have defaults)")
    place.add_argument("--data", metavar="DIR_OR_MANIFEST", help="recordings, or features extracted and split")
    place.add_argument("--out", metavar="BUNDLE", help="where the bundle goes")
    place.add_argument("--work", metavar="DIR", help="what a second start goes on from (default: BUNDLE-work)")
    add_hyperparameters(train)


def _train(arguments: argparse.Namespace) -> int:
    from cloud_train.sagemaker import container, failures_told
    from cloud_train.stop import Stopped, listen

    listen()
    here = container(os.environ)
    with failures_told(here):
        if here and not here.leads:
            sys.stdout.write(f"{here.current_host}: {min(here.hosts)} trains; nothing is to be done here\n")
            return 0
        job = _job(arguments, here)
        from cloud_train.job import run
        from edge.describe import describe

        try:
            sys.stdout.write(describe(run(job)))
        except Stopped as end:
            sys.stderr.write(f"touchline-train: {end}; {job.work} holds what is done, and a new start goes on there\n")
            return 0 if here else 128 + signal.SIGTERM
    return 0


def _job(arguments: argparse.Namespace, here: Container | None) -> Job:
    """Lay the command line over the hyperparameters over the defaults."""
    from cloud_train.args import Args
    from cloud_train.job import Job
    from cloud_train.presets import manifest_draft
    from cloud_train.sagemaker import hyperparameters

    known = defaults()
    given = {name: getattr(arguments, name) for name in known if getattr(arguments, name) is not None}
    raw = hyperparameters(here, os.environ) if here else {}
    settings = {**known, **checked(raw), **given}
    data, out, work, report = _places(arguments, here)
    draft = manifest_draft(
        settings["pixels"],
        frames_per_second=settings["frames_per_second"],
        flow_fields=settings["flow_fields"],
        sound=settings["sound"],
    )
    return Job(
        data,
        out,
        work,
        report,
        draft,
        {modality: Args(**_of(settings, modality)) for modality in MODALITIES},
        tuple(settings["modalities"] or ()),
        settings["name"] or (here.job_name if here else "") or out.resolve().name,
        settings["version"],
    )


def _of(settings: Mapping[str, Any], modality: str) -> dict[str, Any]:
    """Give one modality's training settings: its own go before the common ones."""
    from cloud_train.args import Args

    own = {field.name: settings[f"{modality}_{field.name}"] for field in fields(Args)}
    return {name: settings[name] if value is None else value for name, value in own.items()}


def _places(arguments: argparse.Namespace, here: Container | None) -> tuple[Path, Path, Path, Path]:
    """Say where data, bundle, work and report are."""
    from cloud_train.recordings import DataError
    from cloud_train.sagemaker import channel

    for option in ("data", "out"):
        if here is None and getattr(arguments, option) is None:
            msg = f"--{option} is missing; only in a SageMaker container it has a default"
            raise DataError(msg)
    if here is None:
        out = Path(arguments.out)
        work = Path(arguments.work or out.with_name(f"{out.name}-work"))
        return Path(arguments.data), out, work, work / "report"
    data = Path(arguments.data) if arguments.data else channel(here, os.environ)
    return data, Path(arguments.out or here.model), Path(arguments.work or here.checkpoints), here.output_data
