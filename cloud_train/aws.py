"""The door to AWS: clients, S3 addresses, and what AWS refuses in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .recordings import DataError

_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


class CloudError(Exception):
    """AWS did not do what was asked, or a job failed; the message says what and why."""


@dataclass(frozen=True)
class Aws:
    """Clients of the services that jobs need, in one region."""

    region: str
    s3: Any
    sagemaker: Any
    logs: Any
    batch: Any
    sts: Any

    def identity(self) -> str:
        """Give the ARN of whoever calls; everyone may ask, so that it tells whether the credentials are good."""
        return str(self.sts.get_caller_identity()["Arn"])


@dataclass(frozen=True)
class S3Address:
    """`s3://bucket/key`; the key has no slash at its ends."""

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> S3Address:
        return S3Address(self.bucket, f"{self.key}/{name}".strip("/"))


def s3_address(text: str, what: str) -> S3Address:
    """Read an `s3://` address; DataError names `what` was wrong."""
    found = re.fullmatch(rf"s3://({_BUCKET})(?:/(.*))?", text)
    if not found:
        msg = f"{what} {text!r} is no S3 address; it must look like s3://bucket/prefix"
        raise DataError(msg)
    return S3Address(found[1], (found[2] or "").strip("/"))


def connect(region: str | None) -> Aws:
    """Make the clients; what fails for a moment is tried again, as botocore's standard mode does."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        msg = "training jobs in AWS need boto3, which is not installed: pip install 'touchline[train]'"
        raise DataError(msg) from None
    config = Config(retries={"mode": "standard"}, connect_timeout=10, read_timeout=60)
    with explained():
        session = boto3.Session(region_name=region)
        if session.region_name is None:
            msg = "no AWS region: give --region, or set AWS_DEFAULT_REGION"
            raise DataError(msg)
        services = ("s3", "sagemaker", "logs", "batch", "sts")
        return Aws(session.region_name, *(session.client(name, config=config) for name in services))


def require_bucket(aws: Aws, bucket: str) -> None:
    """Raise CloudError where a bucket does not exist; one that may not be looked at is left for later."""
    try:
        aws.s3.head_bucket(Bucket=bucket)
    except aws.s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            msg = f"bucket {bucket!r} does not exist; make it in {aws.region}, or name another"
            raise CloudError(msg) from None


@contextmanager
def explained() -> Iterator[None]:
    """Turn botocore's exceptions into a DataError (what to set up) or a CloudError (what AWS refused)."""
    from botocore import exceptions as boto

    try:
        yield
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound) as error:
        msg = f"no AWS credentials ({str(error).rstrip('.')}); log in, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
        raise DataError(msg) from None
    except boto.ClientError as error:
        raise CloudError(_in_a_sentence(error)) from None
    except boto.EndpointConnectionError as error:
        msg = f"AWS cannot be reached ({str(error).rstrip('.')})"
        raise CloudError(msg) from None
    except boto.BotoCoreError as error:
        raise CloudError(" ".join(str(error).split())) from None


_REASONS = {
    "AccessDenied": "AWS denies it to these credentials",
    "Throttling": "AWS had too many requests, and still after several tries; try again later",
    "ResourceLimitExceeded": "the account's quota does not allow it; ask for more in Service Quotas, or choose another",
    "ResourceInUse": "a job of this name exists; choose another --name",
    "NoSuchBucket": "the bucket does not exist",
    "NoSuchKey": "the object does not exist",
    "ExpiredToken": "the AWS credentials have expired; log in again",
    "InvalidClientTokenId": "AWS does not know these credentials",
    "UnrecognizedClient": "AWS does not know these credentials",
}


def _in_a_sentence(error: Any) -> str:  # noqa: ANN401 - a ClientError, and botocore is untyped
    code = {"403": "AccessDenied", "404": "NoSuchKey", "TooManyRequests": "Throttling"}.get(
        error.response["Error"]["Code"], error.response["Error"]["Code"]
    )
    said = error.response["Error"].get("Message", "").rstrip(".")
    reason = next((why for name, why in _REASONS.items() if code.startswith(name)), code)
    return f"{error.operation_name}: {reason}" + (f" ({said})" if said else "")
