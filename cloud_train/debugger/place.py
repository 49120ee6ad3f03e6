"""Where the files of a run lie: a folder, or a prefix on S3. A file is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cloud_train.atomic import write_atomically
from cloud_train.aws import S3Address, connect, explained, s3_address


class Place(Protocol):
    """Reads and writes small files by name, such as `run.json` or `steps/train-000000010.safetensors`."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""

    def read(self, name: str) -> bytes | None:
        """Give a file's content; None where there is none."""

    def append(self, name: str, line: bytes) -> None:
        """Add to the end of a file that only this process writes."""


class Folder:
    """A folder of this machine, made when something is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def write(self, name: str, data: bytes) -> None:
        """Write under a temporary name, then rename."""
        file = self._path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, data)

    def read(self, name: str) -> bytes | None:
        """Give a file's content; None where there is none."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def append(self, name: str, line: bytes) -> None:
        """Add a line in one write."""
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / name).open("ab", buffering=0) as file:
            file.write(line)


class Bucket:
    """A prefix on S3, whose objects are whole by nature; what is appended to is written anew each time."""

    def __init__(self, address: S3Address) -> None:
        self._address, self._s3 = address, connect(None).s3
        self._grown: dict[str, bytes] = {}

    def __str__(self) -> str:
        return str(self._address)

    def write(self, name: str, data: bytes) -> None:
        """Put one object."""
        with explained():
            self._s3.put_object(Bucket=self._address.bucket, Key=(self._address / name).key, Body=data)

    def read(self, name: str) -> bytes | None:
        """Get one object; None where there is none."""
        with explained():
            try:
                found = self._s3.get_object(Bucket=self._address.bucket, Key=(self._address / name).key)
            except self._s3.exceptions.NoSuchKey:
                return None
            body: bytes = found["Body"].read()
            return body

    def append(self, name: str, line: bytes) -> None:
        """Put the object with a line more."""
        self._grown[name] = self._grown.get(name, b"") + line
        self.write(name, self._grown[name])


def place(where: str | Path) -> Place:
    """Give the place that an `s3://` address or a path names."""
    if str(where).startswith("s3://"):
        return Bucket(s3_address(str(where), "run"))
    return Folder(Path(where))


@dataclass(frozen=True)
class Seen:
    """A file as a reader last saw it: its time and size, which change with its content."""

    stamp: Any
    size: int


class Mirror:
    """A local copy of a prefix on S3 that grows with it: each object is fetched once, or again when it has changed."""

    def __init__(self, where: str, folder: Path) -> None:
        self._address, self._folder = s3_address(where, "run"), folder
        self._s3 = connect(None).s3
        self._seen: dict[str, Seen] = {}

    def refresh(self) -> None:
        """Fetch what is new."""
        with explained():
            for key, seen in self._listed():
                name = key[len(self._address.key) :].lstrip("/")
                if self._seen.get(name) != seen:
                    got = self._s3.get_object(Bucket=self._address.bucket, Key=key)
                    Folder(self._folder).write(name, got["Body"].read())
                    self._seen[name] = seen

    def _listed(self) -> Iterator[tuple[str, Seen]]:
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._address.bucket, Prefix=f"{self._address.key}/".lstrip("/")):
            for found in page.get("Contents", ()):
                yield found["Key"], Seen(found["ETag"], found["Size"])
