"""What each step of a training is fed: a pure function of seed, epoch and step, so that it can go on anywhere."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edge.clip import Modality

from .args import Args
from .augment import augment, mild
from .looks import Looks

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_WEIGHT = 10.0
"""A class counts at most this many times, and at least one over it: a handful of seconds must not rule."""

Batch = tuple["NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]"]
"""Looks `[n, ...]`, target probabilities `[n, classes]`, and weights `[n]` whose sum over the batch is about 1."""


class Batches:
    """One random look of every second an epoch, in random order, varied and weighted.

    Called with the numbers of an epoch and a step it gives that batch, the same at any time and on any machine.
    """

    def __init__(self, looks: Looks, modality: Modality, classes: int, args: Args, *, cepstral: bool = False) -> None:
        self.looks, self.modality, self._classes, self.args = looks, modality, classes, args
        self._cepstral = cepstral
        self._groups = by_second(looks)
        order, starts, _ = self._groups
        self.seconds = len(starts)
        self._weights = class_weights(looks.y[order[starts]], classes, args)
        self._plan = lru_cache(2)(self._plan_epoch)

    def __len__(self) -> int:
        """Give the number of batches in an epoch."""
        return math.ceil(self.seconds / self.args.batch)

    def __call__(self, epoch: int, step: int, part: int = 0, parts: int = 1) -> Batch:
        """Give a batch, or one of its `parts` when several workers share it."""
        whole = self._plan(epoch)[step * self.args.batch : (step + 1) * self.args.batch]
        chosen = whole[part::parts]
        y = self.looks.y[chosen]
        x = self.looks.x[chosen].astype(np.float32)
        target = targets(y, self._classes, self.args.label_smoothing)
        if self.args.augmentation == "mild":
            x = mild(x, self.modality, np.random.default_rng([self.args.seed, epoch, step, part]))
        elif self.args.augmentation == "on":
            rng = np.random.default_rng([self.args.seed, epoch, step, part])
            x = augment(x, self.modality, rng, cepstral=self._cepstral)
        return x, target, self._weights[y] / np.float32(len(whole))

    def _plan_epoch(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.args.seed, epoch])
        order, starts, sizes = self._groups
        chosen = order[starts + np.floor(rng.random(len(starts)) * sizes).astype(np.int64)]
        return rng.permutation(chosen)


def by_second(looks: Looks) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Group looks by the second that they show: their order by group, and each group's start and size in it."""
    keys = looks.recording * (int(looks.second.max()) + 1) + looks.second
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0])
    return order, starts, np.diff(np.r_[starts, len(order)])


def targets(y: NDArray[np.int64], classes: int, smoothing: float) -> NDArray[np.float32]:
    """Give target probabilities `[n, classes]`; `unknown` (-1) is every class alike (Hendrycks et al. 2019)."""
    target = np.full((len(y), classes), smoothing / classes, np.float32)
    known = y >= 0
    target[known, y[known]] += 1 - smoothing
    target[~known] = 1 / classes
    return target


def class_weights(y: NDArray[np.int64], classes: int, args: Args) -> NDArray[np.float32]:
    """Give the weight of each class, and last that of `unknown`: as many seconds as it has, so much less each counts.

    The mean over all seconds is 1.
    """
    weights = np.ones(classes + 1, np.float32)  # -1, unknown, indexes the last one
    if args.class_weights == "balanced":
        counts = np.bincount(y[y >= 0], minlength=classes)
        weights[:classes] = np.clip(counts.sum() / classes / np.maximum(1, counts), 1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
    mean: np.float32 = weights[y].mean()
    return weights / mean
