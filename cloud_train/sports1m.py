"""The Sports-1M labels as the 25 classes of the reference, and its lists of videos.

The labels and the lists are of github.com/gtoderici/sports-1m-dataset (annotations: CC BY 3.0). Which of its 487
labels make up which class is our reading: docs/data.md says how it was made and what in it is open.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from edge.clip import UNKNOWN

from .recordings import DataError, Recording

LABELS = 487
TABLES = Path(__file__).parent / "labels"
VERSIONS = ("s1m25-v1", "s1m25-v1-literal")
MIXED = "mixed"
"""Videos whose labels belong to two classes: left out of training."""


@dataclass(frozen=True)
class LabelTable:
    """Which Sports-1M label (by its line in labels.txt, from 0) is of which class; any other is `unknown`."""

    version: str
    sha256: str
    classes: Mapping[int, str]

    def __call__(self, labels: frozenset[int]) -> str:
        """Give the class of a video with these labels, `unknown` where none is of a class, `mixed` for several."""
        found = {self.classes[label] for label in labels if label in self.classes}
        return MIXED if len(found) > 1 else next(iter(found), UNKNOWN)


def load_labels(version: str = "s1m25-v1", *, extra: bool = False) -> LabelTable:
    """Read a table of labels; `extra` takes in also those that are but close to a class."""
    if version not in VERSIONS:
        msg = f"label table {version!r} is not one of {', '.join(VERSIONS)}"
        raise DataError(msg)
    data = (TABLES / f"{version}.csv").read_bytes()
    rows = csv.DictReader(data.decode("utf-8").splitlines())
    classes = {int(row["index"]): row["class"] for row in rows if extra or row["kind"] == "core"}
    return LabelTable(version, hashlib.sha256(data).hexdigest(), classes)


def read_partition(file: Path, table: LabelTable, media: Path | None = None) -> Iterator[Recording]:
    """List the videos of a partition file: lines of an address, a space, and label numbers parted by commas.

    A video's id is its own on its site. With `media` its recording is the file of that name there, if it is there.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        msg = f"{file}: is not UTF-8 text ({error.reason} at byte {error.start}); expected lines of `ADDRESS LABELS`"
        raise DataError(msg) from None
    here = {path.stem: str(path) for path in media.iterdir()} if media else {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            uri, labels = _line(line, f"{file}, line {number}")
            name = video_id(uri)
            yield Recording(name, here.get(name, uri), table(labels))


def _line(line: str, where: str) -> tuple[str, frozenset[int]]:
    uri, _, numbers = line.strip().partition(" ")
    labels = numbers.replace(" ", "").split(",")
    if not all(label.isdecimal() for label in labels):
        msg = f"{where}: expected an address, a space and label numbers such as 168,169; found {line.strip()!r}"
        raise DataError(msg)
    found = frozenset(map(int, labels))
    if max(found) >= LABELS:
        msg = f"{where}: label {max(found)} is outside 0 to {LABELS - 1}"
        raise DataError(msg)
    return uri, found


def video_id(uri: str) -> str:
    """Give the id of a video from its address: the `v` of a watch page, else the file's name."""
    place = urlsplit(uri)
    return parse_qs(place.query).get("v", [Path(place.path).stem])[0]
