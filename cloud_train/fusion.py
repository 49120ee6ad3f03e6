"""The class-model table, estimated from validation seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.clip import Modality, Vote
from edge.fusion import ClassModelTable, Fusion, Row, vote

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .looks import Looks
    from .runs import Run

MINIMUM_MARGIN = 0.02
"""A modality replaces the best one for a label only if its F1 there is better by this: less is noise."""
RIGHT_DECISIONS_KEPT = 0.99

Votes = dict[tuple[str, int], tuple[int, list[Vote]]]
"""For every (recording id, second): the true label's index and the votes of the modalities that saw it."""


def join_votes(predictions: Mapping[Modality, Looks], labels: Sequence[str]) -> Votes:
    """Bring the modalities' looks together, second by second."""
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


def estimate_table(votes: Votes, labels: Sequence[str]) -> ClassModelTable:
    """Choose for each label the modality with the best validation F1, and the best one overall as default.

    Rows that name another modality than the default are taken in the order of their margin, unless the true
    labels become less probable by them: a row also answers for the seconds that call it by mistake.
    """
    scores = single_scores(votes, labels)
    ranking = tuple(sorted(scores, key=lambda name: -scores[name].mean()))
    default = ranking[0]

    def row(i: int, name: Modality) -> Row:
        return Row(name, {each: round(float(scores[each][i]), 4) for each in ranking})

    best = {i: max(ranking, key=lambda name: scores[name][i]) for i in range(len(labels))}
    margin = {i: scores[best[i]][i] - scores[default][i] for i in best}
    table = ClassModelTable({label: row(i, default) for i, label in enumerate(labels)}, ranking)
    quality = true_probability(votes, table)
    for i in sorted(best, key=lambda i: -margin[i]):
        if margin[i] < MINIMUM_MARGIN:
            break
        bolder = ClassModelTable({**table.table, labels[i]: row(i, best[i])}, ranking)
        bolder_quality = true_probability(votes, bolder)
        if bolder_quality >= quality:  # equal where no validation second calls the row: F1 alone decides then
            table, quality = bolder, bolder_quality
    return table


def true_probability(votes: Votes, fusion: Fusion) -> float:
    """Give the mean probability that the fused seconds give to their true labels."""
    return float(np.mean([fusion(cast).probabilities[truth] for truth, cast in votes.values()]))


def single_scores(votes: Votes, labels: Sequence[str]) -> dict[Modality, NDArray[np.float64]]:
    """Give every modality's F1 per class over the seconds that it saw."""
    names = {v.modality: None for _, cast in votes.values() for v in cast}
    scores = {}
    for name in names:
        pairs = [(y, labels.index(v.label)) for y, cast in votes.values() for v in cast if v.modality == name]
        truth, predicted = np.array(pairs).T
        scores[name] = f1_scores(truth, predicted, len(labels))
    return scores


def unknown_threshold(votes: Votes, fusion: Fusion, labels: Sequence[str]) -> float:
    """Choose the score below which a second is `unknown`, so that 99 % of the right validation decisions stand."""
    decisions = [(labels[truth], fusion(cast)) for truth, cast in votes.values()]
    right = [decision.score for label, decision in decisions if decision.label == label]
    return float(np.quantile(right, 1 - RIGHT_DECISIONS_KEPT, method="lower")) if right else 0.0


def fuse(runs: Sequence[Run]) -> tuple[ClassModelTable, float]:
    """Estimate the table and the unknown threshold from the runs' validation predictions."""
    labels = runs[0].manifest.labels
    votes = join_votes({run.modality: run.predictions("validation") for run in runs}, labels)
    table = estimate_table(votes, labels)
    return table, unknown_threshold(votes, table, labels)
