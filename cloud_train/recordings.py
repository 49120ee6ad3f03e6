"""What is trained on: labelled recordings, listed by a folder or a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class DataError(Exception):
    """Training data that cannot be used; the message names the file or class and what would be right."""


class TrainingError(Exception):
    """A training that failed at run time; the message says what happened and what is kept."""


@dataclass(frozen=True)
class Recording:
    """One labelled recording: a video, a sound or a photograph (a recording of one frame).

    `id` names it, and its shard of features; `side` is train, validation or test once it has been split;
    `seconds` and the content hash `sha256` are known once it has been extracted.
    """

    id: str
    uri: str
    label: str
    side: str = ""
    seconds: int = 0
    sha256: str = ""


def find_recordings(source: str | Path) -> tuple[Recording, ...]:
    """List the recordings of a folder of class folders, or of a CSV with the columns uri, label, recording."""
    source = Path(source)
    rows = list(_from_csv(source)) if source.is_file() else list(_from_folder(source))
    if not rows:
        msg = f"{source}: no recordings; give a folder of class folders or a CSV with uri,label,recording"
        raise DataError(msg)
    ids = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        msg = f"{source}: recording {twice!r} is listed twice"
        raise DataError(msg)
    return tuple(rows)


def _from_folder(source: Path) -> Iterator[Recording]:
    if not source.is_dir():
        msg = f"{source}: no such folder or CSV"
        raise DataError(msg)
    for folder in sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")):
        for file in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
            yield Recording(f"{folder.name}--{file.name}", str(file), folder.name)


def _from_csv(source: Path) -> Iterator[Recording]:
    with source.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"uri", "label"} - set(reader.fieldnames or ())
        if missing:
            msg = f"{source}: has no column {min(missing)!r}; the columns are uri, label, recording"
            raise DataError(msg)
        for row in reader:
            uri = str(source.parent / row["uri"])
            name = row.get("recording") or row["uri"]
            yield Recording("".join(c if c.isalnum() or c in "-_." else "_" for c in name), uri, row["label"])
