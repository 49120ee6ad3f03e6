"""How far a regression is off: its residuals at the end, and its error by size of the label over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section, Table

from .part import GRAY, TRAIN, VALIDATION, Part, number, share, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BINS = 10
"""As in the original report."""
BIASED, UNEVEN = 0.1, 3.0
"""A mean residual of so many deviations is a bias; errors so many times the smallest bin's are uneven."""
MOST_DOTS = 2000


def residuals(labels: NDArray[np.float64], given: NDArray[np.float64], of: str) -> Part:
    """Show what is left between labels and predictions at the last saved step."""
    left = labels - given
    bias, deviation = float(left.mean()), float(left.std())
    low, high = np.quantile(left, (0.025, 0.975))
    explained = 1 - float((left**2).sum()) / max(float(((labels - labels.mean()) ** 2).sum()), 1e-12)
    leaning = "no bias" if abs(bias) < BIASED * deviation else f"predictions are too {'low' if bias > 0 else 'high'}"
    spread = (
        f"Residuals of {len(left):,} {of} rows: mean {number(bias)} ({leaning}), 95 of 100 between {number(low)} and"
        f" {number(high)}."
    )
    fit = f"Predictions explain {share(max(0.0, explained))} of the labels' variance (R² {explained:.3f})."
    pictures = [
        Picture("residuals", spread, _draw_residuals(left)),
        Picture("predicted", fit, _draw_predicted(labels, given)),
    ]
    measures = {
        "mean absolute error": float(np.abs(left).mean()), "root mean squared error": float(np.sqrt((left**2).mean())),
        "median absolute error": float(np.median(np.abs(left))), "R²": explained, "bias": bias,
    }  # fmt: skip
    table = Table(("measure", "value"), [(name, number(value)) for name, value in measures.items()])
    advice = []
    if abs(bias) >= BIASED * deviation:
        advice.append(f"Predictions are {number(abs(bias))} too {'low' if bias > 0 else 'high'} on average: train"
                      " longer, or look for a feature or a weight that is missing.")  # fmt: skip
    if explained < 0.1:
        advice.append(f"The model explains little of the labels (R² {explained:.3f}): the features may not tell them.")
    return Part(Section("Residuals", tables=[table], pictures=pictures), tuple(advice), measures)


def by_label(steps: Sequence[int], labels: NDArray[np.float64], errors: NDArray[np.float64], unit: str) -> Part:
    """Show the mean absolute error of rows with small to large labels, step by step; `errors` are `[steps, bins]`."""
    edges = bin_edges(labels)
    last, fine = errors[-1], np.isfinite(errors[-1])
    worst, best = int(np.nanargmax(last)), int(np.nanargmin(last))
    span = [f"{number(edges[i])} to {number(edges[i + 1])}" for i in range(BINS)]
    improved = [i for i in np.flatnonzero(fine) if errors[-1, i] < errors[0, i]]
    sentence = (
        f"Labels from {span[worst]} are off most at the end ({number(last[worst])}), those from {span[best]} least"
        f" ({number(last[best])}); {len(improved)} of {int(fine.sum())} bins got better since {unit} {steps[0]}."
    )
    advice: tuple[str, ...] = ()
    if last[worst] > UNEVEN * last[best]:
        advice = (
            f"Errors of labels from {span[worst]} are {last[worst] / last[best]:.1f} times those of the best bin: add"
            " rows there or weigh them.",
        )
    picture = Picture("error-by-label", sentence, _draw_bins(steps, errors, span, unit))
    facts: dict[str, Any] = {"edges": edges.tolist(), "steps": list(steps), "errors": errors.tolist()}
    return Part(Section(f"Error by label over {unit}s", pictures=[picture]), advice, facts)


def bin_edges(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the edges of ten bins of equal width over the labels."""
    return np.linspace(labels.min(), labels.max(), BINS + 1)


def binned_errors(labels: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mean absolute error of each bin; no number for an empty one."""
    edges = bin_edges(labels)
    bins = np.clip(np.searchsorted(edges, labels, "right") - 1, 0, BINS - 1)
    rows, total = np.bincount(bins, minlength=BINS), np.bincount(bins, np.abs(labels - given), BINS)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = total / rows
    return found


def _draw_residuals(left: NDArray[np.float64]) -> Figure:
    drawing, axes = figure(5.6, 3.4)
    axes.hist(left, bins=60, color=TRAIN)
    axes.axvline(0, color=GRAY, linewidth=1, linestyle="--")
    axes.axvline(left.mean(), color=VALIDATION, label=f"mean {number(float(left.mean()))}")
    axes.set(xlabel="label less prediction", ylabel="rows")
    axes.legend(frameon=False)
    return drawing


def _draw_predicted(labels: NDArray[np.float64], given: NDArray[np.float64]) -> Figure:
    drawing, axes = figure(5, 4.2)
    kept = thinned(len(labels), MOST_DOTS)
    axes.scatter(labels[kept], given[kept], 5, color=TRAIN, alpha=0.35, linewidths=0, rasterized=True)
    ends = [min(labels.min(), given.min()), max(labels.max(), given.max())]
    axes.plot(ends, ends, color=GRAY, linewidth=1, linestyle="--")
    axes.set(xlabel="label", ylabel="prediction")
    return drawing


def _draw_bins(steps: Sequence[int], errors: NDArray[np.float64], span: Sequence[str], unit: str) -> Figure:
    from matplotlib import colormaps

    drawing, axes = figure(5.6, 3.8)
    colours = colormaps["viridis"](np.linspace(0, 0.95, BINS))
    for i in map(int, np.flatnonzero(np.isfinite(errors[-1]))):
        axes.plot(steps, errors[:, i], color=colours[i], marker="." if len(steps) < 40 else "", label=span[i])
    axes.set(xlabel=unit, ylabel="mean absolute error", ylim=(0, None))
    axes.legend(
        frameon=False, fontsize=7, title="labels from", title_fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    return drawing
