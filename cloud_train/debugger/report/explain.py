"""SHAP: how much each feature moves a prediction, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section

from .importance import short
from .part import CYCLE, GRAY, Part, number, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_FEATURES = 15
FOLLOWS = 0.3
"""From this rank correlation on, a higher value of a feature is said to raise or lower predictions."""


def shap(values: NDArray[np.float64], rows: NDArray[np.float64], features: Sequence[str]) -> Part:
    """Show what each feature adds to the margin; `values` `[rows, features]`, `rows` the features' own values."""
    strength = np.abs(values).mean(axis=0)
    order = np.argsort(-strength, kind="stable")[:MOST_FEATURES]
    order = order[strength[order] > 0]
    directions = {features[i]: follows(rows[:, i], values[:, i]) for i in order}
    names = [features[i] for i in order]
    if not names:
        return Part(Section("SHAP", ["No feature moves any prediction."]))
    ways = [f"{name} {_way(directions[name])}" for name in names[:3]]
    sentence = (
        f"{names[0]} moves predictions most, by {number(strength[order[0]])} of the margin on average"
        f" ({share(float(strength[order[0]] / strength.sum()))} of all); {'; '.join(ways)}."
    )
    picture = Picture("shap", sentence, _beeswarm(values[:, order], rows[:, order], names))
    text = f"SHAP values of {len(values)} rows: what each feature adds to the margin of a row, against the mean."
    facts = {
        name: {"mean_abs": float(strength[i]), "follows": directions[name]}
        for name, i in zip(names, order, strict=True)
    }
    return Part(Section("SHAP", [text], pictures=[picture]), (), facts)


def shap_classes(values: NDArray[np.float64], features: Sequence[str], classes: Sequence[str]) -> Part:
    """Show what each feature adds to each class's margin; `values` are `[rows, features, classes]`."""
    strength = np.abs(values).mean(axis=0)  # [features, classes]
    order = np.argsort(-strength.sum(axis=1), kind="stable")[:MOST_FEATURES]
    top = int(order[0])
    part = float(strength[top].sum() / max(strength.sum(), 1e-12))
    sentence = (
        f"{features[top]} moves predictions most ({share(part)} of all movement), above all those of class"
        f" {classes[int(strength[top].argmax())]}."
    )
    picture = Picture("shap", sentence, _stacked(strength[order], [features[i] for i in order], classes))
    text = f"SHAP values of {len(values)} rows: what each feature adds to the margin of each class, on average."
    facts = {features[i]: dict(zip(classes, strength[i].tolist(), strict=True)) for i in order}
    return Part(Section("SHAP", [text], pictures=[picture]), (), facts)


def follows(feature: NDArray[np.float64], effect: NDArray[np.float64]) -> float:
    """Give the rank correlation of a feature's values and their effect, missing values left out; 0 for constants."""
    kept = np.isfinite(feature) & np.isfinite(effect)
    a, b = (np.argsort(np.argsort(x[kept])).astype(float) for x in (feature, effect))
    if kept.sum() < 3 or len({*feature[kept]}) < 2 or len({*effect[kept]}) < 2:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _way(correlation: float) -> str:
    if abs(correlation) < FOLLOWS:
        return "acts both ways"
    return "raises them" if correlation > 0 else "lowers them"


def _beeswarm(values: NDArray[np.float64], rows: NDArray[np.float64], names: Sequence[str]) -> Figure:
    drawing, axes = figure(7.2, 1.2 + 0.32 * len(names))
    shown = None
    for i in range(len(names)):
        shown = _swarm(axes, i, values[:, i], rows[:, i])
    axes.axvline(0, color=GRAY, linewidth=1)
    axes.set_yticks(range(len(names)), [short(name) for name in names], fontsize=8)
    axes.set(xlabel="SHAP value (added to the margin)", ylim=(len(names) - 0.4, -0.6))
    if shown is not None:
        bar = drawing.colorbar(shown, ax=axes, ticks=[0, 1], label="value of the feature", aspect=30)
        bar.ax.set_yticklabels(["low", "high"])
    return drawing


def _swarm(axes: Axes, at: int, values: NDArray[np.float64], feature: NDArray[np.float64]):  # noqa: ANN202 - a collection
    """Draw one feature's rows, moved apart where many have the same value; missing ones are gray."""
    missing = ~np.isfinite(feature)
    low, high = np.quantile(feature[~missing], (0.05, 0.95)) if (~missing).any() else (0.0, 1.0)
    colour = np.clip((feature - low) / max(high - low, 1e-12), 0, 1)
    apart = at + _apart(values)
    look: dict[str, Any] = {"s": 7, "linewidths": 0, "rasterized": True}
    axes.scatter(values[missing], apart[missing], color=GRAY, **look)
    return axes.scatter(values[~missing], apart[~missing], c=colour[~missing], cmap="coolwarm", vmin=0, vmax=1, **look)


def _apart(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each point an offset within ±0.38, larger where points are dense."""
    bins = np.digitize(values, np.linspace(values.min(), values.max() + 1e-12, 80))
    offsets = np.zeros(len(values))
    most = max(1, int(np.bincount(bins).max()))
    for b in np.unique(bins):
        own = np.flatnonzero(bins == b)
        ranks = (np.arange(len(own)) + 1) // 2 * np.where(np.arange(len(own)) % 2, 1, -1)
        offsets[own] = ranks * 0.76 / max(most, 12)
    return offsets


def _stacked(strength: NDArray[np.float64], names: Sequence[str], classes: Sequence[str]) -> Figure:
    from matplotlib import colormaps

    drawing, axes = figure(7.2, 1.2 + 0.3 * len(names))
    few = len(classes) <= len(CYCLE)
    colours = CYCLE if few else [colormaps["turbo"](x) for x in np.linspace(0.05, 0.95, len(classes))]
    left = np.zeros(len(names))
    for k, name in enumerate(classes):
        axes.barh(range(len(names)), strength[:, k], 0.75, left, color=colours[k], label=short(name, 18))
        left += strength[:, k]
    axes.set_yticks(range(len(names)), [short(name) for name in names], fontsize=8)
    axes.set(xlabel="mean |SHAP value|", ylim=(len(names) - 0.4, -0.6))
    axes.legend(frameon=False, fontsize=7, ncols=1 + len(classes) // 12, loc="lower right")
    return drawing
