"""Rules about the course of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.saved import MODES, Mode
from cloud_train.debugger.trial import Trial, scalar
from cloud_train.recordings import DataError


@dataclass(frozen=True)
class Curve:
    """A loss over the steps at which it was saved."""

    name: str
    steps: list[int]
    values: list[float]


def loss_not_decreasing(
    trial: Trial,
    *,
    collection_names: str = "",
    tensor_regex: str = "",
    use_losses_collection: bool = True,
    num_steps: int = 10,
    diff_percent: float = 0.0,
    mode: str = "",
) -> Finding | None:
    """A loss is not lower, by more than `diff_percent`, than `num_steps` or more steps before.

    Compared every `num_steps` with the newest value that is so old. Equal is not lower. Without a `mode` the first of
    eval, train and global that holds a loss is looked at.
    """
    collection = collection_names or ("losses" if use_losses_collection and not tensor_regex else "")
    for curve in _curves(trial, collection, tensor_regex, mode):
        before = 0
        for now in range(1, len(curve.steps)):
            if curve.steps[now] - curve.steps[before] < num_steps:
                continue
            old, new = curve.values[before], curve.values[now]
            if not old - new > abs(old) * diff_percent / 100:
                return Finding(
                    "LossNotDecreasing", curve.steps[now],
                    f"{curve.name} was {old:.6g} at step {curve.steps[before]} and is {new:.6g} at step"
                    f" {curve.steps[now]}: it has not fallen" + (f" by {diff_percent:g} %" if diff_percent else ""),
                    "Check the learning rate (0 or far too high?), that the labels belong to the inputs, and that"
                    " what should learn is trainable.",
                    curve.name,
                )  # fmt: skip
            before = now
    return None


def overfit(
    trial: Trial,
    *,
    tensor_regex: str = "",
    start_step: int = 0,
    patience: int = 1,
    ratio_threshold: float = 0.1,
) -> Finding | None:
    """The validation loss is above the training loss by more than `ratio_threshold` of it, `patience` times running."""
    for train, validation in pairs(trial, tensor_regex):
        late = 0
        for step, low, high in zip(train.steps, train.values, validation.values, strict=True):
            ratio = (high - low) / low if low else 0.0
            late = late + 1 if step >= start_step and ratio > ratio_threshold else 0
            if late >= patience:
                return Finding(
                    "Overfit", step,
                    f"at step {step} {validation.name} is {high:.4g} and {train.name} {low:.4g}: {100 * ratio:.0f} %"
                    f" above it, where {100 * ratio_threshold:g} % are allowed",
                    "Take more or more varied data, a smaller model or more regularisation, or stop earlier.",
                    validation.name,
                )  # fmt: skip
    return None


def overtraining(
    trial: Trial,
    *,
    tensor_regex: str = "",
    patience_train: int = 5,
    patience_validation: int = 10,
    delta: float = 0.1,
) -> Finding | None:
    """A loss that had fallen has found no new optimum for its patience, in steps at which both losses were saved.

    A new optimum is lower than the last by more than `delta` per cent of it; the original's delta is in units of the
    loss, which a loss below it can never meet. A loss that has never fallen is LossNotDecreasing's.
    """
    for train, validation in pairs(trial, tensor_regex):
        for curve, patience in ((validation, patience_validation), (train, patience_train)):
            best, since, fallen = float("inf"), 0, False
            for step, value in zip(curve.steps, curve.values, strict=True):
                fallen = fallen or value < best < float("inf")
                best, since = (value, 0) if value < best - abs(best) * delta / 100 or best == float("inf") else (
                    best, since + 1
                )  # fmt: skip
                if fallen and since >= patience:
                    return Finding(
                        "Overtraining", step,
                        f"{curve.name} has not fallen below {best:.4g} by {delta:g} % for {since} evaluations before"
                        f" step {step}",
                        f"Stop about there, or with early stopping; the best value is {best:.4g}.",
                        curve.name,
                    )  # fmt: skip
    return None


def stalled_training(
    trial: Trial,
    *,
    threshold: float = 1800.0,
    stop_training_on_fire: bool = False,  # noqa: ARG001 - for whoever acts on the finding
    training_job_name_prefix: str = "",  # noqa: ARG001
) -> Finding | None:
    """Nothing was saved for `threshold` seconds, and the run has not ended."""
    if trial.end is not None:
        return None
    silent = (datetime.now(timezone.utc) - trial.last_saved()).total_seconds()
    if silent <= threshold:
        return None
    steps = trial.steps()
    return Finding(
        "StalledTraining", steps[-1] if steps else 0,
        f"nothing was saved for {silent:.0f} s, since {f'step {steps[-1]}' if steps else 'the start'}",
        "See whether the job waits for data or for another worker, or is gone.",
    )  # fmt: skip


def pairs(trial: Trial, tensor_regex: str = "") -> Iterator[tuple[Curve, Curve]]:
    """Give the losses that were saved for training and for validation, at the steps that both have."""
    names = trial.names("losses", tensor_regex or None) if "losses" in trial.collections() else []
    for name in names:
        train, eval_ = _curve(trial, name, "train"), _curve(trial, name, "eval")
        if eval_.steps:
            yield _both(train, Curve(f"validation {name}", eval_.steps, eval_.values))
        subset, dash, metric = name.partition("-")
        if dash and subset == "train":
            others = [other for other in names if other.endswith(f"-{metric}") and other != name]
            for other in others:
                yield _both(_curve(trial, name, "global"), _curve(trial, other, "global"))


def _both(train: Curve, validation: Curve) -> tuple[Curve, Curve]:
    ours, theirs = dict(zip(train.steps, train.values, strict=True)), dict(
        zip(validation.steps, validation.values, strict=True)
    )  # fmt: skip
    steps = sorted(ours.keys() & theirs.keys())
    return (
        Curve(train.name, steps, [ours[step] for step in steps]),
        Curve(validation.name, steps, [theirs[step] for step in steps]),
    )


def _curves(trial: Trial, collection: str, regex: str, mode: str) -> list[Curve]:
    if mode and mode.lower() not in MODES:
        msg = f"LossNotDecreasing: mode {mode!r} is none of {', '.join(MODES)}"
        raise DataError(msg)
    if collection and collection not in trial.collections():
        return []
    modes: tuple[Mode, ...] = tuple(m for m in MODES if m == mode.lower()) or ("eval", "train", "global")
    for one in modes:
        curves = [_curve(trial, name, one) for name in trial.names(collection or None, regex or None, one)]
        curves = [curve for curve in curves if curve.steps]
        if curves:
            return curves
    return []


def _curve(trial: Trial, name: str, mode: Mode) -> Curve:
    steps, values = trial.values(name, mode)
    single = [(step, scalar(value)) for step, value in zip(steps, values, strict=True) if value.size == 1]
    return Curve(name, [step for step, _ in single], [value for _, value in single])
