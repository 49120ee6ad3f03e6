"""What a pipeline needs from a cloud, looked at before anything starts."""

from __future__ import annotations

from cloud_train.recordings import DataError

from .catalogue import Order


def require_ready(wanted: Order) -> None:
    """Raise a DataError or CloudError where credentials, a role, an image or a bucket are missing."""
    to = str(wanted.arguments.get("publish", ""))
    if wanted.on != "sagemaker" and not to.startswith("s3://"):
        return
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
