"""What is trained on: labelled recordings, listed by a folder or a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .progress import console

COLUMNS = "uri, label, recording"


class DataError(Exception):
    """Training data that cannot be used; the message names the file or class and what would be right."""


class TrainingError(Exception):
    """A training that failed at run time; the message says what happened and what is kept."""


@dataclass(frozen=True)
class Recording:
    """One labelled recording: a video, a sound or a photograph (a recording of one frame).

    `id` names it, and its shard of features; `side` is train, validation or test once it has been split;
    `seconds` and the content hash `sha256` are known once it has been extracted. The label `unknown` is no class.
    """

    id: str
    uri: str
    label: str
    side: str = ""
    seconds: int = 0
    sha256: str = ""


def find_recordings(
    source: str | Path, *, labels: str = "s1m25-v1", extra: bool = False, media: str | Path | None = None
) -> tuple[Recording, ...]:
    """List the recordings of a folder of class folders, of a table, or of a Sports-1M partition file.

    A table is a CSV or Parquet file with the columns uri, label and, optional, recording; its uris are files beside
    it, or addresses (http, https, s3). A partition is a .txt file; `labels` names the table of its classes, `extra`
    and `media` are as in `sports1m`.
    """
    source = Path(source)
    if source.suffix == ".txt":
        from .sports1m import MIXED, load_labels, read_partition

        folder = Path(media) if media else None
        listed = list(read_partition(source, load_labels(labels, extra=extra), folder)) if source.is_file() else []
        rows = [row for row in listed if row.label != MIXED]
        if len(rows) < len(listed):
            console.print(
                f"left out: {len(listed) - len(rows)} videos with labels of several classes",
                highlight=False,
                soft_wrap=True,
            )
    elif source.is_file():
        rows = list(_from_table(source, _parquet(source) if source.suffix == ".parquet" else _csv(source)))
    else:
        rows = list(_from_folder(source))
    if not rows:
        msg = f"{source}: no recordings; give a folder of class folders, or a CSV or Parquet file with {COLUMNS}"
        raise DataError(msg)
    _refuse_twice(source, [row.id for row in rows])
    return tuple(rows)


def _refuse_twice(source: Path, ids: list[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            msg = f"{source}: recording {name!r} is listed twice"
            raise DataError(msg)
        seen.add(name)


def _from_folder(source: Path) -> Iterator[Recording]:
    if not source.is_dir():
        msg = f"{source}: no such folder or table"
        raise DataError(msg)
    for folder in sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")):
        for file in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
            yield Recording(f"{folder.name}--{file.name}", str(file), folder.name)


def _csv(source: Path) -> Iterator[dict[str, Any]]:
    try:
        with source.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            _refuse_columns(source, reader.fieldnames or ())
            yield from reader
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{source}: is not CSV in UTF-8 ({error})"
        raise DataError(msg) from None


def _parquet(source: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        msg = f"{source}: Parquet needs PyArrow, which is not installed: pip install 'touchline[train]'"
        raise DataError(msg) from None
    try:
        file = parquet.ParquetFile(source)
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"{source}: is not Parquet ({str(error).splitlines()[0]})"
        raise DataError(msg) from None
    names = file.schema_arrow.names
    _refuse_columns(source, names)
    for batch in file.iter_batches(columns=[name for name in ("uri", "label", "recording") if name in names]):
        yield from batch.to_pylist()


def _refuse_columns(source: Path, names: Iterable[str]) -> None:
    missing = {"uri", "label"} - set(names)
    if missing:
        msg = f"{source}: has no column {min(missing)!r}; the columns are {COLUMNS}"
        raise DataError(msg)


def _from_table(source: Path, rows: Iterable[dict[str, Any]]) -> Iterator[Recording]:
    for number, row in enumerate(rows, 1):
        for column in ("uri", "label"):
            if not isinstance(row[column], str) or not row[column].strip():
                msg = f"{source}: row {number} has no {column}"
                raise DataError(msg)
        uri = row["uri"] if "://" in row["uri"] else str(source.parent / row["uri"])
        name = str(row.get("recording") or row["uri"])
        yield Recording("".join(c if c.isalnum() or c in "-_." else "_" for c in name), uri, row["label"])
