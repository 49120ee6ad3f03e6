"""What a pipeline needs from a cloud or a cluster, looked at before anything starts."""

from __future__ import annotations

from cloud_train.recordings import DataError

from .catalogue import Order


def require_ready(wanted: Order) -> None:
    """Raise a DataError or CloudError where credentials, a role, an image, a bucket or a cluster are missing."""
    to = str(wanted.arguments.get("publish", ""))
    if wanted.on == "ray":
        _require_cluster(wanted)
    if wanted.on == "sagemaker" or to.startswith("s3://"):
        _require_account(wanted, to)


def _require_cluster(wanted: Order) -> None:
    from .jobs.cluster import require_cluster
    from .jobs.spec import set_aside
    from .policy import SIMULATIONS

    cloud = wanted.arguments.get("cloud", {})
    simulations = wanted.arguments.get("simulations", SIMULATIONS) if wanted.pipeline == "policy" else 0
    cpus, gpus = set_aside(cloud)
    require_cluster(cloud, cpus=cpus, gpus=gpus, beside=simulations)


def _require_account(wanted: Order, to: str) -> None:
    from cloud_train.aws import connect, explained, require_bucket, s3_address

    cloud = wanted.arguments.get("cloud", {})
    buckets = [s3_address(to, "publish").bucket] if to.startswith("s3://") else []
    if wanted.on == "sagemaker":
        needed: tuple[str, ...] = ("image", "role", "output")
        if wanted.pipeline == "policy":
            needed = (*needed, "queue", "job_role", "subnets", "security_groups")
        missing = [name for name in needed if not cloud.get(name)]
        if missing:
            msg = f"--on sagemaker needs {missing[0]}: give --set {missing[0]}=..., as docs/pipelines.md says"
            raise DataError(msg)
        from .jobs.sagemaker import checked_request

        checked_request(cloud)
        buckets.append(s3_address(cloud["output"], "output").bucket)
    aws = connect(cloud.get("region"))
    with explained():
        aws.identity()
        for bucket in buckets:
            require_bucket(aws, bucket)
