"""Rules about boosted trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.trial import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray


def feature_importance_overweight(
    trial: Trial,
    *,
    threshold: float = 0.8,
    nfeatures: int = 3,
    tensor_regex: str = "feature_importance/weight",
) -> Finding | None:
    """The `nfeatures` most important features make up more than `threshold` of all importance, at the last step.

    A model of no more features than these says nothing.
    """
    for name in trial.names(None, tensor_regex):
        step = trial.steps(name)[-1]
        importance = trial.tensor(name, step)
        total = float(importance.sum())
        if importance.size <= nfeatures or not total > 0:
            continue
        top = np.argsort(importance)[::-1][:nfeatures]
        share = float(importance[top].sum()) / total
        if share > threshold:
            features = ", ".join(_called(trial, int(i)) for i in top)
            return Finding(
                "FeatureImportanceOverweight", step,
                f"{features} make up {100 * share:.0f} % of {name} at step {step}; {100 * threshold:g} % are allowed",
                "See whether one of them gives the answer away; else drop what adds nothing.", name,
            )  # fmt: skip
    return None


def tree_depth(trial: Trial, *, depth: int = 4) -> Finding | None:
    """A tree is deeper than `depth`: counted along its longest path, which the original estimates from node numbers."""
    if "trees" not in trial.collections():
        return None
    for step in trial.steps("trees/tree"):
        depths = trial.once(("depths", step), lambda at=step: tree_depths(trial, at))  # type: ignore[misc]
        for tree, found in depths.items():
            if found > depth:
                return Finding(
                    "TreeDepth", step, f"tree {tree} is {found} deep at step {step}; {depth} are allowed",
                    "Lower max_depth, or raise min_child_weight or gamma.", "trees/tree",
                )  # fmt: skip
    return None


def tree_depths(trial: Trial, step: int) -> dict[int, int]:
    """Give the depth of each tree that was saved at a step: the edges on its longest path."""
    tree, left, right = (trial.tensor(f"trees/{part}", step) for part in ("tree", "left", "right"))
    return {int(one): _depth(left[tree == one], right[tree == one]) for one in np.unique(tree)}


def _depth(left: NDArray[Any], right: NDArray[Any]) -> int:
    level, deep = np.array([0]), 0
    while True:
        below = np.concatenate([left[level], right[level]])
        level = below[below >= 0]
        if not level.size:
            return deep
        deep += 1


def _called(trial: Trial, number: int) -> str:
    return trial.run.features[number] if number < len(trial.run.features) else f"f{number}"
