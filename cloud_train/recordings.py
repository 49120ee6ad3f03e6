"""What is trained on: labelled recordings, listed by a folder or a table."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .progress import console

COLUMNS = "uri, label, recording"
REMOTE = ("http://", "https://", "s3://")
"""How the address of what lies elsewhere begins."""
_LONGEST_NAME = 150
_Row = tuple[str, Mapping[str, Any]]
_Placed = tuple[str, "Recording"]


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
    and `media` are as in `sports1m`. Videos of a partition that are of no single class are left out, and counted on
    stderr.
    """
    source = Path(source)
    if not source.is_file():
        placed = _from_folder(source)
    elif source.suffix == ".txt":
        placed = _from_partition(source, labels, extra=extra, media=Path(media) if media else None)
    else:
        placed = _from_table(source, _parquet(source) if source.suffix == ".parquet" else _csv(source))
    found: dict[str, tuple[str, Recording]] = {}
    for place, row in placed:
        if row.id in found:
            msg = f"{source}, {place}: recording {row.id!r} is listed twice; the first is {found[row.id][0]}"
            raise DataError(msg)
        found[row.id] = place, row
    if not found:
        msg = f"{source}: no recordings; give a folder of class folders, or a CSV or Parquet file with {COLUMNS}"
        raise DataError(msg)
    return tuple(row for _, row in found.values())


def _from_folder(source: Path) -> Iterator[_Placed]:
    if not source.is_dir():
        msg = f"{source}: no such folder or table"
        raise DataError(msg)
    for folder in sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")):
        for file in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
            place = f"{folder.name}/{file.name}"
            if place != place.encode("utf-8", "replace").decode():
                msg = f"{source}: the name {place!r} is not UTF-8; rename it"
                raise DataError(msg)
            yield place, Recording(f"{folder.name}--{file.name}", str(file), folder.name)


def _from_partition(source: Path, labels: str, *, extra: bool, media: Path | None) -> Iterator[_Placed]:
    from .sports1m import CLOSE, MIXED, load_labels, read_partition

    left_out = {MIXED: 0, CLOSE: 0}
    for place, row in read_partition(source, load_labels(labels, extra=extra), media):
        if row.label in left_out:
            left_out[row.label] += 1
        else:
            yield place, row
    for kind, what in ((MIXED, "labels of several classes"), (CLOSE, "no label of a class, but one close to it")):
        if left_out[kind]:
            console.print(f"left out: {left_out[kind]} videos with {what}", highlight=False, soft_wrap=True)


def _from_table(source: Path, rows: Iterable[_Row]) -> Iterator[_Placed]:
    for place, row in rows:
        uri, label, name = (str(row.get(column) or "").strip() for column in ("uri", "label", "recording"))
        if not (uri and label):
            msg = f"{source}, {place}: has no {'label' if uri else 'uri'}"
            raise DataError(msg)
        yield place, Recording(file_name(name or uri), located(uri, source, place), label)


def _csv(source: Path) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(read_text(source), newline=""), strict=True)
    try:
        _refuse_columns(source, reader.fieldnames or ())
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row:
                msg = f"{source}, {place}: has more fields than the table has columns; quote what holds commas"
                raise DataError(msg)
            yield place, row
    except csv.Error as error:
        msg = f"{source}, line {reader.line_num + 1}: is not CSV ({error})"
        raise DataError(msg) from None


def _parquet(source: Path) -> Iterator[_Row]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        msg = f"{source}: Parquet needs PyArrow, which is not installed: pip install 'touchline[train]'"
        raise DataError(msg) from None
    number = 0
    try:
        file = parquet.ParquetFile(source)
        names = file.schema_arrow.names
        _refuse_columns(source, names)
        for batch in file.iter_batches(columns=[name for name in ("uri", "label", "recording") if name in names]):
            columns = [column.cast(pa.string()).to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield f"row {number}", dict(zip(batch.schema.names, values, strict=True))
    except (pa.ArrowException, OSError) as error:
        msg = f"{source}: is not Parquet with columns of text ({str(error).splitlines()[0]})"
        raise DataError(msg) from None


def _refuse_columns(source: Path, names: Iterable[str]) -> None:
    names = list(names)
    missing = {"uri", "label"} - set(names)
    if missing:
        has = f"not {', '.join(map(repr, names))}" if names else "and it has none"
        msg = f"{source}: has no column {min(missing)!r}; the columns are {COLUMNS}, {has}"
        raise DataError(msg)


def read_text(source: Path) -> str:
    """Read UTF-8 text, with or without a byte order mark; DataError names the line that is something else."""
    data = source.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{source}, line {line}: is not UTF-8 text"
        raise DataError(msg) from None


def located(uri: str, source: Path, place: str) -> str:
    """Give an address as it is, and a path from beside the list that holds it; DataError for another scheme."""
    if uri.startswith(REMOTE):
        return uri
    if "://" in uri:
        msg = f"{source}, {place}: {uri!r} is no path, and no address that begins with {', '.join(REMOTE)}"
        raise DataError(msg)
    return str(source.parent / uri)


def file_name(text: str) -> str:
    """Make a file name of any text, of letters, digits and -_. and not too long for a file system."""
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
    if len(name.encode()) > _LONGEST_NAME:
        name = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
        name += f"-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return name if name.strip(".") else name.replace(".", "_")
