"""Seconds that no model gives their label: where to look for wrong labels first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.bundle import Bundle
from edge.clip import UNKNOWN, Modality, Vote
from edge.fusion import vote

from .dataset import Dataset
from .facts import in_parts, side_of
from .progress import track
from .recordings import DataError, Recording
from .shards import read_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.tflite import TfliteModel

SUSPECT_COLUMNS = ("uri", "label", "recording", "second", "found", "score", "side")
LEAST = 1 / 512
"""Added to a probability that is divided by: half a step of int8, below which there is nothing but 0."""


@dataclass(frozen=True)
class Suspect:
    """One second that none of its `voting` models gives its label; their fusion, and `agreeing` of them, say `found`.

    `score` is the mean probability of that label over all voting models, and `given` that of its own label. Below the
    bundle's threshold `found` is `unknown`: perhaps it shows none of the labels. `votes` has each model's own label
    and its score.
    """

    uri: str
    label: str
    recording: str
    second: int
    found: str
    score: float
    given: float
    side: str
    agreeing: int
    voting: int
    votes: dict[Modality, tuple[str, float]]

    @property
    def odds(self) -> float:
        """How many times more probable the label found is than the one given; the worst label has the highest.

        On photographs of which 5 % were mislabelled it ranked 14 of these among the first 20, `score` alone 6.
        """
        return self.score / (self.given + LEAST)


@dataclass(frozen=True)
class SuspectRecording:
    """A recording with suspect seconds: how many of those judged, what they are mostly called.

    `score` and `odds` are the means over its suspect seconds, of odds the geometric one.
    """

    recording: str
    uri: str
    label: str
    side: str
    seconds: int
    suspects: int
    found: str
    score: float
    odds: float

    @property
    def share(self) -> float:
        """The share of its seconds that are suspect."""
        return self.suspects / self.seconds


@dataclass(frozen=True)
class Judged:
    """How many seconds of a label were judged on a side."""

    label: str
    side: str
    seconds: int


@dataclass(frozen=True)
class Suspicion:
    """All that a bundle's models hold against the labels.

    The worst come first: `suspects` by odds, `recordings` by share, then by odds. `unjudged` recordings bear a label
    that the bundle does not know. `learnt_here` says whether the bundle names this very data set as what it learnt.
    """

    bundle: str
    learnt_here: bool
    unjudged: int
    judged: tuple[Judged, ...]
    suspects: tuple[Suspect, ...]
    recordings: tuple[SuspectRecording, ...]


def suspicion(dataset: Dataset, bundle: Bundle) -> Suspicion:
    """Judge every second of the shards by the bundle's models; DataError where features or labels do not fit."""
    _refuse_others(dataset, bundle)
    models = {name: bundle.model(name) for name in bundle.manifest.models}
    labels = bundle.manifest.labels
    known = [r for r in dataset.recordings if r.label in labels]
    seconds: Counter[tuple[str, str]] = Counter()
    suspects: list[Suspect] = []
    recordings: list[SuspectRecording] = []
    for r in track(known, "judging seconds", len(known)):
        judged = _votes(dataset, r, bundle, models)
        found = [s for second, cast in sorted(judged.items()) if (s := suspect(r, second, cast, bundle)) is not None]
        seconds[r.label, side_of(r)] += len(judged)
        suspects += found
        if found:
            recordings.append(_recording(r, len(judged), found))
    return Suspicion(
        bundle=f"{bundle.manifest.name} {bundle.manifest.version}",
        learnt_here=bundle.manifest.provenance.get("data_sha256") == dataset.sha256(),
        unjudged=len(dataset.recordings) - len(known),
        judged=tuple(Judged(*key, n) for key, n in sorted(seconds.items())),
        suspects=tuple(sorted(suspects, key=lambda s: -s.odds)),
        recordings=tuple(sorted(recordings, key=lambda r: (-r.share, -r.odds))),
    )


