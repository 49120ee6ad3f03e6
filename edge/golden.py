"""Golden values: clips with the features, scores and decision expected of them, to be recomputed anywhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from .clip import MODALITIES, Clip, Modality
from .features import features
from .fusion import Decision, Fusion, vote
from .manifest import BundleError, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCES: Mapping[str, tuple[float, float]] = {
    "rgb": (2.0, 0.5),
    "flow": (255.0, 0.5),
    "audio": (0.05, 0.01),
    "scores": (0.25, 0.01),
    "fused": (1e-6, 1e-6),
    "policy": (0.25, 0.1),
}
"""Largest and mean absolute difference that count as equal, across processors and library versions.

Units: pixel values for rgb and flow (its iterations may settle elsewhere at single pixels), dB for sound,
the policy's scores as they are,
probabilities for the rest: int8 kernels of different processors round differently.
"""

Models = Mapping[Modality, "Callable[[NDArray[Any]], NDArray[np.float32]]"]


@dataclass(frozen=True, eq=False)
class Case:
    """One clip and what a bundle makes of it: features and scores `[n, classes]` by modality, fused, label."""

    clip: Clip
    features: dict[Modality, NDArray[Any]]
    scores: dict[Modality, NDArray[np.float32]]
    fused: NDArray[np.float64]
    label: str


@dataclass(frozen=True, eq=False)
class Golden:
    """The cases of a bundle with their tolerances (largest and mean absolute difference).

    A policy adds `observations` `[n, ...]` and its `policy_scores` `[n, actions]`.
    """

    cases: tuple[Case, ...]
    tolerances: Mapping[str, tuple[float, float]]
    observations: NDArray[Any] | None = None
    policy_scores: NDArray[np.float32] | None = None

    def to_npz(self) -> bytes:
        """Write as a compressed .npz without pickles."""
        arrays: dict[str, Any] = {f"tolerance.{name}": pair for name, pair in self.tolerances.items()}
        for i, case in enumerate(self.cases):
            clip = {"start": case.clip.start, "times": case.clip.times}
            media = {"frames": case.clip.frames, "audio": case.clip.audio}
            clip |= {name: array for name, array in media.items() if array is not None}
            arrays |= {f"{i}.clip.{name}": array for name, array in clip.items()}
            arrays |= {f"{i}.features.{name}": array for name, array in case.features.items()}
            arrays |= {f"{i}.scores.{name}": array for name, array in case.scores.items()}
            arrays |= {f"{i}.fused": case.fused, f"{i}.label": case.label}
        if self.observations is not None and self.policy_scores is not None:
            arrays |= {"policy.observations": self.observations, "policy.scores": self.policy_scores}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_npz(cls, data: bytes, where: str) -> Golden:
        """Read what `to_npz` wrote; BundleError names `where`."""
        try:
            arrays = dict(np.load(io.BytesIO(data), allow_pickle=False))
            tolerances = {
                name.removeprefix("tolerance."): (float(pair[0]), float(pair[1]))
                for name, pair in arrays.items()
                if name.startswith("tolerance.")
            }
            count = sum(name.endswith(".label") for name in arrays)
            cases = tuple(_case(arrays, i) for i in range(count))
            return cls(cases, tolerances, arrays.get("policy.observations"), arrays.get("policy.scores"))
        except (ValueError, KeyError, BadZipFile, EOFError) as error:
            msg = f"{where}: not readable as golden values ({error})"
            raise BundleError(msg) from None


def _case(arrays: dict[str, Any], i: int) -> Case:
    def by_modality(kind: str) -> dict[Modality, Any]:
        return {name: arrays[f"{i}.{kind}.{name}"] for name in MODALITIES if f"{i}.{kind}.{name}" in arrays}

    clip = Clip(
        float(arrays[f"{i}.clip.start"]),
        arrays.get(f"{i}.clip.frames"),
        tuple(map(float, arrays[f"{i}.clip.times"])),
        arrays.get(f"{i}.clip.audio"),
    )
    label = str(arrays[f"{i}.label"])
    return Case(clip, by_modality("features"), by_modality("scores"), arrays[f"{i}.fused"], label)


def make_golden(clips: Sequence[Clip], manifest: Manifest, models: Models, fusion: Fusion) -> Golden:
    """Compute the golden values of some clips with a bundle's parts."""
    cases = []
    for clip in clips:
        tensors = {name: features(clip, manifest, name) for name in models}
        present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        scores = {name: models[name](tensor) for name, tensor in present.items()}
        decision = decide(scores, manifest, fusion)
        cases.append(Case(clip, present, scores, np.array(decision.probabilities), decision.label))
    return Golden(tuple(cases), TOLERANCES)


def fused_anew(golden: Golden, manifest: Manifest, fusion: Fusion) -> Golden:
    """Decide the same clips by another fusion or other temperatures; features and scores stay."""
    decisions = [decide(case.scores, manifest, fusion) for case in golden.cases]
    cases = [
        replace(case, fused=np.array(decision.probabilities), label=decision.label)
        for case, decision in zip(golden.cases, decisions, strict=True)
    ]
    return replace(golden, cases=tuple(cases))


def decide(scores: Mapping[Modality, NDArray[np.float32]], manifest: Manifest, fusion: Fusion) -> Decision:
    """Fuse the scores of one clip, each modality's calibrated by the temperature that the manifest names."""
    models = manifest.models
    return fusion([vote(name, looks, manifest.labels, models[name].temperature) for name, looks in scores.items()])
