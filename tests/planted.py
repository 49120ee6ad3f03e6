"""Runs with a fault, or just without it, written by the debugger's own saving from arrays made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloud_train.debugger.reductions import reduced
from cloud_train.debugger.saved import Collection, End, Layer, Mode, RunInfo, Saver
from cloud_train.debugger.trial import Trial


class Planted:
    """A run in a folder, to which losses and tensors are added step by step."""

    def __init__(self, folder: Path, framework: str = "keras", **about: Any) -> None:
        info = RunInfo(framework, "planted", **{"save": {"losses": Collection(1)}, **about})
        self.path, self._saver = folder, Saver(folder, info)

    def put(self, step: int, mode: Mode, tensors: Mapping[str, Mapping[str, Any]]) -> Planted:
        self._saver.save(step, mode, tensors)
        return self

    def losses(self, values: Mapping[str, Sequence[float]], mode: Mode = "global", every: int = 1) -> Planted:
        """Curves of losses by name, a value each `every` steps."""
        for i in range(max(map(len, values.values()))):
            self.put(i * every, mode, {"losses": {name: np.float64(v[i]) for name, v in values.items() if i < len(v)}})
        return self

    def tensor(
        self, collection: str, name: str, values: Sequence[Any], *, mode: Mode = "train", every: int = 1
    ) -> Planted:
        """One tensor over steps."""
        for i, value in enumerate(values):
            self.put(i * every, mode, {collection: {name: np.asarray(value)}})
        return self

    def end(self, status: str = "completed", reason: str = "") -> Planted:
        self._saver.end(End(status, reason))
        return self

    @property
    def trial(self) -> Trial:
        return Trial(self.path)


def classes_run(
    folder: Path, labels: np.ndarray, predictions: np.ndarray, *, ended: bool = True, **about: Any
) -> Trial:
    """A run whose only step has labels and predictions."""
    run = Planted(folder, **about).put(
        0, "eval", {"labels": {"labels": labels}, "predictions": {"predictions": predictions}}
    )
    return (run.end() if ended else run).trial


def outputs_run(folder: Path, activation: str, outputs: np.ndarray, *, reductions: Sequence[str] = ()) -> Trial:
    """A run of one layer with an activation, whose outputs are saved whole or reduced."""
    run = Planted(folder, layers=(Layer("hidden", "Dense", activation), Layer("other", "Dense", "softmax")))
    kept: dict[str, Any] = {"hidden": outputs}
    if reductions:
        kept = {f"hidden:{kind}": part for kind, part in reduced(outputs, reductions, activation=activation).items()}
    return run.put(0, "train", {"layer_outputs": kept}).trial


def tree_run(folder: Path, depth: int) -> Trial:
    """An XGBoost run of two trees: a stump, and one whose right branch alone is split, so many times."""
    left, right, at = np.full(2 * depth + 1, -1), np.full(2 * depth + 1, -1), 0
    for split in range(depth):
        left[at], right[at] = 2 * split + 1, 2 * split + 2
        at = 2 * split + 2
    trees = {
        "trees/tree": np.repeat([0, 1], [3, 2 * depth + 1]),
        "trees/left": np.concatenate([[1, -1, -1], left]),
        "trees/right": np.concatenate([[2, -1, -1], right]),
    }
    return Planted(folder, "xgboost").put(4, "global", {"trees": trees}).trial
