"""Votes of labelled seconds, and the class-model table and the unknown threshold estimated from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.clip import Modality, Vote
from edge.fusion import ClassModelTable, Fusion, Row, vote

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .looks import Looks

MINIMUM_MARGIN = 0.02
"""A modality replaces the best one for a label only if its F1 there is better by this: less is noise."""
RIGHT_DECISIONS_KEPT = 0.99
LEAST_KEPT = 0.95
"""However well it refuses unknown seconds, the threshold keeps this share of the right decisions."""
FOLDS = 5

Votes = dict[tuple[str, int], tuple[int, list[Vote]]]
"""For every (recording id, second): the true label's index and the votes of the modalities that saw it."""


def join_votes(predictions: Mapping[Modality, Looks], labels: Sequence[str]) -> Votes:
    """Bring the modalities' looks together, second by second; unknown seconds (y = -1) are left out."""
    return {key: pair for key, pair in _joined(predictions, labels).items() if pair[0] >= 0}


def join_unknown(predictions: Mapping[Modality, Looks], labels: Sequence[str]) -> Votes:
    """Bring the looks at unknown seconds together: those that show none of the labels (y = -1)."""
    return {key: pair for key, pair in _joined(predictions, labels).items() if pair[0] < 0}


def _joined(predictions: Mapping[Modality, Looks], labels: Sequence[str]) -> Votes:
    joined: Votes = {}
    for name, looks in predictions.items():
        keys = np.stack([looks.recording, looks.second], axis=1)
        starts = np.flatnonzero(np.r_[True, (np.diff(keys, axis=0) != 0).any(axis=1)])
        for a, b in zip(starts, [*starts[1:], len(keys)], strict=True):
            key = looks.ids[keys[a, 0]], int(keys[a, 1])
            _, votes = joined.setdefault(key, (int(looks.y[a]), []))
            votes.append(vote(name, looks.x[a:b], labels))
    return joined


def f1_scores(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Give each class's F1 score; 0 where a class is neither true nor predicted."""
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    sizes = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)
    scores: NDArray[np.float64] = 2 * hits / np.maximum(1, sizes)
    return scores


def estimate_table(votes: Votes, labels: Sequence[str], version: str = "t-0001") -> ClassModelTable:
    """Choose for each label the modality with the best validation F1, and the best one overall as default.

    Rows that name another modality than the default are taken in the order of their margin, unless the true
    labels become less probable by them: a row also answers for the seconds that call it by mistake.
    """
    scores = single_scores(votes, labels)
    ranked = ranking(votes, labels)
    default = ranked[0]

    def row(i: int, name: Modality) -> Row:
        return Row(name, {each: round(float(scores[each][i]), 4) for each in ranked})

    best = {i: max(ranked, key=lambda name: scores[name][i]) for i in range(len(labels))}
    margin = {i: scores[best[i]][i] - scores[default][i] for i in best}
    table = ClassModelTable({label: row(i, default) for i, label in enumerate(labels)}, ranked, version)
    quality = true_probability(votes, table)
    for i in sorted(best, key=lambda i: -margin[i]):
        if margin[i] < MINIMUM_MARGIN:
            break
        bolder = ClassModelTable({**table.table, labels[i]: row(i, best[i])}, ranked, version)
        bolder_quality = true_probability(votes, bolder)
        if bolder_quality >= quality:  # equal where no validation second calls the row: F1 alone decides then
            table, quality = bolder, bolder_quality
    return table


def true_probability(votes: Votes, fusion: Fusion) -> float:
    """Give the mean probability that the fused seconds give to their true labels."""
    return float(np.mean([fusion(cast).probabilities[truth] for truth, cast in votes.values()]))


def ranking(votes: Votes, labels: Sequence[str]) -> tuple[Modality, ...]:
    """Order the modalities by their mean F1, best first."""
    scores = single_scores(votes, labels)
    return tuple(sorted(scores, key=lambda name: -scores[name].mean()))


def single_scores(votes: Votes, labels: Sequence[str]) -> dict[Modality, NDArray[np.float64]]:
    """Give every modality's F1 per class over the seconds that it saw."""
    names = {v.modality: None for _, cast in votes.values() for v in cast}
    scores = {}
    for name in names:
        pairs = [(y, labels.index(v.label)) for y, cast in votes.values() for v in cast if v.modality == name]
        truth, predicted = np.array(pairs).T
        scores[name] = f1_scores(truth, predicted, len(labels))
    return scores


def unknown_threshold(votes: Votes, fusion: Fusion, labels: Sequence[str], unknown: Votes | None = None) -> float:
    """Choose the score below which a second is `unknown`.

    Where there are `unknown` seconds, it is the one with the largest mean of two shares: of the right decisions, those
    that stand (95 % at least), and of the unknown seconds, those refused. Else 99 % of the right decisions stand.
    """
    right = right_scores(votes, fusion, labels)
    if not right.size:
        return 0.0
    if not unknown:
        return float(np.quantile(right, 1 - RIGHT_DECISIONS_KEPT, method="lower"))
    others = np.array([fusion(cast).score for _, cast in unknown.values()])
    seen = np.unique(np.concatenate([[0.0], right, others]))
    thresholds = np.concatenate([[0.0], (seen[1:] + seen[:-1]) / 2])
    kept = (right[None] >= thresholds[:, None]).mean(axis=1)
    refused = (others[None] < thresholds[:, None]).mean(axis=1)
    return float(thresholds[np.where(kept >= LEAST_KEPT, kept + refused, -1.0).argmax()])


def right_scores(votes: Votes, fusion: Fusion, labels: Sequence[str]) -> NDArray[np.float64]:
    """Give the scores of the seconds that are fused to their true label."""
    decisions = [(labels[truth], fusion(cast)) for truth, cast in votes.values()]
    return np.array([decision.score for label, decision in decisions if decision.label == label])


def folds(votes: Votes) -> Iterator[tuple[Votes, Votes]]:
    """Split seconds by recording into FOLDS parts; give for each part the other seconds and its own.

    Recordings of one label go to different parts as far as they can. With fewer than two recordings there is no fold.
    """
    label = {recording: truth for (recording, _), (truth, _) in votes.items()}
    fold = {recording: i % FOLDS for i, recording in enumerate(sorted(label, key=lambda id_: (label[id_], id_)))}
    for i in range(min(FOLDS, len(fold)) if len(fold) > 1 else 0):
        seen = {key: pair for key, pair in votes.items() if fold[key[0]] != i}
        yield seen, {key: pair for key, pair in votes.items() if fold[key[0]] == i}
