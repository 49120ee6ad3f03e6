"""How the labels are distributed: classes that are rare, values that are skewed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section, Table

from .part import TRAIN, Part, listed, number, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLIGHT, STRONG = 1.5, 10.0
"""Largest class over smallest: from here on a slight, and a strong imbalance, as ClassImbalance's default is."""
SKEWED = 1.0
MOST_BARS = 40


def classes(labels: NDArray[np.int64], names: Sequence[str], of: str, *, weighted: bool = False) -> Part:
    """Show how many rows each class has; `labels` are class numbers, `of` says which rows they are.

    `weighted` says that the training already weighs its classes.
    """
    counts = np.bincount(labels, minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    most, least = counts[order[0]], counts[order[-1]]
    ratio = float(most / least) if least else float("inf")
    sentence = (
        f"Class {names[order[0]]} has {share(most / counts.sum())} of the {counts.sum():,} {of} labels, class"
        f" {names[order[-1]]} {share(least / counts.sum())}: {_imbalance(ratio)}."
    )
    rows = [(names[i], f"{counts[i]:,}", share(counts[i] / counts.sum())) for i in order[:MOST_BARS]]
    picture = Picture("labels", sentence, _bars(counts[order][:MOST_BARS], [names[i] for i in order[:MOST_BARS]]))
    section = Section("Labels", tables=[Table(("class", "rows", "share"), rows)], pictures=[picture])
    advice = () if weighted else _class_advice(counts, names, ratio)
    return Part(section, advice, {"counts": dict(zip(names, counts.tolist(), strict=True)), "ratio": ratio})


def _imbalance(ratio: float) -> str:
    if ratio == float("inf"):
        return "it does not occur at all"
    if ratio < SLIGHT:
        return f"they are balanced ({ratio:.2f} to 1)"
    return f"{'a slight' if ratio < STRONG else 'a strong'} imbalance of {ratio:.3g} to 1"


def _class_advice(counts: NDArray[np.int64], names: Sequence[str], ratio: float) -> tuple[str, ...]:
    if ratio == float("inf"):
        missing = [name for name, count in zip(names, counts, strict=True) if not count]
        return (f"No row is of class {listed(missing)}: nothing can be said of it; add some, or leave the class out.",)
    if ratio < SLIGHT:
        return ()
    if len(counts) == 2:
        weight = counts[0] / counts[1]
        return (
            f"The labels are imbalanced, {counts[0]:,} of {names[0]} to {counts[1]:,} of {names[1]}: set"
            f" scale_pos_weight = {weight:.3g} or resample, where {names[int(weight > 1)]} must not be missed.",
        )
    rare = [name for name, count in zip(names, counts, strict=True) if count * STRONG <= counts.max()]
    return (f"Weigh or resample the rare classes {listed(rare)}.",) if rare else ()


def values(labels: NDArray[np.float64], of: str) -> Part:
    """Show how the values of a regression are distributed."""
    middle, low, high = np.median(labels), *np.quantile(labels, (0.05, 0.95))
    skew = _skew(labels)
    shape = "symmetric" if abs(skew) < SKEWED else f"skewed to the {'right' if skew > 0 else 'left'}"
    sentence = (
        f"Half of the {len(labels):,} {of} labels are below {number(middle)}, nine of ten between {number(low)} and"
        f" {number(high)}; they are {shape} (skewness {skew:.2f})."
    )
    advice: tuple[str, ...] = ()
    if skew >= SKEWED and labels.min() >= 0:
        advice = (
            f"The labels have a long tail (skewness {skew:.2f}): try their logarithm, or reg:squaredlogerror,"
            " reg:gamma or reg:tweedie.",
        )
    section = Section("Labels", pictures=[Picture("labels", sentence, _histogram(labels))])
    facts: dict[str, Any] = {"median": float(middle), "p5": float(low), "p95": float(high), "skewness": skew}
    return Part(section, advice, facts)


def _skew(values: NDArray[np.float64]) -> float:
    deviation = values.std()
    return float(((values - values.mean()) ** 3).mean() / deviation**3) if deviation else 0.0


def _bars(counts: NDArray[np.int64], names: Sequence[str]) -> Any:  # noqa: ANN401 - a Figure
    drawing, axes = figure(5.6, max(1.2, 0.6 + 0.28 * len(names)))
    bars = axes.barh(range(len(names)), counts, 0.7, color=TRAIN)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="rows", xlim=(0, 1.15 * max(1, counts.max())))
    axes.invert_yaxis()
    return drawing


def _histogram(labels: NDArray[np.float64]) -> Any:  # noqa: ANN401 - a Figure
    drawing, axes = figure(5.6, 3)
    axes.hist(labels, bins=60, color=TRAIN)
    axes.set(xlabel="label", ylabel="rows")
    return drawing
