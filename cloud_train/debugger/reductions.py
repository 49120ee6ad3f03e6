"""What is left of a tensor where saving all of it would cost too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .saved import Reduction

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 64
SATURATED = {
    "tanh": (math.tanh(-9.4999), math.tanh(9.4999)),
    "sigmoid": (1 / (1 + math.exp(23.0)), 1 / (1 + math.exp(-16.99999))),
}
"""Outputs at and beyond which float32 sees no slope; their inputs are the bounds of the rule SaturatedActivation."""

_OF: dict[Reduction, Callable[[Any, Any], Any]] = {
    "min": lambda xp, x: xp.min(x),
    "max": lambda xp, x: xp.max(x),
    "mean": lambda xp, x: xp.mean(x),
    "std": lambda xp, x: xp.std(x),
    "l2": lambda xp, x: xp.sqrt(xp.sum(x * x)),
    "abs_mean": lambda xp, x: xp.mean(xp.abs(x)),
    "zeros": lambda xp, x: _share(xp, x == 0),
}


def reduced(
    x: Any,  # noqa: ANN401 - an array of NumPy, or a tensor where `xp` is keras.ops
    kinds: Iterable[Reduction],
    *,
    activation: str = "",
    xp: ModuleType | Any = np,  # noqa: ANN401
) -> dict[Reduction, Any]:
    """Reduce a tensor of floats in each of the ways; NaN and infinity stay what they are.

    `active` is the share of values above 0 of each unit (the last axis) after a ReLU, `saturated` the share of those
    at the ends of a tanh or sigmoid; other activations have neither. A `histogram` is [2, bins + 1]: edges, counts.
    """
    found: dict[Reduction, Any] = {kind: _OF[kind](xp, x) for kind in kinds if kind in _OF}
    if "active" in kinds and activation.startswith("relu"):
        found["active"] = units(xp, x > 0)
    if "saturated" in kinds and activation in SATURATED:
        low, high = (np.float32(bound) for bound in SATURATED[activation])
        found["saturated"] = units(xp, (x <= low) | (x >= high))
    if "histogram" in kinds:
        found["histogram"] = _histogram(x)
    return found


def units(xp: Any, true: Any) -> Any:  # noqa: ANN401
    """Give the share of true values of each unit: over all axes but the last."""
    return xp.mean(_numbers(xp, true), axis=tuple(range(len(true.shape) - 1)))


def _share(xp: Any, true: Any) -> Any:  # noqa: ANN401
    return xp.mean(_numbers(xp, true))


def _numbers(xp: Any, true: Any) -> Any:  # noqa: ANN401
    return true.astype(np.float32) if xp is np else xp.cast(true, "float32")


def _histogram(x: NDArray[Any]) -> NDArray[np.float64]:
    counts, edges = np.histogram(x[np.isfinite(x)], BINS)
    return np.stack([edges, np.append(counts, 0)])
