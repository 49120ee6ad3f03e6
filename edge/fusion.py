"""Votes of the modalities into one decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .clip import Modality, Vote
from .strict import StrictError, strict

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Decision:
    """The fused answer for one second; `winner` is whose answer it is, `row` the table row that decided."""

    label: str
    score: float
    probabilities: tuple[float, ...]
    winner: str
    row: str | None


@dataclass(frozen=True)
class Row:
    """One label's row: the modality to trust and the validation scores (F1) that made it so."""

    modality: Modality
    scores: dict[Modality, float]

    def margin(self, default: Modality) -> float:
        """How much better the row's modality is than the default one."""
        return self.scores.get(self.modality, 0.0) - self.scores.get(default, 0.0)


@dataclass(frozen=True)
class ClassModelTable:
    """The class-model strategy of the reference: a label that is voted for calls the modality best at that label.

    The default is the first of `ranking` that voted. A label's row that names another modality applies if the default
    or that modality itself votes for the label; then the row's modality answers, else the default. For pictures and
    sound that is, word for word, the post's rule: "If the class is found among two labels associated with a 1-second
    sample, vote for the audio model. Otherwise, vote for the RGB model." Where several rows apply, the one with the
    largest margin wins; a modality without a vote this second is passed over.
    """

    table: dict[str, Row]
    ranking: tuple[Modality, ...]
    version: str = "t-0001"
    rule: str = "class_model_table"

    def __call__(self, votes: Sequence[Vote]) -> Decision:
        """Decide among at least one vote."""
        present = {vote.modality: vote for vote in votes}
        default = next(modality for modality in self.ranking if modality in present)
        rows = [
            label
            for modality in present
            for label in {present[default].label, present[modality].label}
            if modality != default and label in self.table and self.table[label].modality == modality
        ]
        row = max(rows, key=lambda label: self.table[label].margin(default), default=None)
        vote = present[default if row is None else self.table[row].modality]
        return Decision(vote.label, vote.score, vote.probabilities, vote.modality, row)


@dataclass(frozen=True)
class Majority:
    """The label with the most votes wins, ties by the sum of scores; probabilities are the winners' mean."""

    version: str = "majority"
    rule: str = "majority"

    def __call__(self, votes: Sequence[Vote]) -> Decision:
        """Decide among at least one vote."""
        tally: dict[str, list[Vote]] = {}
        for vote in votes:
            tally.setdefault(vote.label, []).append(vote)
        winners = max(tally.values(), key=lambda group: (len(group), sum(vote.score for vote in group)))
        mean = np.mean([vote.probabilities for vote in winners], axis=0)
        score = sum(vote.score for vote in winners) / len(winners)
        return Decision(winners[0].label, score, tuple(map(float, mean)), "majority", None)


Fusion = Callable[[Sequence[Vote]], Decision]
RULES: Mapping[str, type[ClassModelTable | Majority]] = {
    "class_model_table": ClassModelTable,
    "majority": Majority,
}


def read_fusion(data: bytes) -> ClassModelTable | Majority:
    """Read a fusion file (JSON); StrictError names the field that does not fit."""
    try:
        raw = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        msg = f"not JSON ({error})"
        raise StrictError(msg) from None
    rule = raw.get("rule") if isinstance(raw, dict) else None
    if not isinstance(rule, str) or rule not in RULES:
        msg = f"rule: {rule!r} is not one of {', '.join(RULES)}"
        raise StrictError(msg)
    return strict(raw, RULES[rule])


def write_fusion(fusion: ClassModelTable | Majority) -> bytes:
    """Write a fusion file: indented UTF-8 JSON that `read_fusion` reads back equal."""
    return msgspec.json.format(msgspec.json.encode(fusion), indent=2) + b"\n"


def vote(modality: Modality, probabilities: NDArray[np.float32], labels: Sequence[str]) -> Vote:
    """Make one modality's looks at a second, `[n, classes]`, its vote: their majority, ties by mean probability."""
    mean = probabilities.mean(axis=0)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=len(labels))
    winner = int(np.lexsort((mean, counts))[-1])
    return Vote(modality, labels[winner], float(mean[winner]), tuple(map(float, mean)), len(probabilities))
