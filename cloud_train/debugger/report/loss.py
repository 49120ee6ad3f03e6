"""Loss and metrics against the step: where validation was best, where it stopped improving, what training did on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.figures import figure
from cloud_train.page import Picture, Section, Table

from .part import GRAY, RED, TRAIN, VALIDATION, Course, Part, number, plot, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_GAIN = 0.98
"""A metric has stopped improving where this share of all it would ever gain was reached."""
EARLY = 0.8
"""What came after this share of the steps without a gain was not worth its time."""
WORSE, FLAT = 0.01, 0.001
"""Relative changes: from here on a metric has become worse; up to here it has not moved."""
MAXIMISED = re.compile(r"auc|acc|map|ndcg|precision|recall|f1|iou|pre@|cosine_similarity|r2")


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric of a run, on the training and on the validation data, as far as it was saved."""

    name: str
    train: Course | None = None
    validation: Course | None = None

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is."""
        return -1 if MAXIMISED.search(self.name.lower()) else 1


@dataclass(frozen=True)
class Judged:
    """A course in figures: its first, best and last value and their steps; `settled` is where it stopped improving.

    `improved` says whether it ever got better than its first value; `broken` is the first step without a number.
    """

    first: float
    best: float
    last: float
    first_step: int
    best_step: int
    last_step: int
    settled: int
    improved: bool
    broken: int | None

    @property
    def worse(self) -> float:
        """How much worse the last value is than the best, relative to the best."""
        return abs(self.last - self.best) / max(abs(self.best), 1e-12)


def judge(course: Course, sign: int) -> Judged | None:
    """Judge a course by its finite values; None where it has none. Less is better where `sign` is 1."""
    fine = np.isfinite(course.values)
    if not fine.any():
        return None
    steps, values = course.steps[fine], sign * course.values[fine]
    best = int(values.argmin())
    gain = values[0] - values[best]
    settled = int((values <= values[0] - MOST_GAIN * gain).argmax())
    flat = gain <= FLAT * max(abs(values[0]), 1e-12)
    broken = None if fine.all() else int(course.steps[~fine][0])
    first, least, last = (float(sign * values[i]) for i in (0, best, -1))
    first_step, best_step, last_step = (int(steps[i]) for i in (0, best, -1))
    return Judged(first, least, last, first_step, best_step, last_step, int(steps[settled]), not flat, broken)


def metrics(found: Sequence[Metric], *, unit: str, best_step: int | None = None, hint: str = "") -> Part:
    """Show every metric over the steps; the first is the one that decides what to do.

    `unit` is what a step is called, `best_step` the one whose model was kept, `hint` what to try when nothing is
    learnt.
    """
    judged = [(m, judge(m.train, m.sign) if m.train else None, judge(m.validation, m.sign) if m.validation else None)
              for m in found]  # fmt: skip
    pictures = [
        Picture(f"metric-{i}", sentence(m, train, validation, unit), draw(m, validation or train, unit, best_step))
        for i, (m, train, validation) in enumerate(judged)
    ]
    head = ("metric", "data", "first", "best", f"best {unit}", "last", "stopped improving at")
    rows = [
        _row(m, side, j) for m, *sides in judged for side, j in zip(("train", "validation"), sides, strict=True) if j
    ]
    facts = {
        m.name: {"train": train and asdict(train), "validation": validation and asdict(validation)}
        for m, train, validation in judged
    }
    decisive = judged[:1]
    advice = tuple(line for m, train, validation in decisive for line in advise(m, train, validation, unit, hint))
    return Part(Section("Loss and metrics", tables=[Table(head, rows)], pictures=pictures), advice, facts)


def sentence(metric: Metric, train: Judged | None, validation: Judged | None, unit: str) -> str:
    """Say what a metric did: on validation first, since that is what counts."""
    decisive, side = (validation, "Validation") if validation else (train, "Training")
    if decisive is None:
        return f"{metric.name} was no number at any {unit}."
    text = f"{side} {metric.name} {_course(decisive, unit)}"
    if train and validation:
        text += f"; on the training data it {_beside(train, validation)}"
    broken = [j.broken for j in (train, validation) if j and j.broken is not None]
    return text + (f". From {unit} {min(broken)} on it was no number at times." if broken else ".")


def _course(j: Judged, unit: str) -> str:
    if not j.improved:
        return f"never got better than its first value, {number(j.first)}; at the end it is {number(j.last)}"
    went = f"went from {number(j.first)} to {number(j.best)}"
    if j.worse > WORSE:
        return f"{went} at {unit} {j.best_step}, and was {share(j.worse)} worse by {unit} {j.last_step}"
    if _settled_early(j):
        gained = f"{MOST_GAIN:.0%} of that by {unit} {j.settled} of {j.last_step}"
        return f"{went}, {gained}"
    return f"{went} and was still improving at the end ({unit} {j.last_step})"


def _beside(train: Judged, validation: Judged) -> str:
    gap = abs(train.last - validation.last) / max(abs(train.last), 1e-12)
    apart = f", {share(gap)} apart from validation" if gap > WORSE else ", as on validation"
    return f"ended at {number(train.last)}{apart}"


def _settled_early(j: Judged) -> bool:
    return j.settled - j.first_step <= EARLY * (j.last_step - j.first_step)


def advise(metric: Metric, train: Judged | None, validation: Judged | None, unit: str, hint: str) -> list[str]:
    """Say what to do about a metric's course, as the judgement of its validation asks for, else of its training."""
    decisive = validation or train
    if decisive is None or decisive.broken is not None:
        return [f"{metric.name} is no number at times: lower the learning rate, and look for invalid input."]
    if not decisive.improved:
        return [f"{metric.name} did not improve at all: {hint or 'raise the learning rate, and check the labels.'}"]
    if validation and validation.worse > WORSE and train and _sane(train):
        return [
            f"Validation was best at {unit} {validation.best_step} and got worse while training went on: the model"
            f" overfits. Stop early or keep the model of {unit} {validation.best_step}; regularise more."
        ]
    if validation and _settled_early(validation):
        return [
            f"Validation stopped improving at {unit} {validation.settled} of {validation.last_step}: reduce {unit}s or"
            f" stop early."
        ]
    if validation and validation.best_step == validation.last_step:
        return [f"Validation was still improving at the last {unit}: more {unit}s may help."]
    return []


