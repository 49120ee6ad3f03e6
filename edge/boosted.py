"""Boosted trees as plain arrays, evaluated in numpy: what XGBoost learnt in the cloud, without XGBoost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import MODALITIES, Vote
from .strict import StrictError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR = 1 / 512
"""Half a step of an int8 probability: what is below it counts as this much, so that no zero has a veto."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees that each add a leaf's value to the margin of one class.

    The nodes of all trees lie in one row. Node i asks whether x[feature[i]] < threshold[i] in float32, as XGBoost
    does, and goes to left[i] or right[i]; a NaN goes left where default_left[i]. A leaf has feature -1, leads to
    itself, and holds value[i]. Tree t begins at root[t] and adds to class tree_class[t].
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    value: NDArray[np.float32]
    root: NDArray[np.int32]
    tree_class: NDArray[np.int32]

    def margins(self, x: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the trees' values for the rows `x` [n, features] to the margins `start` [n, classes]."""
        row = np.arange(len(x))[:, None]
        node = np.broadcast_to(self.root, (len(x), len(self.root)))  # [n, trees]
        while (self.feature[node] >= 0).any():  # ends, since children come after their node
            value = x[row, self.feature[node]]
            goes_left = np.where(np.isnan(value), self.default_left[node], value < self.threshold[node])
            node = np.where(goes_left, self.left[node], self.right[node])
        margins = start.astype(np.float32)
        np.add.at(margins, (row, self.tree_class[None]), self.value[node])  # one by one and in order, as XGBoost does
        return margins

    def check(self, classes: int) -> None:
        """Refuse, with a StrictError that names the array, trees whose evaluation would loop or leave an array."""
        for name, dtype in DTYPES.items():
            nodes = (self.root if name in ("root", "tree_class") else self.feature).size
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != (nodes,):
                msg = f"array `{name}`: is {array.dtype} {list(array.shape)}, expected {dtype} [{nodes}]"
                raise StrictError(msg)
        for name in ("threshold", "value"):
            if not np.isfinite(getattr(self, name)).all():
                msg = f"array `{name}`: holds a value that is not finite"
                raise StrictError(msg)
        _refuse_outside("feature", self.feature, -1, len(MODALITIES) * classes)
        _refuse_outside("tree_class", self.tree_class, 0, classes)
        _refuse_outside("root", self.root, 0, len(self.feature))
        i = np.arange(len(self.feature))
        leaf = self.feature < 0
        for name in ("left", "right"):
            child = getattr(self, name)
            _refuse_outside(name, child, 0, len(i))
            wrong = np.flatnonzero(np.where(leaf, child != i, child <= i))
            if wrong.size:
                msg = (
                    f"array `{name}`: node {wrong[0]} leads to {child[wrong[0]]};"
                    " a leaf leads to itself, any other node to one after it"
                )
                raise StrictError(msg)


DTYPES: Mapping[str, str] = {
    field.name: {"default_left": "bool", "threshold": "float32", "value": "float32"}.get(field.name, "int32")
    for field in fields(Trees)
}


def _refuse_outside(name: str, array: NDArray[Any], low: int, high: int) -> None:
    wrong = np.flatnonzero((array < low) | (array >= high))
    if wrong.size:
        msg = f"array `{name}`: entry {wrong[0]} is {array[wrong[0]]}; it must be from {low} to {high - 1}"
        raise StrictError(msg)


def stacked(votes: Sequence[Vote], classes: int) -> NDArray[np.float32]:
    """Lay the votes' probabilities out in the order of MODALITIES, [3 * classes]; NaN for a modality without vote."""
    x = np.full((len(MODALITIES), classes), np.nan, np.float32)
    for vote in votes:
        x[MODALITIES.index(vote.modality)] = vote.probabilities
    return x.reshape(-1)


def expert_margins(x: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Give the margins that the trees start from, [n, classes]: the sum of the modalities' log probabilities.

    That is a product of experts: what the modalities say together if each errs on its own. The trees learn the rest.
    """
    each = x.reshape(len(x), len(MODALITIES), classes).astype(np.float64)
    log: NDArray[np.float64] = np.log(np.maximum(each, FLOOR))  # NaN stays NaN
    total: NDArray[np.float32] = np.nansum(log, axis=1).astype(np.float32)
    return total


def softmax(margins: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn margins [n, classes] into probabilities."""
    raised = np.exp(margins.astype(np.float64) - margins.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return probabilities
