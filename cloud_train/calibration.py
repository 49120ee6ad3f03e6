"""Temperatures that make each modality's probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge.boosted import FLOOR
from edge.clip import MODALITIES, Modality, Vote
from edge.fusion import tempered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .fusion import Votes

LOWEST, HIGHEST = 0.2, 5.0
"""Temperatures stay between these: a few validation seconds that are all right would otherwise ask for 0."""


def temperature(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Give the temperature under which `probabilities` [n, classes] make the true labels most likely.

    Minimises the negative log-likelihood (Guo et al., 2017, arXiv:1706.04599), which is convex in 1 / T, by bisection
    of its derivative. A true label below FLOOR counts as FLOOR: an int8 zero is no infinite mistake.
    """
    log = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    of_truth = np.log(np.maximum(probabilities[np.arange(len(truth)), truth], FLOOR)).mean()
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(40):
        middle = (low + high) / 2
        slope = (tempered(probabilities, 1 / middle) * log).sum(axis=1).mean() - of_truth
        low, high = (low, middle) if slope > 0 else (middle, high)
    return round(float(2 / (low + high)), 4)


def fit_temperatures(votes: Votes) -> dict[Modality, float]:
    """Fit the temperature of every modality that cast one of the (uncalibrated) votes."""
    fitted: dict[Modality, float] = {}
    for name in MODALITIES:
        pairs = [(v.probabilities, truth) for truth, cast in votes.values() for v in cast if v.modality == name]
        if pairs:
            probabilities, truth = (np.array(column) for column in zip(*pairs, strict=True))
            fitted[name] = temperature(probabilities, truth)
    return fitted


def calibrated(votes: Votes, temperatures: Mapping[Modality, float], labels: Sequence[str]) -> Votes:
    """Apply temperatures to votes, as `edge.fusion.vote` does where a vote is made."""

    def one(vote: Vote) -> Vote:
        probabilities = tempered(np.array(vote.probabilities), temperatures.get(vote.modality, 1.0))
        score = float(probabilities[labels.index(vote.label)])
        return replace(vote, score=score, probabilities=tuple(map(float, probabilities)))

    return {key: (truth, [one(vote) for vote in cast]) for key, (truth, cast) in votes.items()}