def _sane(train: Judged) -> bool:
    return train.improved and train.worse <= WORSE


def _row(metric: Metric, side: str, j: Judged) -> tuple[str, ...]:
    settled = str(j.settled) if j.improved else "never improved"
    return (metric.name, side, number(j.first), number(j.best), str(j.best_step), number(j.last), settled)


def draw(metric: Metric, decisive: Judged | None, unit: str, best_step: int | None) -> Figure:
    """Draw training and validation with the best step marked, and where it stopped improving."""
    drawing, axes = figure(5.6, 3.4)
    sides: dict[str, tuple[Course | None, str]] = {
        "train": (metric.train, TRAIN),
        "validation": (metric.validation, VALIDATION),
    }
    for side, (course, colour) in sides.items():
        if course is not None:
            plot(axes, course.steps, course.values, color=colour, label=side)
            _mark_broken(axes, course)
    if decisive is not None and decisive.improved:
        best = decisive.best_step if best_step is None else best_step
        axes.axvline(best, color=GRAY, linewidth=1, linestyle="--", label=f"best {unit}: {best}")
        axes.plot(decisive.best_step, decisive.best, "o", color=VALIDATION if metric.validation else TRAIN)
    axes.set(xlabel=unit, ylabel=metric.name)
    axes.legend(frameon=False)
    return drawing


def _mark_broken(axes: Any, course: Course) -> None:  # noqa: ANN401 - Matplotlib's Axes
    broken = course.steps[~np.isfinite(course.values)]
    if len(broken):
        axes.axvline(broken[0], color=RED, linewidth=2, label=f"no number from {broken[0]} on")
