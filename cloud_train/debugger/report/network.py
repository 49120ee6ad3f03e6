"""Gradients, weights and activations of a network over the steps, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section

from .importance import short
from .part import GRAY, TRAIN, VALIDATION, Part, counted, listed, number, share, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

VANISHING = 1e-7
"""A mean absolute gradient below it moves nothing, as in the rule VanishingGradient."""
MOST_ROWS, MOST_COLUMNS, MOST_HISTOGRAMS = 40, 120, 12
DEAD, ACTIVE_SHARE = 0.5, 0.01
"""A layer is called dead when so many of its units are active for fewer rows than the second share."""


def gradients(names: Sequence[str], steps: Sequence[int], sizes: NDArray[np.float64]) -> Part:
    """Show the mean absolute gradient of each tensor over the steps; `sizes` are `[tensors, steps]`."""
    last, what = _last(sizes), "tensor"
    low, high = int(np.nanargmin(last)), int(np.nanargmax(last))
    ratio = number(float(last[high] / max(last[low], 1e-300)))
    broken = [name for name, row in zip(names, sizes, strict=True) if np.isinf(row).any() or _breaks(row)]
    gone = [name for name, value in zip(names, last, strict=True) if value < VANISHING]
    sentence = (
        f"At the last saved step the mean absolute gradient is from {number(float(last[low]))} ({names[low]}) to"
        f" {number(float(last[high]))} ({names[high]}), a ratio of {ratio};"
        f" {f'of {counted(len(gone), what)} it vanishes' if gone else 'none vanishes'}."
    )
    advice = []
    if gone:
        advice.append(f"Gradients vanish in {listed(gone, 4)}: check activations and initialisation, normalise, or add"
                      " connections that skip layers.")  # fmt: skip
    if broken:
        advice.append(
            f"Gradients of {listed(broken, 4)} are no numbers at times: lower the learning rate or clip them."
        )
    picture = Picture("gradients", sentence, _heat(names, steps, sizes, "mean |gradient|"))
    facts = {name: float(value) for name, value in zip(names, last, strict=True)}
    return Part(Section("Gradients", pictures=[picture]), tuple(advice), facts)


def updates(names: Sequence[str], steps: Sequence[int], ratios: NDArray[np.float64]) -> Part:
    """Show how much of its size each weight changed by between saved steps; `ratios` are `[tensors, steps]`."""
    last = _last(ratios)
    low, high = int(np.nanargmin(last)), int(np.nanargmax(last))
    still = [name for name, row in zip(names, ratios, strict=True) if not np.nanmax(row) > 0]
    sentence = (
        f"Between the last two saved steps weights changed by {share(float(last[low]))} ({names[low]}) to"
        f" {share(float(last[high]))} ({names[high]}) of their size; "
        + (f"{counted(len(still), 'tensor')} never changed." if still else "all of them have moved.")
    )
    advice = (f"{listed(still, 4)} never changed: are they meant to be frozen?",) if still else ()
    picture = Picture("updates", sentence, _heat(names, steps, ratios, "relative change"))
    facts = {name: float(value) for name, value in zip(names, last, strict=True)}
    return Part(Section("Weights over steps", pictures=[picture]), advice, facts)


def distributions(found: Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]) -> Part:
    """Show how each weight is distributed at the first and the last saved step: edges and counts of both."""
    wider = {name: _deviation(e1, c1) / max(_deviation(e0, c0), 1e-12) for name, (e0, c0, e1, c1) in found.items()}
    most = max(wider, key=lambda name: abs(np.log(max(wider[name], 1e-12))))
    sentence = (
        f"From the first (gray) to the last saved step the spread of {most} changed most, to {wider[most]:.2f} times;"
        f" {sum(value > 1.05 for value in wider.values())} of {len(wider)} tensors have become wider."
    )
    picture = Picture("weight-histograms", sentence, _histograms(found))
    return Part(Section("Distribution of weights", pictures=[picture]), (), {"spread": wider})


def activity(active: Mapping[str, NDArray[np.float64]], saturated: Mapping[str, NDArray[np.float64]]) -> Part:
    """Show the share of units that are dead (ReLU) or saturated (tanh, sigmoid) in each layer, at the last saved step.

    Each array has one value for a unit: for which share of rows it was active, or saturated.
    """
    dead = {name: float((units <= ACTIVE_SHARE).mean()) for name, units in active.items()}
    stuck = {name: float((units >= 1 - ACTIVE_SHARE).mean()) for name, units in saturated.items()}
    parts = []
    for what, shares in (("dead", dead), ("saturated", stuck)):
        if shares:
            worst = max(shares, key=shares.__getitem__)
            parts.append(f"{share(shares[worst])} of the units of {worst} are {what}, the most of any layer")
    bad = [name for shares in (dead, stuck) for name, value in shares.items() if value > DEAD]
    advice = (
        (f"More than half of {listed(bad, 4)} does nothing: lower the learning rate, change the activation, or"
         " normalise its input.",)
        if bad
        else ()
    )  # fmt: skip
    picture = Picture("activity", "; ".join(parts) + ".", _activity(dead, stuck))
    return Part(Section("Activations", pictures=[picture]), advice, {"dead": dead, "saturated": stuck})


def _last(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the last number of each row; no number for a row without."""
    found = np.full(len(values), np.nan)
    for i, row in enumerate(values):
        fine = row[np.isfinite(row)]
        found[i] = fine[-1] if len(fine) else np.nan
    return found


