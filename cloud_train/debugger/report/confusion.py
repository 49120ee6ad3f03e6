"""Which classes are taken for which, how good each is, and how that came about over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section, Table

from .importance import short
from .part import CYCLE, DARK, GRAY, Course, Part, counted, number, plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LOW_RECALL = 0.7
MOST_COUNTS, MOST_CLASSES, MOST_LINES = 15, 60, 6
SETTLED = 0.01


def confusion(labels: NDArray[np.int64], given: NDArray[np.int64], names: Sequence[str], of: str) -> Part:
    """Show true labels against those given, and precision, recall and F1 of each class; both arrays are numbers."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    counts = confusion_matrix(labels, given, labels=range(len(names)))
    each = precision_recall_fscore_support(labels, given, labels=range(len(names)), zero_division=0.0)
    means = {
        mean: precision_recall_fscore_support(labels, given, average=mean, zero_division=0.0)[:3]
        for mean in ("micro", "macro", "weighted")
    }
    accuracy = float((labels == given).mean())
    recall = {name: float(r) for name, r, n in zip(names, each[1], each[3], strict=True) if n}
    rows = [(name, *(f"{v:.3f}" for v in values), f"{int(n):,}")
            for name, *values, n in zip(names, *each, strict=True)]  # fmt: skip
    rows += [(f"{mean} mean", *(f"{v:.3f}" for v in values), f"{len(labels):,}") for mean, values in means.items()]
    sentence = _sentence(counts, names, recall, of)
    section = Section(
        "Confusion",
        [f"Accuracy is {accuracy:.1%} on {len(labels):,} {of} rows."],
        [Table(("class", "precision", "recall", "F1", "rows"), rows)],
        [Picture("confusion", sentence, _draw(counts, names))],
    )
    facts = {
        "accuracy": accuracy, "confusion": counts.tolist(), "labels": list(names),
        "classes": {name: dict(zip(("precision", "recall", "f1", "rows"), map(float, values), strict=True))
                    for name, *values in zip(names, *each, strict=True)},
        **{mean: dict(zip(("precision", "recall", "f1"), map(float, v), strict=True)) for mean, v in means.items()},
    }  # fmt: skip
    return Part(section, _advice(recall, dict(zip(names, each[3].tolist(), strict=True))), facts)


def _sentence(counts: NDArray[np.int64], names: Sequence[str], recall: Mapping[str, float], of: str) -> str:
    best, worst = max(recall, key=recall.__getitem__), min(recall, key=recall.__getitem__)
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"All {counts.sum():,} {of} rows are given their right class."
    i, j = divmod(int(wrong.argmax()), len(names))
    better = (
        f"Class {best} is recognised best (recall {recall[best]:.3f}), class {worst} worst ({recall[worst]:.3f}); "
        if recall[best] > recall[worst]
        else ""
    )
    most = f"{counted(int(wrong[i, j]), 'row')} of {names[i]} taken for {names[j]}"
    return f"{better}the most frequent mistake: {most}." if better else f"The most frequent mistake: {most}."


def _advice(recall: Mapping[str, float], rows: Mapping[str, int]) -> tuple[str, ...]:
    low = [name for name, value in recall.items() if value < LOW_RECALL]
    if not low or len(recall) < 2:
        return ()
    rare = [name for name in low if rows[name] < np.mean(list(rows.values()))]
    named = ", ".join(f"{name} ({recall[name]:.2f})" for name in sorted(low, key=recall.__getitem__)[:5])
    why = " They are rarer than the others: weigh or resample them." if len(rare) == len(low) else ""
    return (f"Many rows of {named} are missed (recall): look at what they are taken for.{why}",)


