"""What extracted features tell of each recording, and what of that is odd; a few looks in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.clip import MODALITIES, Modality
from edge.manifest import AudioFeatures

from .dataset import Dataset
from .progress import track
from .recordings import Recording
from .shards import MISSING, Fault, read_record, read_shard
from .split import SIDES
from .twins import picture_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Found = dict[Modality, tuple[NDArray[Any], NDArray[np.int64]]]

NOT_SPLIT = "not split"
LOOKS_AT_ONCE = 16
BLANK_DEVIATION = 3.0
"""A picture whose values 0..255 deviate by less shows nothing: black, or one colour with the coding's noise."""
STILL_MAGNITUDE = 0.5
"""A flow picture whose magnitude 0..255 is less on average is still: half its smallest step."""
SILENT_DB = -60.0
"""Sound whose loudest mel band stays below is silent: a sine of one step of 16 bits lies at about -60 dB there."""
FEW_RECORDINGS = 10
"""Of fewer recordings, 80/10/10 cannot give each side its share."""


@dataclass(frozen=True)
class Facts:
    """What the features of one recording tell.

    `looks` counts them by modality. Of its seconds, `missing` are shown by nothing, and `gaps` by nothing of a modality
    that the others show; `blank`, `frozen` and `silent` count those with nothing to see, no motion, nothing to hear.
    `covered` is the share of a second that a recording of one second fills. `faults` are those of single seconds that
    are there. `hash` is its middle picture's.
    """

    recording: Recording
    looks: dict[Modality, int]
    missing: int
    gaps: dict[Modality, int]
    blank: int
    frozen: int
    silent: int
    covered: float
    faults: tuple[Fault, ...]
    hash: bytes | None


@dataclass(frozen=True)
class Oddity:
    """One thing that is odd about one recording."""

    kind: str
    recording: str
    label: str
    side: str
    detail: str


@dataclass(frozen=True)
class ClassCount:
    """How many recordings and seconds of a class lie on each side."""

    label: str
    recordings: dict[str, int]
    seconds: dict[str, int]


def side_of(recording: Recording) -> str:
    """Name a recording's side in words, also where it has none yet."""
    return recording.side or NOT_SPLIT


def examine(dataset: Dataset) -> list[Facts]:
    """Look through every recording's features."""
    recordings = dataset.recordings
    return [_facts(dataset, r) for r in track(recordings, "looking through features", len(recordings))]


def _facts(dataset: Dataset, recording: Recording) -> Facts:
    shard, audio = dataset.shard(recording), dataset.manifest.features.audio
    found = {name: read for name in wanted(dataset) if (read := read_shard(shard, name)) is not None}
    shown = {int(s) for _, seconds in found.values() for s in seconds}
    counted = {name: len(np.unique(seconds)) for name, (_, seconds) in found.items() if name != "flow"}
    blank = _passing(found, "rgb", lambda x: x.std(axis=(1, 2, 3)) < BLANK_DEVIATION)
    frozen = _passing(found, "flow", lambda x: x[..., 2].mean(axis=(1, 2)) < STILL_MAGNITUDE)
    return Facts(
        recording=recording,
        looks={name: len(looks) for name, (looks, _) in found.items()},
        missing=max(shown, default=-1) + 1 - len(shown),
        gaps={name: len(shown) - n for name, n in counted.items() if n < len(shown)},
        blank=len(blank),
        frozen=len(frozen - blank),
        silent=len(_passing(found, "audio", lambda x: _level(x, audio) < SILENT_DB)),
        covered=_covered(found, dataset) if recording.seconds == 1 else 1.0,
        faults=_faults(shard),
        hash=_middle_hash(found["rgb"][0]) if "rgb" in found else None,
    )


def wanted(dataset: Dataset) -> tuple[Modality, ...]:
    """List the modalities that a data set's features are made for."""
    features = dataset.manifest.features
    return tuple(name for name in MODALITIES if getattr(features, name) is not None)


