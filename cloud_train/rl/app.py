"""A simulation application: what simulation jobs simulate, and where they find their learner.

It is a folder that all see, or an S3 prefix: `app.json` says what is simulated and holds the secret by which learner
and jobs know each other, `learner.json` where the learner listens at present.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.recordings import DataError

APP, LEARNER = "app.json", "learner.json"


@dataclass(frozen=True)
class SimulationApp:
    """A task with its options, and the secret of those who take part."""

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""


def create(place: str, task: str, options: Mapping[str, Any]) -> SimulationApp:
    """Make an application at `place`; one that is there with the same task stays, with its secret."""
    old = _read(place, APP)
    if old is not None:
        app = msgspec.convert(old, SimulationApp)
        if (app.task, dict(app.options)) == (task, dict(options)):
            return app
    app = SimulationApp(task, dict(options), token_hex(32))
    _write(place, APP, asdict(app))
    return app


def load(place: str) -> SimulationApp:
    """Read the application; DataError where there is none."""
    raw = _read(place, APP)
    if raw is None:
        msg = f"{place}: is no simulation application ({APP} is missing)"
        raise DataError(msg)
    return msgspec.convert(raw, SimulationApp)


def announce(place: str, host: str, port: int) -> None:
    """Say where the learner listens."""
    _write(place, LEARNER, {"host": host, "port": port})


def learner(place: str) -> tuple[str, int] | None:
    """Give where the learner listens, None while there is none."""
    raw = _read(place, LEARNER)
    return None if raw is None else (str(raw["host"]), int(raw["port"]))


def delete(place: str) -> None:
    """Remove the application; what is not there is left at that."""
    if not place.startswith("s3://"):
        shutil.rmtree(place, ignore_errors=True)
        return
    aws, address = _s3(place)
    for name in (LEARNER, APP):
        aws.s3.delete_object(Bucket=address.bucket, Key=(address / name).key)


def _read(place: str, name: str) -> Any:  # noqa: ANN401 - decoded JSON
    if not place.startswith("s3://"):
        file = Path(place) / name
        return json.loads(file.read_bytes()) if file.is_file() else None
    aws, address = _s3(place)
    try:
        return json.load(aws.s3.get_object(Bucket=address.bucket, Key=(address / name).key)["Body"])
    except aws.s3.exceptions.NoSuchKey:
        return None


def _write(place: str, name: str, what: Mapping[str, Any]) -> None:
    data = json.dumps(what).encode()
    if place.startswith("s3://"):
        aws, address = _s3(place)
        aws.s3.put_object(Bucket=address.bucket, Key=(address / name).key, Body=data)
        return
    Path(place).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(Path(place) / name, data)


def _s3(place: str) -> tuple[Any, Any]:
    from cloud_train.aws import connect, s3_address

    return connect(None), s3_address(place, "the simulation application")
