"""Jobs as training jobs in SageMaker, through boto3."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloud_train.aws import connect, explained, s3_address
from cloud_train.follow import Log
from cloud_train.recordings import DataError
from cloud_train.submit import Request, check, job_definition
from cloud_train.transfer import unpacked, upload

from .spec import Description, JobSpec

MOST_RETRIES = 30
"""SageMaker's limit for RetryStrategy."""


def checked_request(cloud: Mapping[str, str]) -> Request:
    """Read what was set of a cloud into a request, and check it as `touchline-train submit` does."""
    aws = connect(cloud.get("region"))
    named = ("image", "role", "output", "instance_type")
    known: dict[str, Any] = {name: cloud[name] for name in named if cloud.get(name)}
    try:
        request = Request(
            name="check", data=cloud["output"], **known, volume_gb=int(cloud.get("volume_gb", "50")),
            max_hours=float(cloud.get("max_hours", "24")), spot=cloud.get("spot", "false") == "true",
            tags=dict(part.split("=", 1) for part in cloud.get("tags", "").split(",") if part),
        )  # fmt: skip
    except ValueError as error:
        msg = f"volume_gb, max_hours and tags: must be two numbers and NAME=VALUE,... ({error})"
        raise DataError(msg) from None
    check(request, aws.region)
    return request


class SagemakerJobs:
    """Training jobs of one account and region."""

    def __init__(self, cloud: Mapping[str, str]) -> None:
        self._aws = connect(cloud.get("region"))
        self._request = checked_request(cloud)
        subnets, groups = cloud.get("subnets", ""), cloud.get("security_groups", "")
        self._network = {"Subnets": subnets.split(","), "SecurityGroupIds": groups.split(",")} if subnets else {}

    def start(self, spec: JobSpec) -> str:
        """Create a training job, or take the one that is there; one that ended badly is created anew as NAME-2, ...

        A job that goes on has the checkpoints of the first. Channels are uploaded, but for what is there already.
        """
        with explained():
            name, number = spec.name, 1
            while (before := self._describe(name)) is not None and before["TrainingJobStatus"] in ("Failed", "Stopped"):
                number += 1
                name = f"{spec.name}-{number}"
            if before is None:
                self._aws.sagemaker.create_training_job(**self._definition(name, spec))
            return name

    def describe(self, job: str) -> Description:
        """Say how a job stands."""
        with explained():
            found = self._aws.sagemaker.describe_training_job(TrainingJobName=job)
        restarts = sum(change["Status"] == "Restarting" for change in found.get("SecondaryStatusTransitions", ()))
        return Description(job, found["TrainingJobStatus"], restarts, found.get("FailureReason", ""))

    def stop(self, job: str) -> None:
        """Ask SageMaker to stop a job."""
        if self.describe(job).status == "InProgress":
            with explained():
                self._aws.sagemaker.stop_training_job(TrainingJobName=job)

    def names(self, prefix: str) -> list[str]:
        """Give the names of the jobs that begin with `prefix`."""
        with explained():
            pages = self._aws.sagemaker.get_paginator("list_training_jobs").paginate(NameContains=prefix)
            names = [one["TrainingJobName"] for page in pages for one in page["TrainingJobSummaries"]]
        return sorted(name for name in names if name.startswith(prefix))

    def log(self, job: str, seen: Any) -> tuple[list[str], Any]:  # noqa: ANN401 - the log's reader
        """Give the lines in CloudWatch that came since."""
        reader = seen or Log(self._aws, job)
        with explained():
            return list(reader.new_lines()), reader

    def fetch(self, job: str, folder: str) -> None:
        """Download and unpack model.tar.gz."""
        with explained(), tempfile.TemporaryDirectory() as scratch:
            found = self._aws.sagemaker.describe_training_job(TrainingJobName=job)
            archive = s3_address(found["ModelArtifacts"]["S3ModelArtifacts"], "the model")
            packed = Path(scratch) / "model.tar.gz"
            with packed.open("wb") as file:
                self._aws.s3.download_fileobj(archive.bucket, archive.key, file)
            Path(folder).mkdir(parents=True, exist_ok=True)
            unpacked(packed, Path(folder), str(archive))

    def _describe(self, name: str) -> Any:  # noqa: ANN401 - SageMaker's description, None where there is no such job
        errors = self._aws.sagemaker.exceptions
        try:
            return self._aws.sagemaker.describe_training_job(TrainingJobName=name)
        except (errors.ResourceNotFound, errors.ClientError) as error:
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            return None

    def _definition(self, name: str, spec: JobSpec) -> dict[str, Any]:
        output = s3_address(self._request.output, "output")
        request = replace(
            self._request, name=name, checkpoints=str(output / "checkpoints" / spec.name),
            max_hours=min(self._request.max_hours, spec.max_seconds / 3600),
        )  # fmt: skip
        source: dict[str, Any] = {}
        if spec.channel:
            folder = Path(spec.channel).resolve()
            listed = upload(self._aws, folder, output / "data" / spec.name)
            source = {"S3DataType": "ManifestFile", "S3Uri": str(listed)}
        made = job_definition(request, source)
        if not spec.channel:
            del made["InputDataConfig"]
        made["AlgorithmSpecification"] |= {
            "ContainerEntrypoint": ["python", *spec.program],
            "ContainerArguments": list(spec.command),
        }
        made["Environment"] = dict(spec.environment)
        if self._network:
            made["VpcConfig"] = self._network
        if spec.restarts:
            made["RetryStrategy"] = {"MaximumRetryAttempts": min(spec.restarts, MOST_RETRIES)}
        return made
