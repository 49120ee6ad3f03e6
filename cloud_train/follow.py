"""A training job as it runs: its status and its log, each line once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from .aws import Aws, CloudError

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ENDS = ("Completed", "Failed", "Stopped")
LAG_SECONDS = 5.0
"""How long after the end of a job the last lines of its log are waited for."""


class Log:
    """The log of a job in CloudWatch, by default of SageMaker's `name`; remembers what has been read."""

    def __init__(self, aws: Aws, name: str, *, group: str = LOG_GROUP, prefix: str = "") -> None:
        self._logs, self._group, self._prefix = aws.logs, group, prefix or f"{name}/"
        self._tokens: dict[str, str] = {}

    def new_lines(self) -> Iterator[str]:
        """Give the lines that have come since the last call, of all hosts."""
        for stream in self._streams():
            while True:
                token = self._tokens.get(stream)
                position = {"nextToken": token} if token else {}
                page = self._logs.get_log_events(
                    logGroupName=self._group, logStreamName=stream, startFromHead=True, **position
                )
                self._tokens[stream] = page["nextForwardToken"]
                yield from (event["message"] for event in page["events"])
                if page["nextForwardToken"] == token:  # at the end the same token comes back
                    break

    def _streams(self) -> list[str]:
        pages = self._logs.get_paginator("describe_log_streams").paginate(
            logGroupName=self._group, logStreamNamePrefix=self._prefix
        )
        try:
            return sorted(stream["logStreamName"] for page in pages for stream in page["logStreams"])
        except self._logs.exceptions.ResourceNotFoundException:
            return []  # no job has ever logged here


def follow(aws: Aws, name: str, say: Callable[[str], None], *, every_seconds: float = 10.0) -> dict[str, Any]:
    """Say status changes and log lines as they come until the job ends; return its last description."""
    log = Log(aws, name)
    said: set[tuple[str, str]] = set()
    while True:
        job: dict[str, Any] = aws.sagemaker.describe_training_job(TrainingJobName=name)
        for change in job.get("SecondaryStatusTransitions", ()):
            status = (change["Status"], change.get("StatusMessage", ""))
            if status not in said:
                said.add(status)
                say(f"[{': '.join(filter(None, status))}]")
        for line in log.new_lines():
            say(line)
        if job["TrainingJobStatus"] in ENDS:
            time.sleep(min(LAG_SECONDS, every_seconds))
            for line in log.new_lines():
                say(line)
            return job
        time.sleep(every_seconds)


def require_success(job: dict[str, Any]) -> None:
    """Raise a CloudError with SageMaker's reason where a job did not complete."""
    name, status = job["TrainingJobName"], job["TrainingJobStatus"]
    if status == "Failed":
        msg = f"job {name} failed: {job.get('FailureReason', 'SageMaker gives no reason')}"
        raise CloudError(msg)
    if status == "Stopped":
        msg = f"job {name} was stopped ({job.get('SecondaryStatus', status)}); its checkpoints are kept"
        raise CloudError(msg)


def summary(job: dict[str, Any]) -> dict[str, Any]:
    """Give what a program wants to know of a job, as JSON can hold it."""
    return {
        "name": job["TrainingJobName"],
        "arn": job["TrainingJobArn"],
        "status": job["TrainingJobStatus"],
        "failure": job.get("FailureReason"),
        "model": job.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        "checkpoints": job.get("CheckpointConfig", {}).get("S3Uri"),
        "metrics": {metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", ())},
        "training_seconds": job.get("TrainingTimeInSeconds"),
        "billable_seconds": job.get("BillableTimeInSeconds"),
    }
