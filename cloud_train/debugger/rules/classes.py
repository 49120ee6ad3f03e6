"""Rules about classes: what the labels are, and what is predicted instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.saved import MODES, Mode
from cloud_train.debugger.trial import Trial
from cloud_train.recordings import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_imbalance(
    trial: Trial,
    *,
    threshold_imbalance: float = 10.0,
    threshold_misprediction: float = 0.7,
    samples: int = 500,
    argmax: bool = False,
    labels_regex: str = ".*labels",
    predictions_regex: str = ".*predictions",
) -> Finding | None:
    """A class is `threshold_imbalance` times as frequent as another, or more of one than the share is mispredicted.

    Once so many labels were seen. Mispredictions are judged at the last saved step when the run has ended: before,
    no model predicts well. `argmax` is for predictions that are scores in no usual shape.
    """
    judged = _judged_steps(trial, labels_regex, predictions_regex)
    labels = [classes(trial.tensor(name, step, mode)) for name, _, step, mode in judged]
    seen = np.concatenate(labels) if labels else np.zeros(0, int)
    if len(seen) < samples:
        return None
    step = judged[-1][2]
    known, counts = np.unique(seen, return_counts=True)
    if len(known) > 1 and counts.max() > threshold_imbalance * counts.min():
        often, rare = known[counts.argmax()], known[counts.argmin()]
        return Finding(
            "ClassImbalance", step,
            f"class {_called(trial, int(often))} is {counts.max() / counts.min():.1f} times as frequent as"
            f" {_called(trial, int(rare))} ({counts.max()} and {counts.min()} labels)",
            "Collect more of the rare class, weigh it higher (class weights, scale_pos_weight), or sample evenly.",
        )  # fmt: skip
    if trial.end is None:
        return None
    truth, found = _answers(trial, *judged[-1], argmax=argmax)
    wrong = {int(one): float(np.mean(found[truth == one] != one)) for one in np.unique(truth)}
    worst = max(wrong, key=wrong.__getitem__)
    if wrong[worst] <= threshold_misprediction:
        return None
    return Finding(
        "ClassImbalance", step,
        f"{100 * wrong[worst]:.0f} % of class {_called(trial, worst)} are mispredicted at step {step};"
        f" {100 * threshold_misprediction:g} % are allowed",
        "Look at what it is taken for; weigh the class higher, or collect more of it.",
    )  # fmt: skip


def confusion(
    trial: Trial,
    *,
    category_no: int | None = None,
    labels: str = "labels",
    predictions: str = "predictions",
    min_diag: float = 0.9,
    max_off_diag: float = 0.1,
) -> Finding | None:
    """Of a class fewer than `min_diag` are right, or more than `max_off_diag` are taken for one other class.

    Rates are of each class (rows of the confusion matrix); the original divides by the sum of the diagonal, and so
    always fires. Judged at the last saved step when the run has ended.
    """
    judged = _judged_steps(trial, f"^{labels}$", f"^{predictions}$")
    if not judged or trial.end is None:
        return None
    step = judged[-1][2]
    truth, found = _answers(trial, *judged[-1])
    count = category_no or int(max(truth.max(), found.max())) + 1
    matrix = np.zeros((count, count))
    np.add.at(matrix, (truth, found), 1)
    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for one in np.flatnonzero(matrix.sum(axis=1)):
        others = np.delete(rates[one], one)
        other = int(np.delete(np.arange(count), one)[others.argmax()])
        if rates[one, one] < min_diag or others.max() > max_off_diag:
            return Finding(
                "Confusion", step,
                f"{100 * rates[one, one]:.1f} % of class {_called(trial, int(one))} are right at step {step}, and"
                f" {100 * others.max():.1f} % are taken for {_called(trial, other)}",
                "Look at examples of the two; train longer, or give features that tell them apart.",
            )  # fmt: skip
    return None


def classes(values: NDArray[Any], *, argmax: bool = False) -> NDArray[np.intp]:
    """Give the class of each row: of scores [n, k] the best, of probabilities [n] 1 from 0.5 on, else the number.

    DataError for numbers that are no classes.
    """
    if argmax or (values.ndim > 1 and values.shape[-1] > 1):
        best: NDArray[np.intp] = values.reshape(len(values), -1).argmax(axis=1)
        return best
    flat = values.reshape(-1)
    if (flat == np.floor(flat)).all() and (flat >= 0).all():
        return flat.astype(int)
    if (flat >= 0).all() and (flat <= 1).all():
        return (flat >= 0.5).astype(int)
    msg = "labels or predictions are no classes, as of a regression; this rule needs a classification"
    raise DataError(msg)


def _judged_steps(trial: Trial, labels: str, predictions: str) -> list[tuple[str, str, int, Mode]]:
    """Give the steps that have both, in order: names, step, mode; of evaluation, or where none was, of training."""
    found: dict[Mode, list[tuple[str, str, int, Mode]]] = {}
    for mode in MODES:
        names = trial.names(mode=mode)
        pair = [next((name for name in names if re.search(regex, name)), None) for regex in (labels, predictions)]
        if pair[0] is None or pair[1] is None:
            continue
        common = sorted(set(trial.steps(pair[0], mode)) & set(trial.steps(pair[1], mode)))
        found[mode] = [(pair[0], pair[1], step, mode) for step in common]
    order: Iterator[Mode] = iter(("eval", "global", "train"))
    return next((found[mode] for mode in order if found.get(mode)), [])


def _answers(
    trial: Trial, labels: str, predictions: str, step: int, mode: Mode, *, argmax: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    truth = classes(trial.tensor(labels, step, mode))
    return truth, classes(trial.tensor(predictions, step, mode), argmax=argmax)


def _called(trial: Trial, number: int) -> str:
    return trial.run.labels[number] if number < len(trial.run.labels) else str(number)
