"""What a run predicted and what was right, step by step, as classes or as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cloud_train.debugger.saved import Mode
from cloud_train.debugger.trial import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["classes", "values"]
LABELS, PREDICTIONS = "labels", "predictions"
LOGITS = "binary:logitraw"
MOST_CLASSES = 1000
SUMS_TO_ONE = 1e-2


@dataclass(frozen=True, eq=False)
class Answers:
    """The labels of a run and where its predictions for the same rows are.

    Labels are class numbers, or values of a regression. `scored` says whether predictions are scores of classes, from
    which curves can be drawn, or class numbers only; `of` says which rows they are.
    """

    kind: Kind
    labels: NDArray[Any]  # [rows]
    names: tuple[str, ...]
    steps: tuple[int, ...]
    of: str
    scored: bool
    mode: Mode
    trial: Trial

    def scores(self, step: int) -> NDArray[np.float64]:
        """Read the scores `[rows, classes]` of a step; of two classes the first has what the second leaves."""
        found = self._read(step).astype(np.float64)
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found

    def given(self, step: int) -> NDArray[Any]:
        """Read the classes, or the values, that were given at a step."""
        found = self._read(step)
        if self.kind == "values":
            return found.astype(np.float64)
        if not self.scored:
            return np.rint(found).astype(np.int64)
        chosen: NDArray[Any] = (found > 0.5).astype(np.int64) if found.ndim == 1 else found.argmax(axis=1)
        return chosen

    def _read(self, step: int) -> NDArray[Any]:
        found = _flat(self.trial.tensor(PREDICTIONS, step, self.mode))
        return 1 / (1 + np.exp(-found)) if self.trial.run.objective == LOGITS else found


def answers(trial: Trial) -> Answers | None:
    """Find a run's last labels and the predictions for the same rows; None where they were not saved or do not fit.

    Where labels change from step to step, as those of batches do, the last step alone counts.
    """
    found = _both(trial)
    if found is None:
        return None
    mode, steps = found
    given = trial.tensor(LABELS, steps[-1], mode)
    labels, predictions = _labels(given), _flat(trial.tensor(PREDICTIONS, steps[-1], mode))
    kind = _kind(trial, labels, predictions)
    if kind is None or len(labels) != len(predictions):
        return None
    same = tuple(s for s in steps if np.array_equal(trial.tensor(LABELS, s, mode), given))
    of = trial.run.predicted or {"eval": "validation"}.get(mode, "saved")
    if kind == "values":
        return Answers(kind, labels.astype(np.float64), (), same, of, scored=False, mode=mode, trial=trial)
    scored = predictions.ndim > 1 or not _whole(predictions)
    count = max(int(labels.max()) + 1, predictions.shape[1] if predictions.ndim > 1 else 2, len(trial.run.labels))
    names = (*trial.run.labels, *map(str, range(len(trial.run.labels), count)))
    return Answers(kind, labels.astype(np.int64), names, same, of, scored=scored, mode=mode, trial=trial)


def _both(trial: Trial) -> tuple[Mode, list[int]] | None:
    modes: tuple[Mode, ...] = ("eval", "global", "train")
    for mode in modes:
        steps = sorted(set(trial.steps(LABELS, mode)) & set(trial.steps(PREDICTIONS, mode)))
        steps = [s for s in steps if trial.whole(LABELS, s, mode) and trial.whole(PREDICTIONS, s, mode)]
        if steps:
            return mode, steps
    return None


def _kind(trial: Trial, labels: NDArray[Any], predictions: NDArray[Any]) -> Kind | None:
    """Say what is predicted: as the objective says, else as labels and predictions look; None where neither can be."""
    objective = trial.run.objective
    if not np.isfinite(labels).all() or not len(labels):
        return None
    if objective.startswith(("binary:", "multi:")):
        return "classes"
    if objective:
        return "values" if objective.startswith(("reg:", "count:")) and predictions.ndim == 1 else None
    if not _whole(labels) or labels.min() < 0 or labels.max() >= MOST_CLASSES:
        return "values" if predictions.ndim == 1 else None
    if predictions.ndim > 1:
        return "classes" if np.abs(predictions.sum(axis=1) - 1).max() < SUMS_TO_ONE else None
    probable = predictions.min() >= 0 and predictions.max() <= 1 and labels.max() <= 1
    return "classes" if probable else "values"


def _labels(given: NDArray[Any]) -> NDArray[Any]:
    """Give class numbers for labels that are one-hot."""
    flat = _flat(given)
    return flat.argmax(axis=1) if flat.ndim > 1 else flat


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(-1) if values.ndim < 2 or values.shape[-1] == 1 else values.reshape(len(values), -1)


def _whole(values: NDArray[Any]) -> bool:
    return bool((values == np.rint(values)).all())
