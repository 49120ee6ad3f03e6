"""What is in extracted data, what is odd about it, and which labels its models doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.bundle import Bundle
from edge.clip import MODALITIES, UNKNOWN, Modality, Vote
from edge.features import STILL
from edge.fusion import vote

from .dataset import Dataset
from .progress import track
from .recordings import DataError, Recording
from .shards import read_record, read_shard
from .sheets import Thumbnail, thumbnail
from .split import duplicates

if TYPE_CHECKING:
    from numpy.typing import NDArray

DARK, FLAT = 12.0, 2.0
"""A picture whose mean is below the one and whose deviation is below the other, of 255, is black."""
MOVED = 2.0
"""Levels of a flow picture: less movement than this in every field, and the pictures stand still."""
SAMPLED = 16
"""At most this many looks of a recording are looked at for being black, still or silent."""
ALIKE_BITS = 4
"""Two pictures whose 64-bit difference hashes differ in no more bits are taken for the same."""
SHOWN = 40
BLOCK = 512


@dataclass(frozen=True)
class Oddity:
    """A recording, and what is odd about it, in words."""

    recording: str
    uri: str
    what: str


@dataclass(frozen=True, eq=False)
class Suspect:
    """A second whose label the models of at least two modalities agree against; `score` is their mean for `found`."""

    recording: Recording
    second: int
    found: str
    score: float
    judges: tuple[Modality, ...]
    picture: NDArray[np.uint8]


@dataclass
class Inspection:
    """Everything found; `thumbnails` are of at most 40 recordings a label, `judged` counts seconds by recording."""

    odd: list[Oddity] = field(default_factory=list)
    thumbnails: dict[str, list[Thumbnail]] = field(default_factory=dict)
    suspects: list[Suspect] = field(default_factory=list)
    judged: Counter[str] = field(default_factory=Counter)

    def shares(self) -> dict[str, float]:
        """Give the share of its judged seconds that are suspects, for each recording that has any, worst first."""
        counts = Counter(s.recording.id for s in self.suspects)
        shares = {name: count / self.judged[name] for name, count in counts.items()}
        return dict(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))


def inspect(dataset: Dataset, bundle: Bundle | None = None) -> Inspection:
    """Look at every recording's features once, one recording in memory at a time, and judge them with a bundle.

    DataError where the bundle's features are not those of the data.
    """
    models = _models(dataset, bundle) if bundle is not None else {}
    found = Inspection()
    chosen = _chosen(dataset.recordings)
    hashes: dict[str, int] = {}
    usual = {name for name in MODALITIES if _usual(dataset, name)}
    for recording in track(dataset.recordings, "inspecting", len(dataset.recordings)):
        shards = {name: shard for name in MODALITIES if (shard := read_shard(dataset.shard(recording), name))}
        found.odd += [Oddity(recording.id, recording.uri, what) for what in _odd(dataset, recording, shards, usual)]
        shown = next((shards[name][0] for name in ("rgb", "audio") if name in shards), None)
        if shown is not None and recording.id in chosen:
            tile = Thumbnail(
                thumbnail(shown), (recording.id, f"{recording.seconds} s {recording.side}"), recording.side
            )
            found.thumbnails.setdefault(recording.label, []).append(tile)
        if "rgb" in shards:
            hashes[recording.id] = difference_hash(shards["rgb"][0][len(shards["rgb"][0]) // 2])
        if bundle is not None:
            _judge(recording, shards, bundle, models, found)
    found.odd += _copies(dataset.recordings, hashes)
    shares = found.shares()
    found.suspects.sort(key=lambda s: (-shares[s.recording.id], -s.score))
    return found


def _models(dataset: Dataset, bundle: Bundle) -> dict[Modality, Any]:
    manifest = bundle.manifest
    for name in manifest.models:
        if getattr(manifest.features, name) != getattr(dataset.manifest.features, name):
            msg = f"{bundle.path}: its {name} features are made otherwise than those of {dataset.path}; extract anew"
            raise DataError(msg)
    return {name: bundle.model(name) for name in manifest.models}


def _chosen(recordings: Sequence[Recording]) -> set[str]:
    """Choose at most 40 recordings of each label, evenly."""
    labels: dict[str, list[str]] = {}
    for recording in recordings:
        labels.setdefault(recording.label, []).append(recording.id)
    return {ids[i] for ids in labels.values() for i in np.linspace(0, len(ids) - 1, min(SHOWN, len(ids))).astype(int)}


def _usual(dataset: Dataset, modality: Modality) -> bool:
    """Say whether most recordings have a modality, so that one without is odd."""
    have = sum(read_shard(dataset.shard(r), modality) is not None for r in dataset.recordings)
    return 2 * have > len(dataset.recordings)


def _odd(
    dataset: Dataset, recording: Recording, shards: Mapping[Modality, tuple[Any, Any]], usual: set[Modality]
) -> Iterator[str]:
    words = {"rgb": "picture", "audio": "sound"}
    for name, word in words.items():
        if name in usual and name not in shards:
            yield f"has no {word}"
    sampled = {name: _sample(looks) for name, (looks, _) in shards.items()}
    if "rgb" in sampled and sampled["rgb"].mean() < DARK and sampled["rgb"].std() < FLAT:
        yield "is black"
    elif "flow" in sampled and recording.seconds > 1 and np.abs(sampled["flow"][..., :2] - STILL).max() < MOVED:
        yield "stands still"
    if "audio" in sampled and np.ptp(sampled["audio"]) == 0:
        yield "is silent"
    record = read_record(dataset.shard(recording))
    if record is not None and record.faults:
        first = record.faults[0]
        yield f"{len(record.faults)} faults, the first in second {first.second}: {first.reason}"


def _sample(looks: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(looks[:: -(-len(looks) // SAMPLED)], np.float32)


def difference_hash(picture: NDArray[np.uint8]) -> int:
    """Give 64 bits, each telling whether a pixel of the 9 x 8 grey picture is darker than its right neighbour."""
    grey = cv2.cvtColor(cv2.resize(np.asarray(picture), (9, 8), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    bits = np.packbits(grey[:, :-1] < grey[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def _copies(recordings: Sequence[Recording], hashes: Mapping[str, int]) -> Iterator[Oddity]:
    """Find recordings of the same content, and ones of different sides or labels that look the same."""
    same = set()
    for first, *others in duplicates(recordings):
        for r in others:
            same |= {(first.id, r.id)}
            yield Oddity(r.id, r.uri, f"is the same recording as {first.id}")
    by_id = {r.id: r for r in recordings if r.id in hashes}
    ids = list(by_id)
    bits = np.array([hashes[name] for name in ids], np.uint64)
    for start in range(0, len(ids), BLOCK):
        apart = np.bitwise_count(bits[start : start + BLOCK, None] ^ bits[None])
        for i, j in zip(*np.nonzero(apart <= ALIKE_BITS), strict=True):
            a, b = by_id[ids[start + i]], by_id[ids[j]]
            if a.id < b.id and (a.side, a.label) != (b.side, b.label) and not {(a.id, b.id), (b.id, a.id)} & same:
                yield Oddity(b.id, b.uri, f"looks like {a.id} ({a.label}, {a.side or 'no side'})")


def _judge(
    recording: Recording,
    shards: Mapping[Modality, tuple[Any, Any]],
    bundle: Bundle,
    models: Mapping[Modality, Any],
    found: Inspection,
) -> None:
    """Note the seconds in which all modalities, at least two, agree on another label than the recording's."""
    votes: dict[int, list[Vote]] = {}
    for name, model in models.items():
        if name in shards:
            looks, seconds = shards[name]
            probabilities = model(np.asarray(looks))
            temperature = bundle.manifest.models[name].temperature
            for second in np.unique(seconds):
                one = vote(name, probabilities[seconds == second], bundle.manifest.labels, temperature)
                votes.setdefault(int(second), []).append(one)
    for second, cast in votes.items():
        found.judged[recording.id] += 1
        labels = {v.label for v in cast}
        if len(cast) > 1 and len(labels) == 1 and recording.label not in {*labels, UNKNOWN}:
            looks, seconds = shards["rgb" if "rgb" in shards else cast[0].modality]
            here = np.flatnonzero(seconds == second)
            picture = thumbnail(looks[here] if len(here) else looks)
            score = sum(v.score for v in cast) / len(cast)
            judges = tuple(v.modality for v in cast)
            found.suspects.append(Suspect(recording, second, cast[0].label, score, judges, picture))
