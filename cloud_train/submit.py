"""A training job for SageMaker: checked here, where a mistake costs nothing, and created."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import __version__

from .aws import Aws, CloudError, S3Address, require_bucket, s3_address
from .recordings import DataError, find_recordings
from .sagemaker import BASE_DIR, CHANNEL, metric_definitions
from .transfer import upload

MOST_HOURS = 672
"""SageMaker's limit for one job: 28 days."""
_PATTERNS = {
    "name": (r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "up to 63 letters, digits and inner hyphens"),
    "image": (
        r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/[a-z0-9][a-z0-9._/-]*"
        r"(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})?",
        "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG",
    ),
    "role": (r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", "arn:aws:iam::ACCOUNT:role/NAME"),
    "instance_type": (r"ml\.[a-z0-9-]+\.[a-z0-9-]+", "like ml.g5.xlarge"),
}


@dataclass(frozen=True)
class Request:
    """What a training job needs to know; `data` is a folder or an S3 prefix, `output` an S3 prefix.

    `checkpoints` is where its unfinished work is kept, `output`/checkpoints/`name` if empty; give an earlier job's to
    go on from there. `max_hours` bounds the training; with `spot`, waiting for cheap instances may take as long again.
    """

    name: str
    image: str
    role: str
    data: str
    output: str
    instance_type: str = "ml.g5.xlarge"
    instances: int = 1
    volume_gb: int = 50
    max_hours: float = 24.0
    spot: bool = False
    checkpoints: str = ""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def check(request: Request, region: str) -> None:
    """Raise a DataError where SageMaker would refuse the request, or fail after paid minutes."""
    for name, (pattern, like) in _PATTERNS.items():
        found = re.fullmatch(pattern, getattr(request, name))
        if not found:
            msg = f"{_option(name)} {getattr(request, name)!r} is not valid; it must be {like}"
            raise DataError(msg)
        if name == "image" and found["region"] != region:
            msg = (
                f"--image is in {found['region']} and the job would run in {region}; SageMaker needs both in one region"
            )
            raise DataError(msg)
    if request.instances != 1:
        msg = f"--instances {request.instances}: a job trains on one instance; the others would be paid for nothing"
        raise DataError(msg)
    if not 0 < request.max_hours <= MOST_HOURS:
        msg = f"--max-hours {request.max_hours:g} is not possible; it must be above 0 and at most {MOST_HOURS}"
        raise DataError(msg)
    for name in ("output", "checkpoints"):
        if getattr(request, name) or name == "output":
            s3_address(getattr(request, name), _option(name))
    if request.data.startswith("s3://"):
        s3_address(request.data, "--data")
    else:
        _check_folder(Path(request.data))


def _check_folder(folder: Path) -> None:
    from .dataset import INDEX
    from .job import listed

    if not folder.is_dir():
        msg = f"--data {folder}: no such folder; give one, or an S3 prefix"
        raise DataError(msg)
    if not (folder / INDEX).is_file():
        find_recordings(listed(folder))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def submit(aws: Aws, request: Request) -> str:
    """Upload the data where they are a folder, create the job, and return its ARN."""
    output = s3_address(request.output, "--output")
    require_bucket(aws, output.bucket)
    if request.data.startswith("s3://"):
        data = s3_address(request.data, "--data")
        _require_objects(aws, data)
        source = {"S3DataType": "S3Prefix", "S3Uri": f"{data}/"}  # without the slash, `all` would mean `all-old` too
    else:
        folder = Path(request.data).resolve()
        source = {"S3DataType": "ManifestFile", "S3Uri": str(upload(aws, folder, output / "data" / folder.name))}
    return str(aws.sagemaker.create_training_job(**job_definition(request, source))["TrainingJobArn"])


def _require_objects(aws: Aws, data: S3Address) -> None:
    require_bucket(aws, data.bucket)
    prefix = f"{data.key}/" if data.key else ""
    if not aws.s3.list_objects_v2(Bucket=data.bucket, Prefix=prefix, MaxKeys=1).get("KeyCount"):
        msg = f"{data}/: nothing is there; SageMaker copies what lies below it"
        raise CloudError(msg)


def job_definition(request: Request, source: Mapping[str, str]) -> dict[str, Any]:
    """Give the arguments of CreateTrainingJob."""
    seconds = round(request.max_hours * 3600)
    output = s3_address(request.output, "--output")
    limits = {"MaxRuntimeInSeconds": seconds}
    if request.spot:
        limits["MaxWaitTimeInSeconds"] = min(2 * seconds, MOST_HOURS * 3600)
    tags = {"touchline": __version__, **request.tags}
    return {
        "TrainingJobName": request.name,
        "AlgorithmSpecification": {
            "TrainingImage": request.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(),
        },
        "RoleArn": request.role,
        "HyperParameters": dict(request.hyperparameters),
        "InputDataConfig": [
            {
                "ChannelName": CHANNEL,
                "DataSource": {"S3DataSource": {**source, "S3DataDistributionType": "FullyReplicated"}},
                "InputMode": "File",
            }
        ],
        "OutputDataConfig": {"S3OutputPath": str(output)},
        "CheckpointConfig": {
            "S3Uri": request.checkpoints or str(output / "checkpoints" / request.name),
            "LocalPath": f"{BASE_DIR}/checkpoints",
        },
        "ResourceConfig": {
            "InstanceType": request.instance_type,
            "InstanceCount": request.instances,
            "VolumeSizeInGB": request.volume_gb,
        },
        "StoppingCondition": limits,
        "EnableManagedSpotTraining": request.spot,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
