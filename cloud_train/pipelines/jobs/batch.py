"""Jobs in AWS Batch: where simulations run since RoboMaker ended.

A simulation application is a job definition there; each simulation is a job of it. Commands are arguments of
`touchline-train`, which is the entry point of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloud_train.aws import connect, explained
from cloud_train.follow import Log
from cloud_train.recordings import DataError

from .spec import Description, JobSpec

LOG_GROUP = "/aws/batch/job"
MOST_ATTEMPTS = 10
"""Batch's limit for a job."""
STATES = {"SUCCEEDED": "Completed", "FAILED": "Failed"}


class BatchJobs:
    """Jobs of one queue."""

    def __init__(self, cloud: Mapping[str, str]) -> None:
        if not cloud.get("queue"):
            msg = "AWS Batch needs a job queue: give --set queue=NAME"
            raise DataError(msg)
        self._aws, self._cloud, self._queue = connect(cloud.get("region")), cloud, cloud["queue"]

    def define(self, name: str) -> str:
        """Register the application's job definition, or give the one that is there; its ARN."""
        with explained():
            if there := self._definitions(name):
                return str(there[0])
            made = self._aws.batch.register_job_definition(
                jobDefinitionName=name, type="container",
                containerProperties={
                    "image": self._cloud.get("simulation_image") or self._cloud["image"],
                    "command": ["--version"], "jobRoleArn": self._cloud["job_role"],
                    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
                },
                tags={"touchline": name},
            )  # fmt: skip
            return str(made["jobDefinitionArn"])

    def undefine(self, name: str) -> None:
        """Deregister the application's job definition; none is as good."""
        with explained():
            for arn in self._definitions(name):
                self._aws.batch.deregister_job_definition(jobDefinition=arn)

    def start(self, spec: JobSpec) -> str:
        """Submit a job of the application that its environment names, or take the one that is there."""
        with explained():
            for there in self._listed(spec.name):
                if there["jobName"] == spec.name and there["status"] != "FAILED":
                    return str(there["jobId"])
            made = self._aws.batch.submit_job(
                jobName=spec.name, jobQueue=self._queue, jobDefinition=spec.environment["TOUCHLINE_APP"],
                containerOverrides={
                    "command": list(spec.command),
                    "environment": [{"name": name, "value": value} for name, value in spec.environment.items()],
                },
                retryStrategy={"attempts": min(spec.restarts + 1, MOST_ATTEMPTS)},
                timeout={"attemptDurationSeconds": max(60, round(spec.max_seconds))},
            )  # fmt: skip
            return str(made["jobId"])

    def describe(self, job: str) -> Description:
        """Say how a job stands; one that we terminated is Stopped."""
        found = self._found(job)
        status = STATES.get(found["status"], "InProgress")
        reason = found.get("statusReason", "") if status == "Failed" else ""
        restarts = max(0, len(found.get("attempts", ())) - 1)
        if reason.startswith(STOPPED):
            return Description(job, "Stopped", restarts, reason)
        return Description(job, status, restarts, reason)

    def stop(self, job: str) -> None:
        """Terminate a job."""
        with explained():
            self._aws.batch.terminate_job(jobId=job, reason=STOPPED)

    def names(self, prefix: str) -> list[str]:
        """Give the ids of the jobs whose names begin with `prefix`."""
        with explained():
            return [one["jobId"] for one in self._listed(prefix)]

    def log(self, job: str, seen: Any) -> tuple[list[str], Any]:  # noqa: ANN401 - the log's reader
        """Give the lines in CloudWatch that came since."""
        stream = self._found(job).get("container", {}).get("logStreamName")
        if not stream:
            return [], seen
        reader = seen or Log(self._aws, stream, group=LOG_GROUP, prefix=stream)
        with explained():
            return list(reader.new_lines()), reader

    def fetch(self, job: str, folder: str) -> None:
        """Refuse: a simulation leaves nothing."""
        msg = f"job {job}: a job in AWS Batch leaves no model to put into {folder}"
        raise DataError(msg)

    def _found(self, job: str) -> Any:  # noqa: ANN401 - Batch's description
        with explained():
            found = self._aws.batch.describe_jobs(jobs=[job])["jobs"]
        if not found:
            msg = f"job {job!r} is not known to AWS Batch"
            raise DataError(msg)
        return found[0]

    def _listed(self, prefix: str) -> Sequence[Any]:
        pages = self._aws.batch.get_paginator("list_jobs").paginate(
            jobQueue=self._queue, filters=[{"name": "JOB_NAME", "values": [f"{prefix}*"]}]
        )
        found = [one for page in pages for one in page["jobSummaryList"]]
        return [one for one in found if one["jobName"].startswith(prefix)]

    def _definitions(self, name: str) -> list[str]:
        found = self._aws.batch.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")["jobDefinitions"]
        return [one["jobDefinitionArn"] for one in found]


STOPPED = "stopped by its pipeline"
