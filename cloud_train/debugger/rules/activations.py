"""Rules about layers: what their activations do, and how they were initialised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.reductions import SATURATED, units
from cloud_train.debugger.saved import Mode, Reduction
from cloud_train.debugger.trial import Trial, scalar
from cloud_train.recordings import DataError

from .tensors import selected

if TYPE_CHECKING:
    from numpy.typing import NDArray

TANH, SIGMOID = 9.4999, (-23.0, 16.99999)


def dead_relu(
    trial: Trial,
    *,
    tensor_regex: str = "",
    threshold_inactivity: float = 1.0,
    threshold_layer: float = 50.0,
) -> Finding | None:
    """Of a layer's ReLU units more than `threshold_layer` per cent are hardly ever active.

    That is for less than `threshold_inactivity` per cent of their values. A unit is a channel: a value of the last axis
    over all others.
    """
    for name, step, mode in _layers(trial, "relu", tensor_regex):
        active = _shares(trial, name, step, mode, "active")
        if active is None:
            continue
        dead = 100 * float(np.mean(100 * active < threshold_inactivity))
        if dead > threshold_layer:
            return Finding(
                "DeadRelu", step,
                f"{dead:.0f} % of the {active.size} ReLU units of {name} are dead at step {step}; {threshold_layer:g} %"
                " are allowed",
                "Lower the learning rate, or use a leaky ReLU or another initialisation.", name,
            )  # fmt: skip
    return None


def saturated_activation(
    trial: Trial,
    *,
    tensor_regex: str = "",
    threshold_tanh_min: float = -TANH,
    threshold_tanh_max: float = TANH,
    threshold_sigmoid_min: float = SIGMOID[0],
    threshold_sigmoid_max: float = SIGMOID[1],
    threshold_inactivity: float = 1.0,
    threshold_layer: float = 50.0,
) -> Finding | None:
    """More than `threshold_layer` per cent of a layer's tanh or sigmoid units are hardly ever outside saturation.

    A unit is saturated when less than `threshold_inactivity` per cent of its inputs lie between the thresholds, which
    is seen in its outputs.
    """
    bounds = {
        "tanh": (threshold_tanh_min, threshold_tanh_max),
        "sigmoid": (threshold_sigmoid_min, threshold_sigmoid_max),
    }
    usual = {"tanh": (-TANH, TANH), "sigmoid": SIGMOID}
    for activation, bound in bounds.items():
        for name, step, mode in _layers(trial, activation, tensor_regex):
            if bound == usual[activation]:
                share = _shares(trial, name, step, mode, "saturated", activation=activation)
            else:
                share = _outside(trial, name, step, mode, activation=activation, bound=bound)
            if share is None:
                continue
            lost = 100 * float(np.mean(100 * (1 - share) < threshold_inactivity))
            if lost > threshold_layer:
                return Finding(
                    "SaturatedActivation", step,
                    f"{lost:.0f} % of the {share.size} {activation} units of {name} are saturated at step {step};"
                    f" {threshold_layer:g} % are allowed",
                    "Scale the inputs, use a smaller initialisation or batch normalisation, or ReLU instead.", name,
                )  # fmt: skip
    return None


def poor_weight_initialization(
    trial: Trial,
    *,
    activation_inputs_regex: str = "",
    threshold: float = 10.0,
    distribution_range: float = 0.001,
    patience: int = 5,
    steps: int = 10,
) -> Finding | None:
    """In the first steps layers differ widely in variance, gradients are all alike, or the loss does not move.

    The largest variance of an activation is more than `threshold` times the smallest, the 5th and 95th percentile of a
    gradient are closer than `distribution_range`, or the loss has no new minimum for `patience` of its first `steps`
    saved values.
    """
    first = [step for step in trial.steps() if step < steps]
    for step in first:
        variances = {
            name: trial.number(name, step, "std", mode) ** 2
            for name, at, mode in _layers(trial, "", activation_inputs_regex)
            if at == step
        }
        if len(variances) > 1 and max(variances.values()) > threshold * min(variances.values()):
            low, high = (pick(variances, key=variances.__getitem__) for pick in (min, max))
            return _poor(
                step,
                f"the variance of {high} is {variances[high] / max(variances[low], 1e-30):.3g} times that of {low}",
            )
        for name, at, mode in selected(trial, "gradients", ""):
            if at == step and trial.whole(name, step, mode):
                low_, high_ = np.percentile(trial.tensor(name, step, mode), (5, 95))
                if high_ - low_ < distribution_range:
                    return _poor(step, f"90 % of {name} lie within {high_ - low_:.3g} of each other", name)
    return _flat(trial, patience, steps)


def _flat(trial: Trial, patience: int, steps: int) -> Finding | None:
    if "losses" not in trial.collections():
        return None
    for name in trial.names("losses"):
        at, values = trial.values(name, "train")
        best, since = float("inf"), 0
        for step, value in list(zip(at, map(scalar, values), strict=True))[:steps]:
            best, since = (value, 0) if value < best else (best, since + 1)
            if since >= patience:
                return _poor(step, f"{name} has had no new minimum for {since} saved steps since the start", name)
    return None


def _poor(step: int, what: str, tensor: str | None = None) -> Finding:
    return Finding(
        "PoorWeightInitialization", step, f"at step {step} {what}",
        "Use Glorot's initialisation with tanh or sigmoid and He's with ReLU; nothing should start equal.", tensor,
    )  # fmt: skip


def _layers(trial: Trial, activation: str, tensor_regex: str) -> Iterator[tuple[str, int, Mode]]:
    """Give the saved outputs of layers with an activation ("" for those with any), or those that the regex names."""
    if "layer_outputs" not in trial.collections():
        return
    kinds = {layer.name: layer.activation for layer in trial.run.layers}
    for name, step, mode in selected(trial, "layer_outputs", tensor_regex):
        kind = kinds.get(name, "")
        known = kind.startswith(activation) if activation else kind not in ("", "linear", "softmax")
        if known or (not kinds and tensor_regex and re.search(tensor_regex, name)):
            yield name, step, mode


def _shares(
    trial: Trial, name: str, step: int, mode: Mode, kind: Reduction, *, activation: str = ""
) -> NDArray[Any] | None:
    saved = trial.reduction(name, step, kind, mode)
    if saved is not None or not trial.whole(name, step, mode):
        return saved
    outputs = trial.tensor(name, step, mode)
    if kind == "active":
        return np.atleast_1d(units(np, outputs > 0))
    low, high = (np.float32(bound) for bound in SATURATED[activation])
    return np.atleast_1d(units(np, (outputs <= low) | (outputs >= high)))


def _outside(
    trial: Trial, name: str, step: int, mode: Mode, *, activation: str, bound: tuple[float, float]
) -> NDArray[Any] | None:
    """Give the share of a unit's outputs that come from inputs outside of other bounds than the usual."""
    if not trial.whole(name, step, mode):
        msg = f"SaturatedActivation: thresholds of your own need {name} itself, and only its reductions were saved"
        raise DataError(msg)
    low, high = np.tanh(bound) if activation == "tanh" else 1 / (1 + np.exp(-np.array(bound)))
    outputs = trial.tensor(name, step, mode)
    return np.atleast_1d(units(np, (outputs <= np.float32(low)) | (outputs >= np.float32(high))))
