"""Votes of the modalities into one decision."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import msgspec
import numpy as np

from .boosted import DTYPES, Trees, expert_margins, softmax, stacked
from .clip import MODALITIES, Modality, Vote
from .manifest import RuleName
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
    rule: RuleName = "class_model_table"

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
    rule: RuleName = "majority"

    def __call__(self, votes: Sequence[Vote]) -> Decision:
        """Decide among at least one vote."""
        tally: dict[str, list[Vote]] = {}
        for vote in votes:
            tally.setdefault(vote.label, []).append(vote)
        winners = max(tally.values(), key=lambda group: (len(group), sum(vote.score for vote in group)))
        mean = np.mean([vote.probabilities for vote in winners], axis=0)
        score = sum(vote.score for vote in winners) / len(winners)
        return Decision(winners[0].label, score, tuple(map(float, mean)), "majority", None)


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """A learned fusion: trees over the probabilities of all modalities, starting from their product.

    `labels` are those of the probabilities, in order; `ranking` orders the modalities it was trained on, best first.
    A modality without a vote is missing to the trees, which were trained with modalities left out.
    """

    trees: Trees
    labels: tuple[str, ...]
    ranking: tuple[Modality, ...]
    version: str = "t-0001"
    rule: RuleName = "boosted_trees"

    def __call__(self, votes: Sequence[Vote]) -> Decision:
        """Decide among at least one vote."""
        x = stacked(votes, len(self.labels))[None]
        probabilities = softmax(self.trees.margins(x, expert_margins(x, len(self.labels))))[0]
        best = int(probabilities.argmax())
        return Decision(
            self.labels[best], float(probabilities[best]), tuple(map(float, probabilities)), self.rule, None
        )


Rule = ClassModelTable | Majority | BoostedTrees
Fusion = Callable[[Sequence[Vote]], Decision]
RULES: Mapping[str, type[ClassModelTable | Majority]] = {
    "class_model_table": ClassModelTable,
    "majority": Majority,
}


def fusion_file(rule: RuleName) -> str:
    """Name the bundle's file for a rule: arrays for trees, JSON for the others."""
    return "fusion.npz" if rule == "boosted_trees" else "fusion.json"


def read_fusion(data: bytes, name: str = "fusion.json") -> Rule:
    """Read a fusion file, JSON or .npz as its name says; StrictError names the field or array that does not fit."""
    if name.endswith(".npz"):
        return _from_npz(data)
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


def write_fusion(fusion: Rule) -> bytes:
    """Write a fusion file that `read_fusion` reads back equal: indented UTF-8 JSON, for trees an .npz."""
    if not isinstance(fusion, BoostedTrees):
        return msgspec.json.format(msgspec.json.encode(fusion), indent=2) + b"\n"
    arrays: dict[str, Any] = {name: getattr(fusion.trees, name) for name in DTYPES}
    arrays |= {name: np.array(getattr(fusion, name)) for name in WORDS}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


WORDS: Mapping[str, int] = {"labels": 1, "ranking": 1, "version": 0, "rule": 0}
"""The arrays of text in a file of trees, with their dimensions."""


def _from_npz(data: bytes) -> BoostedTrees:
    try:
        arrays = dict(np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
        msg = f"not readable as arrays ({error})"
        raise StrictError(msg) from None
    for name in (*DTYPES, *WORDS):
        if name not in arrays:
            msg = f"array `{name}`: is missing"
            raise StrictError(msg)
    for name, dimensions in WORDS.items():
        if arrays[name].dtype.kind != "U" or arrays[name].ndim != dimensions:
            msg = f"array `{name}`: is {arrays[name].dtype} {list(arrays[name].shape)}, expected text"
            raise StrictError(msg)
    labels, ranking = (tuple(map(str, arrays[name])) for name in ("labels", "ranking"))
    if str(arrays["rule"]) != "boosted_trees":
        msg = f"array `rule`: is {str(arrays['rule'])!r}, expected 'boosted_trees'"
        raise StrictError(msg)
    if not set(ranking) <= set(MODALITIES):
        msg = f"array `ranking`: is {', '.join(ranking)}; the modalities are {', '.join(MODALITIES)}"
        raise StrictError(msg)
    trees = Trees(**{name: arrays[name] for name in DTYPES})
    trees.check(len(labels))
    return BoostedTrees(trees, labels, ranking, str(arrays["version"]))  # type: ignore[arg-type] # names checked above


TINY = np.finfo(np.float64).tiny


def tempered(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Give p^(1/T) / sum over the last axis: flatter for T above 1, sharper below, the order kept; 1 changes nothing.

    On a softmax's output that is the softmax of its logits divided by T (Guo et al., 2017, arXiv:1706.04599).
    """
    p: NDArray[np.float64] = np.asarray(probabilities, np.float64)
    if temperature == 1.0:
        return p
    raised = (p / np.maximum(p.max(axis=-1, keepdims=True), TINY)) ** (1 / temperature)
    calibrated: NDArray[np.float64] = raised / np.maximum(raised.sum(axis=-1, keepdims=True), TINY)
    return calibrated


def vote(
    modality: Modality, probabilities: NDArray[np.float32], labels: Sequence[str], temperature: float = 1.0
) -> Vote:
    """Make one modality's looks at a second, `[n, classes]`, its vote: their majority, ties by mean probability.

    The vote's probabilities are the mean's, calibrated by `temperature`; which label wins does not depend on it.
    """
    mean = probabilities.mean(axis=0)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=len(labels))
    winner = int(np.lexsort((mean, counts))[-1])
    calibrated = tempered(mean, temperature)
    return Vote(modality, labels[winner], float(calibrated[winner]), tuple(map(float, calibrated)), len(probabilities))