def _draw(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = min(8.0, max(3.4, 0.3 * len(names) + 1.6))
    drawing, axes = figure(side + 0.8, side)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    drawing.colorbar(shown, ax=axes, label="share of the true class", shrink=0.8)
    if len(names) <= MOST_COUNTS:
        for (i, j), count in np.ndenumerate(counts):
            axes.text(
                j, i, f"{count:,}\n{shares[i, j]:.0%}", ha="center", va="center", fontsize=9 if len(names) < 8 else 6,
                color="w" if shares[i, j] > 0.5 else DARK,
            )  # fmt: skip
    if len(names) <= MOST_CLASSES:
        axes.set_xticks(range(len(names)), [short(n, 14) for n in names], rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), [short(n, 14) for n in names], fontsize=8)
    axes.set(xlabel="class given", ylabel="true class")
    axes.spines[["left", "bottom"]].set_visible(b=False)
    return drawing


def over_steps(recall: Mapping[str, Course], unit: str) -> Part:
    """Show the share of each class that is recognised, step by step; one course for each class."""
    last = {name: float(course.values[-1]) for name, course in recall.items()}
    worst, best = min(last, key=last.__getitem__), max(last, key=last.__getitem__)
    course = recall[worst]
    gained = course.values[-1] - course.values[0]
    slowest = max(recall, key=lambda name: _settled(recall[name]))
    sentence = (
        f"Over {len(course.steps)} saved {unit}s class {worst}, the weakest, went from {course.values[0]:.3f} to"
        f" {course.values[-1]:.3f} ({gained:+.3f}), class {best}, the strongest, ended at {last[best]:.3f}; class"
        f" {slowest} settled last, at {unit} {_settled(recall[slowest])}."
    )
    fallen = [name for name, c in recall.items() if c.values.max() - c.values[-1] > 0.05]
    advice = (
        (f"Recall of {', '.join(fallen[:5])} was up to {_most_fallen(recall, fallen):.2f} higher at an earlier {unit}:"
         f" the model trades them for other classes; weigh them.",)
        if fallen
        else ()
    )  # fmt: skip
    facts = {name: {"steps": c.steps.tolist(), "recall": c.values.tolist()} for name, c in recall.items()}
    picture = Picture("recall-over-steps", sentence, _draw_over(recall, unit))
    return Part(Section(f"Accuracy per class over {unit}s", pictures=[picture]), advice, facts)


def _settled(course: Course) -> int:
    off = np.abs(course.values - course.values[-1]) > SETTLED
    return (
        int(course.steps[min(len(off) - 1, len(off) - int(off[::-1].argmax()))]) if off.any() else int(course.steps[0])
    )


def _most_fallen(recall: Mapping[str, Course], fallen: Sequence[str]) -> float:
    return max(float(recall[name].values.max() - recall[name].values[-1]) for name in fallen)


def _draw_over(recall: Mapping[str, Course], unit: str) -> Figure:
    drawing, axes = figure(5.6, 3.4)
    order = sorted(recall, key=lambda name: recall[name].values[-1])
    coloured = order if len(order) <= MOST_LINES else order[: MOST_LINES - 1] + order[-1:]
    for name in (n for n in order if n not in coloured):
        plot(axes, recall[name].steps, recall[name].values, color=GRAY, linewidth=0.7, alpha=0.6)
    for name, colour in zip(coloured, CYCLE, strict=False):
        label = f"{short(name, 18)} ({number(float(recall[name].values[-1]))})"
        plot(axes, recall[name].steps, recall[name].values, color=colour, label=label)
    axes.set(xlabel=unit, ylabel="share recognised", ylim=(-0.02, 1.02))
    axes.legend(
        frameon=False, fontsize=8, title=f"lowest {len(coloured) - 1} and highest" if len(order) > MOST_LINES else None
    )
    return drawing


def recalled(labels: NDArray[np.int64], given: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Give the share of each class's rows that were given their class; no number for a class without rows."""
    rows = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[labels == given], minlength=classes)
    with np.errstate(invalid="ignore"):
        found: NDArray[Any] = hits / rows
    return found