def _refuse_others(dataset: Dataset, bundle: Bundle) -> None:
    ours, theirs = dataset.manifest, bundle.manifest
    pairs = [("clip", ours.clip, theirs.clip)]
    pairs += [(f"features.{m}", getattr(ours.features, m), getattr(theirs.features, m)) for m in theirs.models]
    for name, own, other in pairs:
        mine, wanted = (msgspec.to_builtins(each) or {} for each in (own, other))
        for key, value in wanted.items():
            if mine.get(key) != value:
                has = mine.get(key, "missing")
                msg = f"{dataset.path}: {name}.{key} is {has}, the bundle's {value}; extract features as it wants them"
                raise DataError(msg)
    if not {r.label for r in dataset.recordings} & set(theirs.labels):
        msg = f"{dataset.path}: none of its labels is one of the bundle's: {', '.join(theirs.labels)}"
        raise DataError(msg)


def _votes(
    dataset: Dataset, recording: Recording, bundle: Bundle, models: dict[Modality, TfliteModel]
) -> dict[int, list[Vote]]:
    """Let each model vote on each second of a recording."""
    votes: dict[int, list[Vote]] = {}
    for name, model in models.items():
        if (found := read_shard(dataset.shard(recording), name)) is None:
            continue
        probabilities = np.concatenate([model(part) for part in in_parts(found[0])])
        temperature = bundle.manifest.models[name].temperature
        for second, rows in _by_second(found[1]):
            cast = vote(name, probabilities[rows], bundle.manifest.labels, temperature)
            votes.setdefault(second, []).append(cast)
    return votes


def _by_second(seconds: NDArray[np.int64]) -> list[tuple[int, list[int]]]:
    return [(second, list(rows)) for second, rows in groupby(range(len(seconds)), lambda i: int(seconds[i]))]


def suspect(recording: Recording, second: int, cast: Sequence[Vote], bundle: Bundle) -> Suspect | None:
    """Say what speaks against a second's label; None if one model speaks for it.

    Asking for two models that agree as well was seen to miss three of ten wrong labels, without a false alarm less:
    where the models are good at different classes, those that are not disagree by chance.
    """
    if any(v.label == recording.label for v in cast):
        return None
    decision = bundle.fusion(cast)
    place, own = (bundle.manifest.labels.index(label) for label in (decision.label, recording.label))
    return Suspect(
        uri=recording.uri,
        label=recording.label,
        recording=recording.id,
        second=second,
        found=decision.label if decision.score >= bundle.manifest.thresholds.unknown else UNKNOWN,
        score=float(np.mean([v.probabilities[place] for v in cast])),
        given=float(np.mean([v.probabilities[own] for v in cast])),
        side=side_of(recording),
        agreeing=sum(v.label == decision.label for v in cast),
        voting=len(cast),
        votes={v.modality: (v.label, v.score) for v in cast},
    )


def _recording(recording: Recording, seconds: int, found: Sequence[Suspect]) -> SuspectRecording:
    return SuspectRecording(
        recording=recording.id,
        uri=recording.uri,
        label=recording.label,
        side=side_of(recording),
        seconds=seconds,
        suspects=len(found),
        found=Counter(s.found for s in found).most_common(1)[0][0],
        score=float(np.mean([s.score for s in found])),
        odds=float(np.exp(np.mean(np.log([s.odds for s in found])))),
    )


def instead(found: Suspicion) -> dict[str, Counter[str]]:
    """Count for each label given what the models say instead, in seconds."""
    said: dict[str, Counter[str]] = {}
    for each in found.suspects:
        said.setdefault(each.label, Counter())[each.found] += 1
    return said


def to_rows(found: Suspicion) -> list[dict[str, Any]]:
    """Give the rows of suspects.csv: the worst recording first, its seconds in order."""
    place = {r.recording: i for i, r in enumerate(found.recordings)}
    ordered = sorted(found.suspects, key=lambda s: (place[s.recording], s.second))
    return [{name: getattr(s, name) for name in SUSPECT_COLUMNS} | {"score": f"{s.score:.4f}"} for s in ordered]