def in_parts(looks: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Read mapped looks a few at a time."""
    for i in range(0, len(looks), LOOKS_AT_ONCE):
        yield np.asarray(looks[i : i + LOOKS_AT_ONCE])


def _passing(found: _Found, name: Modality, test: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> set[int]:
    """Give the seconds all of whose looks pass a test."""
    if name not in found:
        return set()
    looks, seconds = found[name]
    passed = np.concatenate([test(part) for part in in_parts(looks)])
    return set(seconds.tolist()) - set(seconds[~passed].tolist())


def _level(sounds: NDArray[np.float32], spec: AudioFeatures | None) -> NDArray[np.float32]:
    """Give the level of looks `[n, bands or coefficients, frames, 1]` in dB: the loudest band's, or the bands' mean.

    The first cepstral coefficient is the mean over the bands, times the root of their number.
    """
    if spec is None or spec.kind == "log_mel":
        loudest: NDArray[np.float32] = sounds.max(axis=(1, 2, 3))
        return loudest
    mean: NDArray[np.float32] = sounds[:, 0].max(axis=(1, 2)) / np.float32(np.sqrt(spec.bands))
    return mean


def _covered(found: _Found, dataset: Dataset) -> float:
    """Give the share of its only second that a recording fills: by its sound if it has one, else by its pictures.

    Behind the end of the sound lie zeros, which have the lowest value in every band of a log-mel spectrogram.
    """
    spec = dataset.manifest.features.audio
    if "audio" in found and spec is not None and spec.kind == "log_mel":
        sound = np.asarray(found["audio"][0][0, :, :, 0])  # [bands, frames]
        heard = np.flatnonzero(sound.max(axis=0) > sound.min() + 0.01)
        return float((heard[-1] + 1) / sound.shape[1]) if len(heard) else 1.0
    return len(found["rgb"][0]) / dataset.manifest.clip.frames_per_second if "rgb" in found else 1.0


def _faults(shard: Path) -> tuple[Fault, ...]:
    record = read_record(shard)
    return () if record is None else tuple(fault for fault in record.faults if fault.reason != MISSING)


def _middle_hash(pictures: NDArray[np.uint8]) -> bytes | None:
    middle = np.asarray(pictures[len(pictures) // 2])
    return None if middle.std() < BLANK_DEVIATION else picture_hash(middle)


def oddities(facts: Sequence[Facts]) -> list[Oddity]:
    """List what is odd, kind after kind; that none of the recordings has a sound, or a picture, is not odd."""
    sees = any("rgb" in each.looks or "flow" in each.looks for each in facts)
    hears = any("audio" in each.looks for each in facts)
    found = []
    for each in facts:
        r, seconds = each.recording, each.recording.seconds
        pictures = each.looks.get("rgb", each.looks.get("flow", 0))
        tests = (
            ("no picture", sees and not pictures, "sound only"),
            ("no sound", hears and "audio" not in each.looks, "one picture" if pictures == 1 else "pictures only"),
            ("shorter than a second", each.covered < 0.9 and pictures != 1, f"fills {each.covered:.0%} of a second"),
            ("seconds are missing", each.missing > 0, f"{each.missing} of {seconds + each.missing} seconds"),
            *(
                (
                    f"{'picture' if name == 'rgb' else 'sound'} is missing in places",
                    True,
                    f"in {n} of {seconds} seconds",
                )
                for name, n in each.gaps.items()
            ),
            ("faults", bool(each.faults), _first(each.faults)),
            ("black or blank picture", each.blank > 0, f"in {each.blank} of {seconds} seconds"),
            ("frozen picture", each.frozen > 0, f"in {each.frozen} of {seconds} seconds"),
            ("silent sound", each.silent > 0, f"in {each.silent} of {seconds} seconds"),
        )
        found += [Oddity(kind, r.id, r.label, side_of(r), detail) for kind, odd, detail in tests if odd]
    return sorted(found, key=lambda oddity: oddity.kind)


def _first(faults: Sequence[Fault]) -> str:
    return f"{len(faults)}, the first in second {faults[0].second}: {faults[0].reason}" if faults else ""


def count_classes(recordings: Sequence[Recording]) -> list[ClassCount]:
    """Count recordings and seconds per class and side, the largest class first."""
    given = {side_of(r) for r in recordings}
    sides = [side for side in (*SIDES, NOT_SPLIT) if side in given]
    counts: dict[str, ClassCount] = {}
    for r in recordings:
        own = counts.setdefault(r.label, ClassCount(r.label, dict.fromkeys(sides, 0), dict.fromkeys(sides, 0)))
        own.recordings[side_of(r)] += 1
        own.seconds[side_of(r)] += r.seconds
    return sorted(counts.values(), key=lambda c: (-sum(c.recordings.values()), c.label))