def _breaks(row: NDArray[np.float64]) -> bool:
    """Say whether a row has a NaN after a number: before the first it was not saved yet."""
    fine = np.isfinite(row)
    return bool(fine.any()) and bool((~fine[int(fine.argmax()) :]).any())


def _deviation(edges: NDArray[Any], counts: NDArray[Any]) -> float:
    middles, total = (edges[1:] + edges[:-1]) / 2, max(1, counts.sum())
    mean = (middles * counts).sum() / total
    return float(np.sqrt((counts * (middles - mean) ** 2).sum() / total))


def _heat(names: Sequence[str], steps: Sequence[int], values: NDArray[np.float64], label: str) -> Figure:
    from matplotlib.colors import LogNorm

    columns, rows = thinned(len(steps), MOST_COLUMNS), thinned(len(names), MOST_ROWS)
    shown = values[np.ix_(rows, columns)]
    positive = shown[np.isfinite(shown) & (shown > 0)]
    low, high = (positive.min(), positive.max()) if len(positive) else (1e-9, 1.0)
    drawing, axes = figure(7.2, 1.3 + 0.2 * len(rows))
    norm = LogNorm(max(low, high / 1e9), max(high, low * 1.001), clip=True)
    image = axes.imshow(np.where(shown > 0, shown, low), norm=norm, cmap="viridis", aspect="auto", interpolation="none")
    for i, j in np.argwhere(~np.isfinite(shown)):
        axes.text(j, i, "x", ha="center", va="center", fontsize=6, color="#d55e00")
    axes.set_yticks(range(len(rows)), [short(names[i]) for i in rows], fontsize=7)
    ticks = thinned(len(columns), 8)
    axes.set_xticks(ticks, [str(steps[columns[i]]) for i in ticks])
    axes.set(xlabel="step")
    axes.spines[["left", "bottom"]].set_visible(b=False)
    drawing.colorbar(image, ax=axes, label=label)
    return drawing


def _histograms(found: Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]) -> Figure:
    from matplotlib.figure import Figure

    shown = list(found)[:MOST_HISTOGRAMS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    drawing = Figure((7.2, 1.6 * rows + 0.3), layout="constrained")
    for i, name in enumerate(shown):
        axes = drawing.add_subplot(rows, columns, i + 1)
        first_edges, first, edges, last = found[name]
        axes.stairs(first / max(1, first.max()), first_edges, color=GRAY)
        axes.stairs(last / max(1, last.max()), edges, color=TRAIN, fill=True, alpha=0.7)
        axes.set_title(short(name), fontsize=8)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right", "left"]].set_visible(b=False)
    return drawing


def _activity(dead: Mapping[str, float], stuck: Mapping[str, float]) -> Figure:
    bars = [(name, value, TRAIN) for name, value in dead.items()]
    bars += [(name, value, VALIDATION) for name, value in stuck.items()]
    drawing, axes = figure(5.6, 1 + 0.26 * len(bars))
    axes.barh(range(len(bars)), [value for _, value, _ in bars], 0.7, color=[colour for *_, colour in bars])
    axes.set_yticks(range(len(bars)), [short(name) for name, *_ in bars], fontsize=8)
    axes.set(xlabel="share of units that are dead or saturated", xlim=(0, 1), ylim=(len(bars) - 0.4, -0.6))
    return drawing
