"""What is in a data set, what is odd about it and which labels its models doubt, as one record and as files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.bundle import Bundle

from .atomic import write_atomically
from .dataset import Dataset
from .facts import ClassCount, Oddity, count_classes, examine, oddities, wanted
from .recordings import Recording
from .split import duplicates
from .suspects import SUSPECT_COLUMNS, Suspicion, suspicion, to_rows
from .twins import Pair, near_pairs

SUSPECTS = "suspects.csv"


@dataclass(frozen=True)
class Inspection:
    """What a data set holds and what is odd about it; `suspicion` only where a bundle has judged it.

    `having` counts the recordings that have anything for each modality.
    """

    recordings: int
    seconds: int
    having: dict[str, int]
    classes: tuple[ClassCount, ...]
    oddities: tuple[Oddity, ...]
    copies: tuple[tuple[Recording, ...], ...]
    near: tuple[Pair, ...]
    suspicion: Suspicion | None

    def imbalance(self, what: str) -> float | None:
        """Give the largest class's `recordings` or `seconds` over the smallest's; None where that has none."""
        sizes = [sum(getattr(c, what).values()) for c in self.classes]
        return max(sizes) / min(sizes) if min(sizes, default=0) else None

    def counts(self) -> dict[str, int]:
        """Count what was found, by kind."""
        found = Counter(oddity.kind for oddity in self.oddities)
        found["groups of identical recordings"] = len(self.copies)
        found["of these on several sides"] = sum(len({r.side for r in group}) > 1 for group in self.copies)
        found["near-duplicates across sides"] = len(self.near)
        if self.suspicion is not None:
            found["recordings with suspect seconds"] = len(self.suspicion.recordings)
            found["suspect seconds"] = len(self.suspicion.suspects)
        return dict(found)


def inspect(dataset: Dataset, bundle: Bundle | None) -> Inspection:
    """Look through a data set and, with a bundle, judge its labels; DataError where the two do not fit."""
    found = suspicion(dataset, bundle) if bundle is not None else None
    facts = examine(dataset)
    return Inspection(
        recordings=len(dataset.recordings),
        seconds=sum(r.seconds for r in dataset.recordings),
        having={name: sum(name in f.looks for f in facts) for name in wanted(dataset)},
        classes=tuple(count_classes(dataset.recordings)),
        oddities=tuple(oddities(facts)),
        copies=tuple(duplicates(dataset.recordings)),
        near=tuple(near_pairs([f.recording for f in facts], [f.hash for f in facts])),
        suspicion=found,
    )


def to_json(found: Inspection) -> bytes:
    """Give all found as JSON."""
    raw: dict[str, Any] = msgspec.to_builtins(found)
    raw["imbalance"] = {what: found.imbalance(what) for what in ("recordings", "seconds")}
    return msgspec.json.format(msgspec.json.encode(raw), indent=2) + b"\n"


def write_suspects(folder: Path, found: Suspicion) -> Path:
    """Write suspects.csv: the worst recording first, its seconds in order; return its path."""
    text = io.StringIO()
    rows = csv.DictWriter(text, SUSPECT_COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(to_rows(found))
    write_atomically(folder / SUSPECTS, text.getvalue().encode())
    return folder / SUSPECTS
