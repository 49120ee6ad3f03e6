"""The providers by name; a job is named `provider:id` where steps hand it on."""

from __future__ import annotations

from collections.abc import Mapping

from cloud_train.recordings import DataError

from .spec import Jobs

PROVIDERS = ("local", "ray", "sagemaker", "aws-batch")


def provider(name: str, cloud: Mapping[str, str]) -> Jobs:
    """Give where jobs run; what it needs is loaded only here."""
    if name == "local":
        from .local import local_jobs

        return local_jobs()
    if name == "ray":
        from .ray import ray_jobs

        return ray_jobs(cloud)
    if name == "sagemaker":
        from .sagemaker import SagemakerJobs

        return SagemakerJobs(cloud)
    if name == "aws-batch":
        from .batch import BatchJobs

        return BatchJobs(cloud)
    msg = f"provider {name!r} is not known; known are {', '.join(PROVIDERS)}"
    raise DataError(msg)


def simulation_provider(on: str) -> str:
    """Say where simulation jobs run: RoboMaker is no more, and AWS names Batch in its place."""
    return "aws-batch" if on == "sagemaker" else on
