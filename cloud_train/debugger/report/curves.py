"""How well scores separate classes: ROC and precision-recall for each, calibration and the best threshold for two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section, Table

from .importance import short
from .part import CYCLE, GRAY, TRAIN, VALIDATION, Part, plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_LINES = 6
BINS = 10
MISCALIBRATED, GAINED = 0.05, 0.01
"""Errors of calibration from here on, and gains of F1 by another threshold, are worth a word."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One class against the rest: its ROC with the area under it, its precision by recall with its mean."""

    false_positive: NDArray[np.float64]
    true_positive: NDArray[np.float64]
    auc: float
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    share: float


def curve(hits: NDArray[np.bool_], scores: NDArray[np.float64]) -> Curve | None:
    """Give the curves of one class; None where all rows are of it, or none."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    if hits.all() or not hits.any():
        return None
    false_positive, true_positive, _ = roc_curve(hits, scores)
    precision, recall, _ = precision_recall_curve(hits, scores)
    return Curve(
        false_positive, true_positive, float(auc(false_positive, true_positive)),
        recall, precision, float(average_precision_score(hits, scores)), float(hits.mean()),
    )  # fmt: skip


def curves(labels: NDArray[np.int64], scores: NDArray[np.float64], names: Sequence[str]) -> Part | None:
    """Show each class against the rest; `scores` are `[rows, classes]`. None where no class can be judged.

    Of two classes only the second is shown: the first is its mirror image.
    """
    which = [1] if len(names) == 2 else range(len(names))
    found = {names[k]: c for k in which if (c := curve(labels == k, scores[:, k]))}
    if not found:
        return None
    pictures = [
        Picture("roc", _roc_sentence(found), _draw_roc(found)),
        Picture("precision-recall", _precision_sentence(found), _draw_precision(found)),
    ]
    rows = [(name, f"{c.auc:.4f}", f"{c.average_precision:.4f}", f"{c.share:.3f}") for name, c in found.items()]
    head = ("class", "area under ROC", "average precision", "by chance")
    section = Section("ROC and precision-recall", tables=[Table(head, rows)], pictures=pictures)
    facts = {name: {"auc": c.auc, "average_precision": c.average_precision} for name, c in found.items()}
    return Part(section, (), facts)


def _roc_sentence(found: Mapping[str, Curve]) -> str:
    worst = min(found, key=lambda name: found[name].auc)
    auc = found[worst].auc
    if len(found) == 1:
        return f"A row of {worst} scores higher than one of the other class in {auc:.1%} of all pairs (AUC {auc:.4f})."
    best, mean = max(found, key=lambda name: found[name].auc), np.mean([c.auc for c in found.values()])
    told = f"{best} is told from the rest best ({found[best].auc:.4f}), {worst} worst ({auc:.4f})"
    return f"The mean AUC is {mean:.4f}; {told}."


def _precision_sentence(found: Mapping[str, Curve]) -> str:
    worst = min(found, key=lambda name: found[name].average_precision)
    c = found[worst]
    at = float(c.precision[c.recall >= 0.9].max())
    return (
        f"{'To find' if len(found) == 1 else 'Hardest: to find'} nine of ten rows of {worst}, {at:.0%} of those called"
        f" so are right; mean precision is {c.average_precision:.3f}, by chance {c.share:.3f}."
    )


def _coloured(found: Mapping[str, Curve]) -> dict[str, str | None]:
    """Give each class a colour, the hardest if there are many; None for those in gray."""
    hardest = sorted(found, key=lambda name: found[name].auc)[:MOST_LINES]
    colours = dict(zip([name for name in found if name in hardest], CYCLE, strict=False))
    return {name: colours.get(name) for name in sorted(found, key=lambda n: n in colours)}


def _draw_roc(found: Mapping[str, Curve]) -> Figure:
    drawing, axes = figure(5, 4.2)
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    for name, colour in _coloured(found).items():
        c = found[name]
        look = (
            {"color": colour, "label": f"{short(name, 18)} ({c.auc:.3f})"} if colour else {"color": GRAY, "alpha": 0.4}
        )
        plot(axes, c.false_positive, c.true_positive, **look)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="lower right", title=_legend(found, "AUC"))
    return drawing


def _draw_precision(found: Mapping[str, Curve]) -> Figure:
    drawing, axes = figure(5, 4.2)
    for name, colour in _coloured(found).items():
        c = found[name]
        label = f"{short(name, 18)} ({c.average_precision:.3f})"
        plot(
            axes,
            c.recall,
            c.precision,
            **({"color": colour, "label": label} if colour else {"color": GRAY, "alpha": 0.4}),
        )
    if len(found) == 1:
        axes.axhline(c.share, color=GRAY, linewidth=1, linestyle="--")
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="lower left", title=_legend(found, "mean precision"))
    return drawing


def _legend(found: Mapping[str, Curve], figure_name: str) -> str:
    return f"hardest {MOST_LINES} ({figure_name})" if len(found) > MOST_LINES else f"class ({figure_name})"


def certainty(hits: NDArray[np.bool_], scores: NDArray[np.float64], name: str) -> Part | None:
    """Show, for two classes, whether a score means what it says, and at which score to say `name`."""
    if hits.all() or not hits.any():
        return None
    middle, right, rows = _reliability(hits, scores)
    error = float((np.abs(middle - right) * rows).sum() / rows.sum())
    at, f1, accuracy = _by_threshold(hits, scores)
    best, half = int(f1.argmax()), int(np.abs(at - 0.5).argmin())
    leaning = "too sure" if ((right - middle) * np.sign(middle - 0.5) * rows).sum() < 0 else "not sure enough"
    calibrated = (
        f"A score is off from the share of {name} among such rows by {error:.3f} on average:"
        f" {'it can be read as a probability' if error < MISCALIBRATED else f'the model is {leaning}'}."
    )
    chosen = (
        f"F1 of {name} is highest, {f1[best]:.3f}, when rows that score {at[best]:.2f} or more are called {name}; at"
        f" 0.50 it is {f1[half]:.3f}. Accuracy is highest, {accuracy.max():.3f}, at {at[accuracy.argmax()]:.2f}."
    )
    pictures = [
        Picture("calibration", calibrated, _draw_reliability(middle, right, rows)),
        Picture("threshold", chosen, _draw_thresholds(at, f1, accuracy, best, name)),
    ]
    advice = []
    if f1[best] - f1[half] > GAINED:
        advice.append(f"Call a row {name} from a score of {at[best]:.2f} on instead of 0.50: F1 becomes {f1[best]:.3f}"
                      f" instead of {f1[half]:.3f}.")  # fmt: skip
    if error >= MISCALIBRATED:
        advice.append(f"Calibrate the scores before they are read as probabilities: they are off by {error:.3f}.")
    facts = {"calibration_error": error, "best_threshold": float(at[best]), "best_f1": float(f1[best]),
             "f1_at_half": float(f1[half])}  # fmt: skip
    return Part(Section("Certainty and threshold", pictures=pictures), tuple(advice), facts)


def _reliability(
    hits: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give mean score, share of hits and rows of each tenth of the scores that has any."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    kept = rows > 0
    total, right = (np.bincount(bins, weights, BINS) for weights in (scores, hits))
    return total[kept] / rows[kept], right[kept] / rows[kept], rows[kept]


def _by_threshold(
    hits: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give F1 and accuracy at each hundredth of the score."""
    at = np.linspace(0.01, 0.99, 99)
    called = np.searchsorted(np.sort(scores), at)
    true = hits.sum() - np.searchsorted(np.sort(scores[hits]), at)
    predicted = len(scores) - called
    f1 = 2 * true / np.maximum(1, predicted + hits.sum())
    accuracy = (true + (~hits).sum() - (predicted - true)) / len(hits)
    return at, f1, accuracy


def _draw_reliability(middle: NDArray[Any], right: NDArray[Any], rows: NDArray[Any]) -> Figure:
    drawing, axes = figure(5, 4.2)
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    axes.plot(middle, right, color=TRAIN)
    axes.scatter(middle, right, 6 + 200 * rows / rows.sum(), color=TRAIN)
    axes.set(xlabel="score (areas: rows)", ylabel="share that is so", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return drawing


def _draw_thresholds(at: NDArray[Any], f1: NDArray[Any], accuracy: NDArray[Any], best: int, name: str) -> Figure:
    drawing, axes = figure(5, 4.2)
    axes.plot(at, f1, color=TRAIN, label=f"F1 of {short(name, 18)}")
    axes.plot(at, accuracy, color=VALIDATION, label="accuracy")
    axes.axvline(at[best], color=GRAY, linewidth=1, linestyle="--", label=f"best F1: {at[best]:.2f}")
    axes.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return drawing
