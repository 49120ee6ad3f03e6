"""The Sports-1M labels as the 25 classes of the reference, and its lists of videos.

The labels and the lists are of github.com/gtoderici/sports-1m-dataset (annotations: CC BY 3.0). Which of its 487
labels make up which class is our reading: docs/data.md says how it was made and what in it is open.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from edge.clip import UNKNOWN

from .recordings import DataError, Recording, file_name, located, read_text

LABELS = 487
TABLES = Path(__file__).parent / "labels"
VERSIONS = ("s1m25-v1", "s1m25-v1-literal")
MIXED = "mixed"
"""Videos whose labels belong to two classes: left out of training."""
CLOSE = "close"
"""Videos of no class whose labels are but close to one, where these are not taken in: left out of training."""
_LINE = re.compile(r"(?P<uri>\S.*?)\s+(?P<labels>[0-9]{1,9}(?:\s*,\s*[0-9]{1,9})*)")


@dataclass(frozen=True)
class LabelTable:
    """Which Sports-1M label (by its line in labels.txt, from 0) is of which class; any other is `unknown`.

    `close` holds the labels that are close to a class and not taken in: neither of it nor `unknown`.
    """

    version: str
    sha256: str
    classes: Mapping[int, str]
    close: Mapping[int, str]

    def __call__(self, labels: frozenset[int]) -> str:
        """Give the class of a video with these labels, or `unknown`, MIXED or CLOSE."""
        own = {self.classes[label] for label in labels if label in self.classes}
        found = own | {self.close[label] for label in labels if label in self.close}
        if len(found) > 1:
            return MIXED
        return CLOSE if found != own else next(iter(found), UNKNOWN)


def load_labels(version: str = "s1m25-v1", *, extra: bool = False) -> LabelTable:
    """Read a table of labels; `extra` takes in also those that are but close to a class."""
    if version not in VERSIONS:
        msg = f"label table {version!r} is not one of {', '.join(VERSIONS)}"
        raise DataError(msg)
    data = (TABLES / f"{version}.csv").read_bytes()
    rows = list(csv.DictReader(data.decode("utf-8").splitlines()))
    classes, close = (
        {int(row["index"]): row["class"] for row in rows if (extra or row["kind"] == "core") is taken}
        for taken in (True, False)
    )
    return LabelTable(version, hashlib.sha256(data).hexdigest(), classes, close)


def read_partition(file: Path, table: LabelTable, media: Path | None = None) -> Iterator[tuple[str, Recording]]:
    """List the videos of a partition file, each with its place there; a label may be MIXED or CLOSE.

    Lines hold an address, a space, and label numbers parted by commas; a video with several lines has the labels of
    all. Its id is its own on its site. With `media` its recording is the file of that name there, if it is there.
    """
    here = _files(media) if media else {}
    videos: dict[str, tuple[str, set[int]]] = {}
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if line.strip():
            uri, own = _line(line.strip(), f"{file}, line {number}")
            videos.setdefault(uri, (f"line {number}", set()))[1].update(own)
    for uri, (place, labels) in videos.items():
        name = video_id(uri)
        yield place, Recording(name, here.get(name) or located(uri, file, place), table(frozenset(labels)))


def _files(media: Path) -> dict[str, str]:
    """The files of a folder by name without ending; of a video and its thumbnail, which share one, the larger."""
    if not media.is_dir():
        msg = f"{media}: no such folder of videos"
        raise DataError(msg)
    files = (path for path in media.iterdir() if path.is_file())
    return {file_name(p.stem): str(p) for p in sorted(files, key=lambda path: (path.stat().st_size, path.name))}


def _line(line: str, where: str) -> tuple[str, frozenset[int]]:
    parts = _LINE.fullmatch(line)
    if parts is None:
        msg = f"{where}: expected an address, a space and label numbers such as 168,169; found {line[:200]!r}"
        raise DataError(msg)
    labels = frozenset(map(int, parts["labels"].split(",")))
    if max(labels) >= LABELS:
        msg = f"{where}: label {max(labels)} is outside 0 to {LABELS - 1}"
        raise DataError(msg)
    return parts["uri"], labels


def video_id(uri: str) -> str:
    """Give the id of a video from its address: the `v` of a watch page, else the file's name."""
    try:
        place = urlsplit(uri)
    except ValueError:  # no address, as fetching it will say
        return file_name(uri)
    return file_name(parse_qs(place.query).get("v", [Path(place.path).stem])[0] or uri)
