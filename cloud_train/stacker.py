"""Boosted trees over the probabilities of all modalities, learnt from validation seconds by XGBoost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.boosted import DTYPES, Trees, expert_margins, softmax, stacked
from edge.clip import MODALITIES
from edge.fusion import BoostedTrees

from .fusion import Votes, folds, ranking
from .progress import track
from .recordings import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARAMETERS = {
    "objective": "multi:softprob",
    "max_depth": 2,
    "eta": 0.1,
    "lambda": 1.0,
    "subsample": 0.7,
    "colsample_bytree": 0.3,
    "nthread": 1,
    "seed": 0,
    "verbosity": 0,
}
"""Shallow and regularised: there are a few seconds of each class, and each tree sees a part of them."""
MOST_ROUNDS = 200
COPIES = 2
"""Each second is learnt whole and this many times with some of its modalities left out."""


def stack(votes: Votes, labels: Sequence[str], rounds: int, version: str = "t-0001") -> BoostedTrees:
    """Learn the trees from (calibrated) votes, in so many rounds of a tree for each class; 0 is none."""
    x, y = training_rows(votes, len(labels))
    trees = to_trees(_boost(x, y, len(labels), rounds)) if rounds else NO_TREES
    return BoostedTrees(trees, tuple(labels), ranking(votes, labels), version)


def best_rounds(votes: Votes, labels: Sequence[str]) -> int:
    """Choose the number of rounds by cross-validation over recordings; 0 where trees do not help on held-out ones.

    What counts is the log loss of held-out seconds, whole and with modalities left out. Of all numbers that are not
    worse than the best by more than one standard error over the folds, it is the smallest.
    """
    parts = list(folds(votes))
    if not parts:
        return 0
    curves = [_curve(*part, len(labels)) for part in track(parts, "choosing the boosting rounds", len(parts))]
    losses = np.array(curves)  # [folds, 1 + MOST_ROUNDS]
    worse = losses - losses[:, [losses.mean(axis=0).argmin()]]
    error = worse.std(axis=0, ddof=1) / np.sqrt(len(losses))
    return int((worse.mean(axis=0) <= error).argmax())


def training_rows(votes: Votes, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Give each second as a row [3 * classes] with its label, then COPIES of it with modalities left out.

    Which ones is drawn anew for each copy, by a fixed seed; one that voted always stays.
    """
    whole = np.stack([stacked(cast, classes) for _, cast in votes.values()])
    y = np.array([truth for truth, _ in votes.values()])
    rng = np.random.default_rng(0)
    x = [whole, *(_thinned(whole, classes, rng) for _ in range(COPIES))]
    return np.concatenate(x), np.tile(y, 1 + COPIES)


def _thinned(x: NDArray[np.float32], classes: int, rng: np.random.Generator) -> NDArray[np.float32]:
    each = x.reshape(len(x), len(MODALITIES), classes)
    present = ~np.isnan(each[:, :, 0])
    order = np.where(present, rng.random(present.shape), -1.0)
    kept = present & (rng.random(present.shape) < 0.5)
    kept[np.arange(len(x)), order.argmax(axis=1)] = True
    thinned: NDArray[np.float32] = np.where(kept[:, :, None], each, np.float32(np.nan)).reshape(x.shape)
    return thinned


def _curve(seen: Votes, held_out: Votes, classes: int) -> list[float]:
    """Give the log loss on the held-out seconds after 0, 1, ... MOST_ROUNDS rounds."""
    x, y = training_rows(held_out, classes)
    before = softmax(expert_margins(x, classes))[np.arange(len(y)), y]
    after: dict[str, Any] = {}
    watched: dict[str, Any] = {"evals": [(_matrix(x, y, classes), "held_out")], "evals_result": after}
    _boost(*training_rows(seen, classes), classes, MOST_ROUNDS, **watched)
    return [float(-np.log(np.maximum(before, 1e-16)).mean()), *after["held_out"]["mlogloss"]]


def _boost(x: NDArray[np.float32], y: NDArray[np.int64], classes: int, rounds: int, **options: Any) -> Any:  # noqa: ANN401 - an xgboost.Booster
    xgboost = load_xgboost()
    options = {"verbose_eval": False, **options}
    return xgboost.train({**PARAMETERS, "num_class": classes}, _matrix(x, y, classes), rounds, **options)


def _matrix(x: NDArray[np.float32], y: NDArray[np.int64], classes: int) -> Any:  # noqa: ANN401 - an xgboost.DMatrix
    return load_xgboost().DMatrix(x, label=y, base_margin=expert_margins(x, classes))


def load_xgboost() -> Any:  # noqa: ANN401 - a module
    """Import XGBoost; DataError says how to install it."""
    try:
        import xgboost
    except ModuleNotFoundError as error:
        if error.name != "xgboost":
            raise
        msg = "boosted trees need XGBoost, which is not installed: pip install 'touchline[train]'"
        raise DataError(msg) from None
    return xgboost


def to_trees(booster: Any) -> Trees:  # noqa: ANN401 - an xgboost.Booster
    """Take a booster's trees out as plain arrays, numbered so that children come after their node."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    nodes: list[tuple[float, ...]] = []
    roots = []
    for tree in model["trees"]:
        roots.append(len(nodes))
        nodes.extend(_nodes(tree, len(nodes)))
    columns = (*zip(*nodes, strict=True), roots, model["tree_info"])
    return Trees(**{name: np.array(column, DTYPES[name]) for name, column in zip(DTYPES, columns, strict=True)})


def _nodes(tree: dict[str, Any], first: int) -> Iterator[tuple[float, ...]]:
    """Walk a tree from its root, level by level, and give feature, threshold, left, right, default, value."""
    left, right = tree["left_children"], tree["right_children"]
    order = [0]
    for old in order:  # grows while it is walked
        if left[old] >= 0:
            order += [left[old], right[old]]
    new = {old: first + i for i, old in enumerate(order)}
    for old in order:
        number = tree["split_conditions"][old]  # of a leaf, its value
        if left[old] < 0:
            yield -1, 0.0, new[old], new[old], False, number
        else:
            feature, default = tree["split_indices"][old], bool(tree["default_left"][old])
            yield feature, number, new[left[old]], new[right[old]], default, 0.0


NO_TREES = Trees(**{name: np.zeros(0, dtype) for name, dtype in DTYPES.items()})
"""What is learnt in no rounds: the product of the modalities as it is."""
