"""What is done about a finding besides showing it: a request to stop, an MQTT message, a command, a webhook."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_train.aws import Aws, CloudError, explained
from cloud_train.recordings import DataError
from edge.address import MqttError, MqttUrl

from .finding import Finding
from .saved import STOP, StopRequest, debug_place, to_json

if TYPE_CHECKING:
    from edge.tls import Security

log = logging.getLogger(__name__)

Action = Callable[[Finding, str], None]
"""Does something about a finding of a job; raises one of FAILURES where it could not."""
SECONDS = 10.0
"""How long one action may take."""
FAILURES = (OSError, subprocess.SubprocessError, CloudError, DataError, MqttError, ValueError)


def act(actions: Sequence[Action], finding: Finding, job: str) -> None:
    """Do all actions; one that fails is named in the log, and the others are done."""
    for action in actions:
        try:
            action(finding, job)
        except FAILURES as error:
            name = getattr(action, "__qualname__", repr(action)).partition(".")[0]
            log.warning("%s about %s: %s", name.replace("_", " "), finding.rule, error)


def message(finding: Finding, job: str) -> dict[str, Any]:
    """Give what messages, webhooks and commands are told."""
    return {"job": job, **asdict(finding)}


def stop_request(run: str | Path) -> Action:
    """Ask the job that saves to `run` to end at its next step; it looks for this itself."""

    def stop_job(finding: Finding, _: str) -> None:
        debug_place(run).write(STOP, to_json(StopRequest(f"{finding.rule}: {finding.message}")))

    return stop_job


def stop_training_job(aws: Aws, prefix: str) -> Action:
    """Stop the SageMaker training job whose name begins with `prefix`; refuse where several do, or none is running."""

    def stop_sagemaker_job(_: Finding, __: str) -> None:
        with explained():
            pages = aws.sagemaker.get_paginator("list_training_jobs")
            listed = [
                job["TrainingJobName"]
                for page in pages.paginate(NameContains=prefix, StatusEquals="InProgress")
                for job in page["TrainingJobSummaries"]
            ]
            running = sorted(name for name in listed if name.startswith(prefix))
            if len(running) != 1:
                names = f"{len(running)} running jobs ({', '.join(running[:3])})" if running else "no running job"
                msg = f"{names} begin with {prefix!r}; nothing was stopped, for exactly one must be meant"
                raise CloudError(msg)
            aws.sagemaker.stop_training_job(TrainingJobName=running[0])

    return stop_sagemaker_job


def mqtt_message(url: MqttUrl, security: Security | None = None) -> Action:
    """Publish a finding as JSON, QoS 1, to `BASE/training/JOB/finding`."""

    def publish(finding: Finding, job: str) -> None:
        from paho.mqtt import publish as paho

        level = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in job) or "job"
        tls: Any = None
        if url.tls:
            from edge.tls import Security

            tls = (security or Security()).context()
        user: Any = {"username": url.user, "password": url.password} if url.user else None
        paho.single(
            f"{url.base}/training/{level}/finding", json.dumps(message(finding, job)), qos=1,
            hostname=url.host, port=url.port, keepalive=int(SECONDS),
            auth=user, tls=tls,
        )  # fmt: skip

    return publish


def webhook(url: str) -> Action:
    """POST a finding as JSON to an http(s) address."""
    if not url.startswith(("http://", "https://")):
        msg = f"webhook {url!r} is no address; it must begin with http:// or https://"
        raise DataError(msg)

    def post(finding: Finding, job: str) -> None:
        body = json.dumps(message(finding, job)).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            pass

    return post


def command(line: str) -> Action:
    """Run a program; it finds the finding as JSON on its standard input, and in TOUCHLINE_RULE, _MESSAGE and _JOB."""
    words = shlex.split(line)
    if not words:
        msg = "the command is empty"
        raise DataError(msg)

    def run_command(finding: Finding, job: str) -> None:
        told = {"TOUCHLINE_RULE": finding.rule, "TOUCHLINE_MESSAGE": finding.message, "TOUCHLINE_JOB": job}
        subprocess.run(
            words, input=json.dumps(message(finding, job)).encode(), env={**os.environ, **told}, check=True,
            timeout=SECONDS, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    return run_command
