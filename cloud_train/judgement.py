"""How often each judge is right: every modality alone and all of them fused, by looks, seconds and recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.clip import MODALITIES, Modality
from edge.fusion import Fusion

from .calibration import calibrated
from .fusion import f1_scores, join_unknown, join_votes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .looks import Looks

BINS = 15
"""Of equal width in confidence, as is usual for the expected calibration error (Guo et al. 2017)."""
MISTAKES = 20
CONFUSED = 5
FUSED = "fused"


@dataclass(frozen=True)
class Answer:
    """What a judge said of one second; `truth` is -1 where it shows none of the labels."""

    recording: str
    second: int
    truth: int
    label: int
    score: float


@dataclass(frozen=True)
class Bin:
    """Seconds whose score lies between `low` and `low + 1 / BINS`: how sure the judge was, and how often right."""

    low: float
    seconds: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ClassScore:
    """One label's F1 over seconds and over recordings: mean and standard deviation over the test sets."""

    label: str
    f1: float
    f1_deviation: float
    recording_f1: float
    recording_f1_deviation: float


@dataclass(frozen=True)
class Judge:
    """How good one judge is. F1 is the mean over the labels that occur; a look is a frame, a flow field or a sound.

    A recording's label is the one that most of its seconds were given. `confusion` counts recordings, a row for each
    true label. `calibration_error` is the mean distance of score and accuracy over the bins of `reliability`, weighed
    by their seconds. There are no fused looks: None.
    """

    looks: int | None
    look_accuracy: float | None
    look_f1: float | None
    seconds: int
    accuracy: float
    f1: float
    recordings: int
    recording_accuracy: float
    recording_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]
    calibration_error: float


@dataclass(frozen=True)
class Gain:
    """By how many percent the fused recording F1 is above one modality's F1 over seconds, and over recordings."""

    over_seconds: float
    over_recordings: float


@dataclass(frozen=True)
class Unknown:
    """What the threshold does: the share of unknown seconds it refuses, and of right decisions that it keeps."""

    threshold: float
    seconds: int
    refused: float | None
    right_kept: float


@dataclass(frozen=True)
class Judgement:
    """Everything measured on labelled recordings; `judges` are the modalities that voted, and `fused`."""

    labels: tuple[str, ...]
    test_sets: int
    judges: dict[str, Judge]
    gains: dict[str, Gain]
    unknown: Unknown
    mistakes: tuple[Answer, ...]
    confused: tuple[tuple[str, str, int], ...]


def judge(
    predictions: Mapping[Modality, Looks],
    fusion: Fusion,
    labels: Sequence[str],
    *,
    temperatures: Mapping[Modality, float],
    unknown: float,
    sets: Mapping[str, int],
) -> Judgement:
    """Judge the models' probabilities for looks; `sets` gives the test set of each recording id, from 0.

    The `unknown` threshold is applied to nothing but its own figures: else the question is which label is right.
    """
    known = calibrated(join_votes(predictions, labels), temperatures, labels)
    strange = calibrated(join_unknown(predictions, labels), temperatures, labels)
    answers: dict[str, list[Answer]] = {}
    for (recording, second), (truth, cast) in known.items():
        decision = fusion(cast)
        given = [(str(v.modality), v.label, v.score) for v in cast]
        for name, label, score in (*given, (FUSED, decision.label, decision.score)):
            answers.setdefault(name, []).append(Answer(recording, second, truth, labels.index(label), score))
    names = [name for name in (*MODALITIES, FUSED) if name in answers]
    judges = {name: _judge(answers[name], predictions.get(name), labels, sets) for name in names}  # type: ignore[call-overload] # `fused` is no modality, and has no looks
    fused = judges[FUSED].recording_f1
    wrong = sorted((a for a in answers[FUSED] if a.truth != a.label), key=lambda a: -a.score)
    right = [a.score >= unknown for a in answers[FUSED] if a.truth == a.label]
    refused = [fusion(cast).score < unknown for _, cast in strange.values()]
    pairs = Counter((labels[a.truth], labels[a.label]) for a in wrong)
    return Judgement(
        tuple(labels),
        len(set(sets.values())),
        judges,
        {n: Gain(_percent(fused, j.f1), _percent(fused, j.recording_f1)) for n, j in judges.items() if n != FUSED},
        Unknown(
            unknown, len(strange), float(np.mean(refused)) if refused else None, float(np.mean(right)) if right else 0.0
        ),
        tuple(wrong[:MISTAKES]),
        tuple((truth, label, count) for (truth, label), count in pairs.most_common(CONFUSED)),
    )


