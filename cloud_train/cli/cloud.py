"""Training jobs, here or in SageMaker: train, submit."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge.clip import MODALITIES
from edge.commands import Commands, add_command, positive

from .hyperparameters import add_hyperparameters, args_of, checked, defaults

if TYPE_CHECKING:
    from cloud_train.aws import Aws
    from cloud_train.job import Job
    from cloud_train.sagemaker import Container
    from cloud_train.submit import Request


def add_train(commands: Commands) -> None:
    """Add `train`."""
    train = add_command(
        commands,
        _train,
        "train",
        "one whole training job, here or in a SageMaker container: recordings in, bundle out; goes on after a kill",
        "touchline-train train --data recordings/ --out bundles/match --epochs 20 --audio-epochs 60",
    )
    place = train.add_argument_group("places (in a SageMaker container they have defaults)")
    place.add_argument("--data", metavar="DIR_OR_MANIFEST", help="recordings, or features extracted and split")
    place.add_argument("--out", metavar="BUNDLE", help="where the bundle goes")
    place.add_argument("--work", metavar="DIR", help="what a second start goes on from (default: BUNDLE-work)")
    add_hyperparameters(train)


def add_submit(commands: Commands) -> None:
    """Add `submit`."""
    submit = add_command(
        commands,
        _submit,
        "submit",
        "run `train` as a SageMaker training job: upload, create, follow, fetch the bundle",
        "touchline-train submit --image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/touchline:1"
        " --role arn:aws:iam::123456789012:role/train --data recordings/ --output s3://bucket/touchline"
        " --hyperparameter epochs=30 --fetch bundles/match",
    )
    job = submit.add_argument_group("the job")
    job.add_argument("--image", metavar="URI", help="an image in ECR that runs `touchline-train`")
    job.add_argument("--role", metavar="ARN", help="what the job may do")
    job.add_argument("--data", metavar="DIR_OR_S3", help="a folder, which is uploaded, or s3://bucket/prefix")
    job.add_argument("--output", metavar="S3", help="s3://bucket/prefix for uploads, checkpoints and the model")
    job.add_argument("--name", help="(default: touchline- and the time)")
    job.add_argument("--instance-type", default="ml.g5.xlarge", metavar="T", help="(default: ml.g5.xlarge)")
    job.add_argument("--instances", type=positive, default=1, metavar="N", help="(default: 1)")
    job.add_argument("--volume-gb", type=positive, default=50, metavar="N", help="disk for data and work (default: 50)")
    job.add_argument("--spot", action="store_true", help="on spare capacity: cheaper; an interruption is resumed")
    job.add_argument("--max-hours", type=float, default=24.0, metavar="H", help="stop training then (default: 24)")
    job.add_argument("--checkpoints", default="", metavar="S3", help="an earlier job's, to go on from (default: new)")
    _pairs(job, "--hyperparameter", "a setting of `touchline-train train`, such as epochs=30; may be repeated")
    _pairs(job, "--tag", "a tag of the job; may be repeated")
    submit.add_argument("--region", metavar="R", help="(default: that of the AWS configuration)")
    submit.add_argument("--attach", metavar="NAME", help="follow a job that was submitted before")
    submit.add_argument("--no-wait", action="store_true", help="return once the job is created")
    submit.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="how often to look (default: 10)")
    submit.add_argument("--fetch", metavar="BUNDLE", help="where the finished bundle goes")
    submit.add_argument("--json", metavar="F", help="write name, status, model and metrics of the job as JSON")


def _pairs(group: argparse._ArgumentGroup, option: str, what: str) -> None:
    group.add_argument(option, action="append", type=pair, default=[], metavar="K=V", help=what)


def pair(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        msg = f"{text!r} is not NAME=VALUE"
        raise argparse.ArgumentTypeError(msg)
    return name, value


def _submit(arguments: argparse.Namespace) -> int:
    from cloud_train.aws import connect, explained
    from cloud_train.submit import check, submit

    _refuse_fetch(arguments)
    request = None if arguments.attach else _request(arguments)
    aws = connect(arguments.region)
    with explained():
        if request is None:
            return _follow(arguments, aws, arguments.attach)
        check(request, aws.region)
        _say(f"created {submit(aws, request)}")
        return _follow(arguments, aws, request.name)


def _follow(arguments: argparse.Namespace, aws: Aws, name: str) -> int:
    """Follow a job to its end and fetch what it made, as far as the options ask for it."""
    from cloud_train.atomic import write_atomically
    from cloud_train.aws import s3_address
    from cloud_train.follow import follow, require_success, summary
    from cloud_train.transfer import fetch
    from edge.describe import describe

    try:
        if arguments.no_wait:
            job = aws.sagemaker.describe_training_job(TrainingJobName=name)
        else:
            job = follow(aws, name, _say, every_seconds=arguments.every)
    except KeyboardInterrupt:
        sys.stderr.write(_goes_on(name, aws.region))
        return 128 + signal.SIGINT
    found = summary(job)
    if arguments.json:
        write_atomically(Path(arguments.json), (json.dumps(found, indent=2) + "\n").encode())
    if arguments.no_wait:
        return 0
    require_success(job)
    _say(f"model: {found['model']}")
    if arguments.fetch:
        _say(describe(fetch(aws, s3_address(found["model"], "the model"), Path(arguments.fetch))))
    return 0


def _refuse_fetch(arguments: argparse.Namespace) -> None:
    from cloud_train.job import refuse_foreign
    from cloud_train.recordings import DataError

    if arguments.fetch and arguments.no_wait:
        msg = "--fetch waits for the job; leave out --no-wait"
        raise DataError(msg)
    if arguments.fetch:
        refuse_foreign(Path(arguments.fetch))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _goes_on(name: str, region: str) -> str:
    return (
        f"\ntouchline-train: job {name} goes on; follow it: touchline-train submit --attach {name} --region {region}; "
        f"stop it: aws sagemaker stop-training-job --training-job-name {name} --region {region}\n"
    )


def _request(arguments: argparse.Namespace) -> Request:
    from cloud_train.recordings import DataError
    from cloud_train.submit import Request

    for option in ("image", "role", "data", "output"):
        if not getattr(arguments, option):
            msg = f"--{option} is missing; a new job needs --image, --role, --data and --output"
            raise DataError(msg)
    settings, tags = dict(arguments.hyperparameter), dict(arguments.tag)
    checked(settings)
    name = arguments.name or f"touchline-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}"
    same = {field.name: getattr(arguments, field.name) for field in fields(Request) if hasattr(arguments, field.name)}
    return Request(**{**same, "name": name, "hyperparameters": settings, "tags": tags})


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
        {modality: args_of(settings, modality) for modality in MODALITIES},
        tuple(settings["modalities"] or ()),
        settings["name"] or (here.job_name if here else "") or out.resolve().name,
        settings["version"],
        settings["rule"],
    )


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
