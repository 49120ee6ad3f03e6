"""How good a bundle is, judged on labelled recordings by the device's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle import Bundle
from edge.clip import MODALITIES, UNKNOWN, Modality
from edge.features import features
from edge.manifest import Manifest
from edge.pipeline import Pipeline
from edge.sources import SourceError
from edge.tflite import TfliteModel

from .dataset import read_clips
from .fusion import Votes
from .judgement import Judgement, judge
from .looks import Looks
from .progress import console, track
from .recordings import DataError, Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

Seen = dict[Modality, list[tuple[int, "NDArray[np.float32]"]]]
"""For each modality the seconds of a recording, each with the probabilities [n, classes] of its looks."""


def evaluate(bundle: Bundle, *test_sets: Sequence[Recording], deal: int = 2) -> Judgement:
    """Run recordings through the bundle's models and judge them; a single test set is dealt into `deal` of them.

    Recordings that cannot be read are named on stderr and left out. DataError where a label is not the bundle's.
    """
    recordings = [r for one in test_sets for r in one]
    _refuse(recordings, bundle)
    sets = {r.id: i for i, one in enumerate(test_sets) for r in one}
    if len(test_sets) == 1:
        sets = dealt(recordings, deal)
    models = {name: bundle.model(name) for name in MODALITIES if name in bundle.manifest.models}
    seen = {}
    for recording in track(recordings, "evaluating", len(recordings)):
        try:
            seen[recording.id] = watch(recording, bundle.manifest, models)
        except SourceError as error:
            console.print(f"left out: {error}", highlight=False, soft_wrap=True)
    if not any(any(found.values()) for found in seen.values()):
        msg = "none of the recordings could be read"
        raise DataError(msg)
    manifest = bundle.manifest
    return judge(
        predictions(recordings, seen, manifest.labels),
        bundle.fusion,
        manifest.labels,
        temperatures={name: spec.temperature for name, spec in manifest.models.items()},
        unknown=manifest.thresholds.unknown,
        sets=sets,
    )


def _refuse(recordings: Sequence[Recording], bundle: Bundle) -> None:
    labels = bundle.manifest.labels
    others = sorted({r.label for r in recordings} - {*labels, UNKNOWN})
    if others:
        msg = f"label {others[0]!r} is not one of the bundle's {len(labels)}, nor {UNKNOWN!r}"
        raise DataError(msg)
    ids = [r.id for r in recordings]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        msg = f"recording {twice!r} is in two test sets; give each its own"
        raise DataError(msg)


def dealt(recordings: Sequence[Recording], count: int) -> dict[str, int]:
    """Deal recordings into at most `count` test sets, each label in turn; a label never has an empty set's share."""
    groups: dict[str, list[str]] = {}
    for recording in recordings:
        groups.setdefault(recording.label, []).append(recording.id)
    count = max(1, min(count, *(len(ids) for label, ids in groups.items() if label != UNKNOWN), count))
    return {name: i % count for ids in groups.values() for i, name in enumerate(sorted(ids))}


def watch(recording: Recording, manifest: Manifest, models: Mapping[Modality, TfliteModel]) -> Seen:
    """Run one recording through a bundle's features and models."""
    seen: Seen = {name: [] for name in models}
    for clip in read_clips(recording.uri, manifest):
        for name, model in models.items():
            tensor = features(clip, manifest, name)
            if tensor is not None:
                seen[name].append((int(clip.start), model(tensor)))
    return seen


def predictions(
    recordings: Sequence[Recording], seen: Mapping[str, Seen], labels: Sequence[str]
) -> dict[Modality, Looks]:
    """Lay out what was seen as the looks of each modality that saw anything."""
    found: dict[Modality, Looks] = {}
    for name in MODALITIES:
        rows = [
            (i, -1 if r.label == UNKNOWN else labels.index(r.label), second, x)
            for i, r in enumerate(recordings)
            for second, x in seen.get(r.id, {}).get(name, [])
        ]
        if rows:
            counts = [len(x) for *_, x in rows]
            recording, y, second = (np.repeat(np.array(column), counts) for column in list(zip(*rows, strict=True))[:3])
            x = np.concatenate([x for *_, x in rows])
            found[name] = Looks(x, y, recording, second, tuple(r.id for r in recordings))
    return found


def recording_votes(recording: Recording, bundle: Bundle, pipeline: Pipeline) -> Votes:
    """Give the votes of every second of a recording."""
    truth = bundle.manifest.labels.index(recording.label)
    cast = [(clip.start, pipeline.votes(clip)) for clip in read_clips(recording.uri, bundle.manifest)]
    return {(recording.id, int(start)): (truth, list(votes)) for start, votes in cast if votes}