def _judge(answers: Sequence[Answer], looks: Looks | None, labels: Sequence[str], sets: Mapping[str, int]) -> Judge:
    n = len(labels)
    truth, found = np.array([a.truth for a in answers]), np.array([a.label for a in answers])
    scores = np.array([a.score for a in answers])
    whole = _recordings(answers)
    whole_truth, whole_found = (np.array(column) for column in zip(*whole.values(), strict=True))
    confusion = np.zeros((n, n), int)
    np.add.at(confusion, (whole_truth, whole_found), 1)
    bins = _bins(scores, np.equal(truth, found))
    look_truth, look_found = _look_answers(looks)
    return Judge(
        looks=None if looks is None else len(look_truth),
        look_accuracy=None if looks is None else float(np.equal(look_truth, look_found).mean()),
        look_f1=None if looks is None else macro_f1(look_truth, look_found, n),
        seconds=len(answers),
        accuracy=float(np.equal(truth, found).mean()),
        f1=macro_f1(truth, found, n),
        recordings=len(whole),
        recording_accuracy=float(np.equal(whole_truth, whole_found).mean()),
        recording_f1=macro_f1(whole_truth, whole_found, n),
        classes=_classes(answers, whole, labels, sets),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        reliability=bins,
        calibration_error=sum(b.seconds * abs(b.confidence - b.accuracy) for b in bins) / len(answers),
    )


def _look_answers(looks: Looks | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if looks is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    known = looks.y >= 0
    return looks.y[known], looks.x[known].argmax(axis=1)


def _recordings(answers: Sequence[Answer]) -> dict[str, tuple[int, int]]:
    """Give each recording's true label and the one that most of its seconds were given."""
    given: dict[str, list[Answer]] = {}
    for answer in answers:
        given.setdefault(answer.recording, []).append(answer)
    return {name: (own[0].truth, Counter(a.label for a in own).most_common(1)[0][0]) for name, own in given.items()}


def _classes(
    answers: Sequence[Answer], whole: Mapping[str, tuple[int, int]], labels: Sequence[str], sets: Mapping[str, int]
) -> tuple[ClassScore, ...]:
    by_second, by_recording = [], []
    for number in sorted(set(sets.values())):
        own = [(a.truth, a.label) for a in answers if sets[a.recording] == number]
        all_of_it = [pair for name, pair in whole.items() if sets[name] == number]
        by_second.append(_class_f1(own, len(labels)))
        by_recording.append(_class_f1(all_of_it, len(labels)))
    both = np.array([by_second, by_recording])  # [level, set, class]
    found = []
    for i, label in enumerate(labels):
        here = ~np.isnan(both[0, :, i])
        if here.any():
            spread = [(values.mean(), values.std()) for values in both[:, here, i]]
            found.append(ClassScore(label, *(float(value) for pair in spread for value in pair)))
    return tuple(found)


def _class_f1(pairs: Sequence[tuple[int, int]], classes: int) -> NDArray[np.float64]:
    """Give each class's F1, NaN for one that does not occur."""
    truth, found = np.array(pairs, np.int64).reshape(-1, 2).T
    return np.where(np.bincount(truth, minlength=classes) > 0, f1_scores(truth, found, classes), np.nan)


def macro_f1(truth: NDArray[np.int64], found: NDArray[np.int64], classes: int) -> float:
    """Give the mean F1 of the classes that occur."""
    return float(f1_scores(truth, found, classes)[np.unique(truth)].mean())


def _bins(scores: NDArray[np.float64], right: NDArray[Any]) -> tuple[Bin, ...]:
    number: NDArray[np.int64] = np.minimum((scores * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(i / BINS, int(here.sum()), float(scores[here].mean()), float(right[here].mean()))
        for i in range(BINS)
        if (here := number == i).any()
    )


def _percent(better: float, base: float) -> float:
    return 100 * (better / base - 1) if base else float("inf")


def table(judgement: Judgement) -> str:
    """Lay the scores out as a Markdown table."""
    lines = ["| judge | seconds | accuracy | F1 per second | F1 per recording |", "|---|---|---|---|---|"]
    for name, j in judgement.judges.items():
        lines.append(f"| {name} | {j.seconds} | {j.accuracy:.3f} | {j.f1:.3f} | {j.recording_f1:.3f} |")
    return "\n".join(lines)
