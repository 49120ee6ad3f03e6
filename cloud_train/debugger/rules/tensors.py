"""Rules about the numbers in single tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.saved import MODES, Mode
from cloud_train.debugger.trial import Trial, scalar
from cloud_train.recordings import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAY_BE_MISSING = {"shap_rows", "trees", "labels"}
"""Collections in which NaN is no fault: feature values that are missing, and what is no result of training."""


def all_zero(
    trial: Trial,
    *,
    collection_names: str = "weights,gradients,layer_outputs",
    tensor_regex: str = "",
    threshold: float = 100.0,
) -> Finding | None:
    """At least `threshold` per cent of a tensor's values are zero."""
    for name, step, mode in selected(trial, collection_names, tensor_regex):
        share = 100 * trial.number(name, step, "zeros", mode)
        if share >= threshold:
            return Finding(
                "AllZero", step, f"{share:.4g} % of {name} are zero at step {step} ({mode})",
                "Check the initialisation, and whether a layer before it is dead or its input is empty.", name,
            )  # fmt: skip
    return None


def exploding_tensor(
    trial: Trial,
    *,
    collection_names: str = "",
    tensor_regex: str = "",
    only_nan: bool = False,
) -> Finding | None:
    """A tensor holds NaN or, unless `only_nan`, an infinite value."""
    for name, step, mode in selected(trial, collection_names, tensor_regex):
        mean = trial.number(name, step, "mean", mode)
        if math.isfinite(mean) or (only_nan and not math.isnan(mean)):
            continue
        if math.isnan(mean) and not _judged(trial, name, step, mode):
            continue
        what = "NaN" if math.isnan(mean) else "an infinite value"
        return Finding(
            "ExplodingTensor", step, f"{name} holds {what} at step {step} ({mode})",
            "Lower the learning rate, clip gradients, and look for a division by zero or a logarithm of 0 in the loss.",
            name,
        )  # fmt: skip
    return None


def tensor_variance(
    trial: Trial,
    *,
    collection_names: str = "weights,gradients,layer_outputs",
    tensor_regex: str = "",
    max_threshold: float | None = None,
    min_threshold: float | None = None,
) -> Finding | None:
    """The variance of a tensor is above `max_threshold` or below `min_threshold`; one of them must be given."""
    if max_threshold is None and min_threshold is None:
        msg = "TensorVariance: give max_threshold, min_threshold or both"
        raise DataError(msg)
    least = -math.inf if min_threshold is None else min_threshold
    most = math.inf if max_threshold is None else max_threshold
    for name, step, mode in selected(trial, collection_names, tensor_regex):
        variance = trial.number(name, step, "std", mode) ** 2
        if variance < least or variance > most:
            bound = f"below {least:g}" if variance < least else f"above {most:g}"
            return Finding(
                "TensorVariance", step, f"the variance of {name} is {variance:.4g} at step {step}, {bound}",
                "Check the initialisation and the scale of the inputs; batch normalisation keeps variances alike.",
                name,
            )  # fmt: skip
    return None


