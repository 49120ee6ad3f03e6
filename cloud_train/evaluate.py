"""How good a bundle is, judged on labelled recordings through the device's own pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle import Bundle
from edge.clip import MODALITIES, Vote
from edge.fusion import Fusion
from edge.pipeline import Pipeline
from edge.sources import SourceError

from .dataset import read_clips
from .fusion import Votes, f1_scores
from .progress import console, track
from .recordings import DataError, Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray


Answers = dict[tuple[str, int], tuple[int, str]]
"""For every (recording id, second): the true label's index and the label given."""


@dataclass(frozen=True)
class Score:
    """How often one judge is right: share of seconds, macro F1 over seconds, macro F1 over whole recordings."""

    seconds: int
    accuracy: float
    f1: float
    recording_f1: float


def evaluate(bundle: Bundle, recordings: Sequence[Recording]) -> dict[str, Score]:
    """Run recordings through the bundle; return a Score for each modality and for `fused`.

    Recordings that cannot be read are named on stderr and left out. A recording's label is the one that most of its
    seconds were given. The `unknown` threshold is not applied: the question is which label is right.
    """
    unknown = sorted({r.label for r in recordings} - set(bundle.manifest.labels))
    if unknown:
        msg = f"label {unknown[0]!r} is not one of the bundle's {len(bundle.manifest.labels)}"
        raise DataError(msg)
    pipeline = Pipeline(bundle)
    votes: Votes = {}
    for recording in track(recordings, "evaluating", len(recordings)):
        try:
            votes |= recording_votes(recording, bundle, pipeline)
        except SourceError as error:
            console.print(f"left out: {error}", highlight=False)
    if not votes:
        msg = "none of the recordings could be read"
        raise DataError(msg)
    return scores(votes, bundle.fusion, bundle.manifest.labels)


def recording_votes(recording: Recording, bundle: Bundle, pipeline: Pipeline) -> Votes:
    """Give the votes of every second of a recording."""
    truth = bundle.manifest.labels.index(recording.label)
    cast = [(clip.start, pipeline.votes(clip)) for clip in read_clips(recording.uri, bundle.manifest)]
    return {(recording.id, int(start)): (truth, list(votes)) for start, votes in cast if votes}


def scores(votes: Votes, fusion: Fusion, labels: Sequence[str]) -> dict[str, Score]:
    """Score every modality alone and the fusion of all over the same seconds."""
    names = {vote.modality for _, cast in votes.values() for vote in cast}
    judged: dict[str, Answers] = {name: _alone(votes, name) for name in MODALITIES if name in names}
    judged["fused"] = {key: (truth, fusion(cast).label) for key, (truth, cast) in votes.items()}
    return {name: _score(answers, labels) for name, answers in judged.items()}


def _alone(votes: Votes, name: str) -> Answers:
    def label(cast: Sequence[Vote]) -> str | None:
        return next((vote.label for vote in cast if vote.modality == name), None)

    answers = {key: (truth, label(cast)) for key, (truth, cast) in votes.items()}
    return {key: (truth, found) for key, (truth, found) in answers.items() if found is not None}


def _score(answers: Answers, labels: Sequence[str]) -> Score:
    truth = np.array([t for t, _ in answers.values()])
    found = np.array([labels.index(label) for _, label in answers.values()])
    by_recording: dict[str, tuple[int, list[str]]] = {}
    for (recording, _), (t, label) in answers.items():
        by_recording.setdefault(recording, (t, []))[1].append(label)
    whole_truth = np.array([t for t, _ in by_recording.values()])
    whole = np.array([labels.index(Counter(given).most_common(1)[0][0]) for _, given in by_recording.values()])
    return Score(
        len(truth),
        float((truth == found).mean()),
        _macro_f1(truth, found, len(labels)),
        _macro_f1(whole_truth, whole, len(labels)),
    )


def _macro_f1(truth: NDArray[np.int64], found: NDArray[np.int64], classes: int) -> float:
    present = np.unique(truth)
    return float(f1_scores(truth, found, classes)[present].mean())


def table(results: dict[str, Score]) -> str:
    """Lay scores out as a Markdown table."""
    lines = ["| judge | seconds | accuracy | F1 per second | F1 per recording |", "|---|---|---|---|---|"]
    for name, score in results.items():
        lines.append(f"| {name} | {score.seconds} | {score.accuracy:.3f} | {score.f1:.3f} | {score.recording_f1:.3f} |")
    return "\n".join(lines)


def to_json(results: dict[str, Score]) -> dict[str, dict[str, float]]:
    """Give scores as plain data."""
    return {name: asdict(score) for name, score in results.items()}
