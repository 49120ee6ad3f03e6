"""A fusion by one of three rules, with all that is estimated for it from validation seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from edge.clip import Modality
from edge.fusion import Fusion, Majority, Rule
from edge.manifest import RuleName

from .calibration import calibrated, fit_temperatures
from .fusion import (
    Votes,
    estimate_table,
    folds,
    join_unknown,
    join_votes,
    right_scores,
    unknown_threshold,
)
from .recordings import DataError
from .stacker import best_rounds, stack

if TYPE_CHECKING:
    from .runs import Run


@dataclass(frozen=True)
class Estimate:
    """A fusion, the temperatures of the votes it was made for, the unknown threshold, and how good each rule is.

    `accuracy` is, for each rule, the share of right seconds in cross-validation over recordings: estimated on four
    fifths of them, judged on the fifth. It is empty where there is but one recording.
    """

    fusion: Rule
    temperatures: dict[Modality, float]
    unknown: float
    accuracy: dict[str, float]


def fuse(runs: Sequence[Run], rule: RuleName = "class_model_table") -> Estimate:
    """Estimate a fusion from the runs' validation predictions."""
    labels = runs[0].manifest.labels
    predictions = {run.modality: run.predictions("validation") for run in runs}
    return estimate(join_votes(predictions, labels), join_unknown(predictions, labels), labels, rule)


def estimate(votes: Votes, unknown: Votes, labels: Sequence[str], rule: RuleName, version: str = "t-0001") -> Estimate:
    """Fit temperatures, then the rule, then the unknown threshold to votes that are not calibrated yet.

    DataError when no second shows any of the labels.
    """
    if not votes:
        msg = "no second shows any of the labels, so there is nothing to estimate a fusion from"
        raise DataError(msg)
    temperatures = fit_temperatures(votes)
    votes, unknown = (calibrated(each, temperatures, labels) for each in (votes, unknown))
    rounds = best_rounds(votes, labels)
    fusion = fit_rule(rule, votes, labels, rounds, version)
    threshold = unknown_threshold(votes, fusion, labels, unknown)
    return Estimate(fusion, temperatures, threshold, compare_rules(votes, labels, rounds))


def fit_rule(rule: RuleName, votes: Votes, labels: Sequence[str], rounds: int, version: str = "t-0001") -> Rule:
    """Estimate one rule from calibrated votes; `rounds` are those of the boosted trees."""
    if rule == "boosted_trees":
        return stack(votes, labels, rounds, version)
    return Majority() if rule == "majority" else estimate_table(votes, labels, version)


def compare_rules(votes: Votes, labels: Sequence[str], rounds: int) -> dict[str, float]:
    """Give each rule's accuracy in cross-validation over recordings."""
    right: dict[str, int] = {}
    for seen, held_out in folds(votes):
        for rule in get_args(RuleName):
            count = right_scores(held_out, fit_rule(rule, seen, labels, rounds), labels).size
            right[rule] = right.get(rule, 0) + count
    return {rule: count / len(votes) for rule, count in right.items()}


def accuracy(votes: Votes, fusion: Fusion, labels: Sequence[str]) -> float:
    """Give the share of seconds that a fusion gives their true label."""
    return float(np.mean([fusion(cast).label == labels[truth] for truth, cast in votes.values()]))