def unchanged_tensor(
    trial: Trial,
    *,
    collection_names: str = "weights",
    tensor_regex: str = "",
    num_steps: int = 3,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Finding | None:
    """A tensor is the same, as numpy.allclose sees it, at `num_steps` saved steps running.

    Of a tensor of which only reductions were saved, these are compared.
    """

    def same(name: str, mode: Mode, a: int, b: int) -> bool:
        old, new = _comparable(trial, name, a, mode), _comparable(trial, name, b, mode)
        return old.shape == new.shape and bool(np.allclose(new, old, rtol, atol, equal_nan))

    for name, steps, mode in _courses(trial, collection_names, tensor_regex):
        alike = 1
        for a, b in pairwise(steps):
            key = ("unchanged", name, mode, a, b, rtol, atol, equal_nan)
            alike = alike + 1 if trial.once(key, lambda x=a, y=b, n=name, m=mode: same(n, m, x, y)) else 1  # type: ignore[misc]
            if alike >= num_steps:
                return Finding(
                    "UnchangedTensor", b, f"{name} has not changed at the {alike} saved steps up to {b} ({mode})",
                    "Check the learning rate, that the tensor is trainable, and that a gradient reaches it.", name,
                )  # fmt: skip
    return None


def vanishing_gradient(
    trial: Trial,
    *,
    collection_names: str = "gradients",
    tensor_regex: str = "",
    threshold: float = 1e-7,
) -> Finding | None:
    """The mean absolute value of a gradient is below `threshold`."""
    for name, step, mode in selected(trial, collection_names, tensor_regex):
        mean = trial.number(name, step, "abs_mean", mode)
        if mean < threshold:
            return Finding(
                "VanishingGradient", step,
                f"the mean absolute value of {name} is {mean:.3g} at step {step}, below {threshold:g}",
                "Use ReLU rather than tanh or sigmoid in deep networks, batch normalisation, residual connections or"
                " another initialisation.", name,
            )  # fmt: skip
    return None


def weight_update_ratio(
    trial: Trial,
    *,
    collection_names: str = "weights",
    tensor_regex: str = "",
    num_steps: int | None = None,
    large_threshold: float = 10.0,
    small_threshold: float = 1e-8,
    epsilon: float = 1e-9,
) -> Finding | None:
    """What a step changes of a weight is above `large_threshold`, or below `small_threshold`, of the weight.

    Means of absolute values are compared, at steps that are `num_steps` apart (1 if none is given), so the weights have
    to be saved that often. A weight that is 0 throughout has no ratio.
    """
    apart = num_steps or 1

    def ratio(name: str, mode: Mode, step: int) -> float:
        old, new = trial.tensor(name, step - apart, mode), trial.tensor(name, step, mode)
        size = float(np.abs(old).mean())
        return float(np.abs(new - old).mean()) / (size + epsilon) if size > epsilon else small_threshold

    most_saved, compared = 0, 0
    for name, steps, mode in _courses(trial, collection_names, tensor_regex):
        whole = {step for step in steps if trial.whole(name, step, mode)}
        most_saved = max(most_saved, len(steps))
        for step in sorted(whole):
            if step - apart not in whole:
                continue
            compared += 1
            key = ("update", name, mode, step, apart, epsilon)
            found = trial.once(key, lambda n=name, m=mode, s=step: ratio(n, m, s))  # type: ignore[misc]
            if found > large_threshold or found < small_threshold:
                bound = f"above {large_threshold:g}" if found > large_threshold else f"below {small_threshold:g}"
                return Finding(
                    "WeightUpdateRatio", step, f"step {step} changed {name} by {found:.3g} of its size, {bound}",
                    "Raise the learning rate where updates are too small, lower it where they are too large.", name,
                )  # fmt: skip
    if most_saved > 2 and not compared:
        msg = (
            f"WeightUpdateRatio: no two saved steps are {apart} apart; save the weights themselves every {apart} steps"
        )
        raise DataError(msg)
    return None


def similar_across_runs(
    trial: Trial,
    *,
    other_trial: str,
    collection_names: str = "weights,losses",
    tensor_regex: str = "",
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> Finding | None:
    """All tensors that both runs have at their last common step are the same, as numpy.allclose sees it."""
    other = Trial(other_trial)
    ours = {(name, mode): steps for name, steps, mode in _courses(trial, collection_names, tensor_regex)}
    theirs = {(name, mode): steps for name, steps, mode in _courses(other, collection_names, tensor_regex)}
    step, compared = 0, 0
    for (name, mode), steps in ours.items():
        common = set(steps) & set(theirs.get((name, mode), ()))
        if not common:
            continue
        step, compared = max(step, *common), compared + 1
        a, b = (_comparable(one, name, max(common), mode) for one in (trial, other))
        if a.shape != b.shape or not np.allclose(a, b, rtol, atol):
            return None
    if not compared:
        return None
    return Finding(
        "SimilarAcrossRuns", step, f"all {compared} tensors are those of {other_trial} at step {step}",
        "What was changed between the two runs had no effect: check that it reaches the training.",
    )  # fmt: skip


def selected(trial: Trial, collection_names: str, tensor_regex: str) -> Iterator[tuple[str, int, Mode]]:
    """Give name, step and mode of each saved tensor that is meant, in the order of the steps."""
    courses = _courses(trial, collection_names, tensor_regex)
    yield from sorted(
        ((name, step, mode) for name, steps, mode in courses for step in steps), key=lambda each: (each[1], each[0])
    )


def _courses(trial: Trial, collection_names: str, tensor_regex: str) -> Iterator[tuple[str, list[int], Mode]]:
    known = trial.collections()
    wanted = [name.strip() for name in collection_names.split(",") if name.strip()]
    wanted = wanted or [name for name in known if name not in MAY_BE_MISSING]
    names = {name for kind in wanted if kind in known for name in trial.names(kind, tensor_regex or None)}
    for name in sorted(names):
        for mode in MODES:
            steps = trial.steps(name, mode)
            if steps:
                yield name, steps, mode


def _judged(trial: Trial, name: str, step: int, mode: Mode) -> bool:
    """Say whether a tensor's mean can be known."""
    return trial.whole(name, step, mode) or trial.reduction(name, step, "mean", mode) is not None


def _comparable(trial: Trial, name: str, step: int, mode: Mode) -> NDArray[Any]:
    """Give a tensor, or what was saved of it by reductions."""
    if trial.whole(name, step, mode):
        return trial.tensor(name, step, mode)
    parts = [trial.reduction(name, step, kind, mode) for kind in ("min", "max", "mean", "std", "l2", "abs_mean")]
    return np.array([scalar(part) for part in parts if part is not None])
