"""Drawings of how good a bundle is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .judgement import FUSED, Judge, Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .checkpoint import Epoch

COLOURS = {"rgb": "#0072b2", "flow": "#56b4e9", "audio": "#e69f00", FUSED: "#000000"}
"""Okabe and Ito's palette: told apart also by those who do not see red and green."""


def figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Give an empty drawing of a size in inches, without a frame."""
    from matplotlib.figure import Figure

    drawing = Figure((width, height), layout="constrained")
    axes = drawing.add_subplot()
    axes.spines[["top", "right"]].set_visible(b=False)
    return drawing, axes


def draw_classes(judgement: Judgement) -> Figure:
    """Draw every label's F1 over seconds for each judge; error bars are the deviation over the test sets."""
    names = list(judgement.judges)
    drawing, axes = figure(11, 4.5)
    labels = [c.label for c in judgement.judges[FUSED].classes]
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        own = {c.label: c for c in judgement.judges[name].classes}
        at = [(i, own[label]) for i, label in enumerate(labels) if label in own]
        axes.bar(
            [i + (k - (len(names) - 1) / 2) * width for i, _ in at], [c.f1 for _, c in at], width, label=name,
            color=COLOURS[name], yerr=[c.f1_deviation for _, c in at], error_kw={"elinewidth": 0.8, "ecolor": "#888"},
        )  # fmt: skip
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set(ylabel="F1 over seconds", ylim=(0, 1.05), xlim=(-0.6, len(labels) - 0.4))
    axes.legend(ncols=len(names), frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return drawing


def draw_confusion(judge: Judge, labels: Sequence[str]) -> Figure:
    """Draw which label recordings of each true label were given: colour is the row's share, numbers are counts."""
    counts = np.array(judge.confusion)
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = max(4.0, 0.25 * len(labels) + 2)
    drawing, axes = figure(side, side)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero(), strict=True):
        axes.text(
            j, i, str(counts[i, j]), ha="center", va="center", fontsize=7, color="w" if share[i, j] > 0.5 else "#111"
        )
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set(xlabel="label given", ylabel="true label")
    axes.spines[["left", "bottom"]].set_visible(b=False)
    return drawing


def draw_reliability(judgement: Judgement) -> Figure:
    """Draw how often each judge is right where it is so sure; on the diagonal a score means what it says."""
    drawing, axes = figure(5.5, 5)
    axes.plot([0, 1], [0, 1], color="#aaa", linewidth=1, linestyle="--")
    for name, judge in judgement.judges.items():
        points = [(b.confidence, b.accuracy, b.seconds) for b in judge.reliability]
        x, y, seconds = zip(*points, strict=True)
        label = f"{name} (error {judge.calibration_error:.3f})"
        axes.plot(x, y, color=COLOURS[name], label=label, linewidth=2 if name == FUSED else 1)
        axes.scatter(x, y, [4 + 80 * n / judge.seconds for n in seconds], color=COLOURS[name])
    axes.set(xlabel="score", ylabel="share of right seconds", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(frameon=False, loc="upper left")
    return drawing


def draw_levels(judgement: Judgement) -> Figure:
    """Draw each judge's F1 over looks, seconds and recordings."""
    drawing, axes = figure(6.5, 3.2)
    levels = ("looks", "seconds", "recordings")
    for k, (name, judge) in enumerate(judgement.judges.items()):
        values = (judge.look_f1, judge.f1, judge.recording_f1)
        at = [i + (k - (len(judgement.judges) - 1) / 2) * 0.2 for i in range(3)]
        bars = axes.bar(at, [v or 0 for v in values], 0.19, color=COLOURS[name], label=name)
        axes.bar_label(bars, [f"{v:.2f}" if v is not None else "" for v in values], fontsize=8, padding=1)
    axes.set_xticks(range(3), [f"over {level}" for level in levels])
    axes.set(ylabel="F1", ylim=(0, 1.12))
    axes.legend(ncols=4, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return drawing


def draw_history(history: Sequence[Epoch]) -> Figure:
    """Draw the loss of a training and of its validation, epoch by epoch; a line parts the two steps."""
    drawing, axes = figure(6.5, 3.2)
    x = range(1, len(history) + 1)
    axes.plot(x, [e.loss for e in history], color=COLOURS["rgb"], label="training")
    axes.plot(x, [e.validation_loss for e in history], color=COLOURS["audio"], label="validation")
    for i in range(1, len(history)):
        if history[i].phase != history[i - 1].phase:
            axes.axvline(i + 0.5, color="#aaa", linewidth=1, linestyle="--")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(frameon=False)
    return drawing
