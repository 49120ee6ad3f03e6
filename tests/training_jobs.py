"""A SageMaker on loopback that trains: moto keeps the books, and each job runs in a folder like a container's."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from clouds import jobs
from moto.sagemaker.responses import SageMakerResponse

from cloud_train.aws import Aws, S3Address, s3_address
from cloud_train.follow import LOG_GROUP
from cloud_train.pipelines.jobs.local import local_jobs
from cloud_train.pipelines.jobs.spec import ENDS, JobSpec


@contextmanager
def training(aws: Aws, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let moto's CreateTrainingJob and StopTrainingJob do what they say, in processes of this machine."""
    aws.logs.create_log_group(logGroupName=LOG_GROUP)
    create, machines, threads = SageMakerResponse.create_training_job, local_jobs(folder), []

    def create_training_job(self: SageMakerResponse) -> Any:
        answer, asked = create(self), json.loads(self.body)
        jobs()[asked["TrainingJobName"]].training_job_status = "InProgress"
        threads.append(Thread(target=_lead, args=(aws, machines, asked)))
        threads[-1].start()
        return answer

    def stop_training_job(self: SageMakerResponse) -> str:
        name = json.loads(self.body)["TrainingJobName"]
        jobs()[name].training_job_status = "Stopping"
        machines.stop(name)
        return "{}"

    monkeypatch.setattr(SageMakerResponse, "create_training_job", create_training_job)
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop_training_job, raising=False)
    yield
    for name in machines.names(""):
        machines.stop(name)
    for thread in threads:
        thread.join()


def _lead(aws: Aws, machines: Any, asked: dict[str, Any]) -> None:
    """Lead one job's life: bring its data, run it, tell its log, and put what it made where SageMaker does."""
    name, kept = asked["TrainingJobName"], s3_address(asked["CheckpointConfig"]["S3Uri"], "checkpoints")
    home = machines.folder / name / "ml"
    for key in _keys(aws, kept):
        _download(aws, S3Address(kept.bucket, key), home / "checkpoints" / key.removeprefix(f"{kept.key}/"))
    program = asked["AlgorithmSpecification"]
    spec = JobSpec(
        name, tuple(program["ContainerArguments"]), _channel(aws, asked, home.parent / "channel"),
        environment=asked["Environment"], max_seconds=asked["StoppingCondition"]["MaxRuntimeInSeconds"],
        restarts=asked.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0),
        program=tuple(program["ContainerEntrypoint"][1:]),
    )  # fmt: skip
    machines.start(spec)
    found = _followed(aws, machines, name)
    for file in (file for file in (home / "checkpoints").rglob("*") if file.is_file()):
        key = f"{kept.key}/{file.relative_to(home / 'checkpoints')}"
        aws.s3.put_object(Bucket=kept.bucket, Key=key, Body=file.read_bytes())
    if found.status == "Completed":
        to = s3_address(jobs()[name].model_artifacts["S3ModelArtifacts"], "the model")
        aws.s3.put_object(Bucket=to.bucket, Key=to.key, Body=_packed(home / "model"))
    jobs()[name].failure_reason = found.reason
    jobs()[name].training_job_status = found.status


def _followed(aws: Aws, machines: Any, name: str) -> Any:
    stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{name}/algo-1-1"}
    aws.logs.create_log_stream(**stream)
    seen, restarts = None, 0
    while True:
        found = machines.describe(name)
        lines, seen = machines.log(name, seen)
        if lines:
            events = [{"timestamp": round(time.time() * 1000), "message": line or " "} for line in lines]
            aws.logs.put_log_events(**stream, logEvents=events)
        for _ in range(found.restarts - restarts):
            jobs()[name].secondary_status_transitions.append({"Status": "Restarting"})
        restarts = found.restarts
        if found.status in ENDS:
            return found
        time.sleep(0.2)


def _channel(aws: Aws, asked: dict[str, Any], folder: Path) -> str:
    """Bring exactly the files that the channel's list names."""
    if "InputDataConfig" not in asked:
        return ""
    (source,) = [one["DataSource"]["S3DataSource"] for one in asked["InputDataConfig"]]
    assert source["S3DataType"] == "ManifestFile"
    listed = s3_address(source["S3Uri"], "the channel's list")
    prefix, *names = json.load(aws.s3.get_object(Bucket=listed.bucket, Key=listed.key)["Body"])
    for name in names:
        _download(aws, s3_address(f"{prefix['prefix']}{name}", "data"), folder / name)
    return str(folder)


def _keys(aws: Aws, below: S3Address) -> list[str]:
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=below.bucket, Prefix=f"{below.key}/")
    return [one["Key"] for page in pages for one in page.get("Contents", ())]


def _download(aws: Aws, address: S3Address, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aws.s3.download_file(address.bucket, address.key, str(file))


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, file.name)
    return packed.getvalue()
