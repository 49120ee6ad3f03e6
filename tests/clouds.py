"""An AWS on loopback, made of moto, and an AWS that refuses everything."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from moto.sagemaker.models import FakeTrainingJob, sagemaker_backends
from moto.server import ThreadedMotoServer

from cloud_train.aws import Aws, connect

REGION, ACCOUNT = "eu-west-1", "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/touchline:1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/train"


@contextmanager
def running_moto() -> Iterator[str]:
    """Run moto's server in a thread; yields its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def empty_account(endpoint: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Aws:
    """Send all clients to `endpoint`, where nothing is but the buckets `recordings`, with one object, and `results`."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")) as reset:
        assert reset.status == 200
    aws = connect(None)
    for bucket in ("recordings", "results"):
        aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.s3.put_object(Bucket="recordings", Key="all/tennis/1.mp4", Body=b"x")
    return aws


def jobs() -> dict[str, FakeTrainingJob]:
    """moto's jobs by name, to be looked at and changed: it runs none."""
    return sagemaker_backends[ACCOUNT][REGION].training_jobs


class _Refusal(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.calls += 1
        body = json.dumps({"__type": self.server.error, "message": "as it says."}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def refusing() -> Iterator[ThreadingHTTPServer]:
    """Answer every call with the error that the server's attribute `error` names, and count `calls`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusal) as server:
        server.calls = 0
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
