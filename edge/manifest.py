"""The manifest: what a bundle's models are. It never says where they run (see `config`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from .clip import Modality
from .guard import Limits
from .strict import StrictError, strict

FORMAT = 1
"""The bundle format that this code writes and the newest that it reads."""

RuleName = Literal["class_model_table", "majority", "boosted_trees"]
"""How votes may be fused."""


class BundleError(Exception):
    """A bundle that cannot be used; the message names the file or field and what would be right."""


@dataclass(frozen=True)
class ClipSpec:
    """How a second of media is cut: sampled pictures of `width` x `height`, sound at `sample_rate_hz`.

    Of each of the `frames_per_second` equal parts of a second the first picture is taken; 0 means sound only.
    """

    frames_per_second: int = 5
    width: int = 224
    height: int = 224
    sample_rate_hz: int = 16000


@dataclass(frozen=True)
class RgbFeatures:
    """Every sampled picture, scaled to the model's input."""

    width: int
    height: int


@dataclass(frozen=True)
class FlowFeatures:
    """Dense Farnebäck flow between consecutive sampled pictures, at `width` x `height`.

    `fields` of the consecutive pairs, evenly spread over the second, are looked at. A displacement of
    `bound_pixels` per nominal gap (1 / frames per second) is full scale. The other fields are OpenCV's parameters,
    its documentation's example values by default.
    """

    width: int
    height: int
    fields: int = 4
    bound_pixels: float = 12.0
    pyramid_scale: float = 0.5
    levels: int = 3
    window_pixels: int = 15
    iterations: int = 3
    poly_n: int = 5
    poly_sigma: float = 1.2


@dataclass(frozen=True)
class AudioFeatures:
    """Log-mel spectrogram (`bands` x frames, dB) or, of kind `mfcc`, its first `coefficients` cepstral ones."""

    kind: Literal["log_mel", "mfcc"] = "log_mel"
    bands: int = 128
    coefficients: int = 33
    fft_samples: int = 1024
    hop_samples: int = 256
    top_db: float = 80.0


@dataclass(frozen=True)
class Features:
    """Feature parameters per modality; None where the bundle does not judge it."""

    rgb: RgbFeatures | None = None
    flow: FlowFeatures | None = None
    audio: AudioFeatures | None = None


@dataclass(frozen=True)
class TensorSpec:
    """Shape, dtype and affine quantization of a model's tensor: real = scale * (stored - zero_point)."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class ModelSpec:
    """One model: its file in the bundle, what it was made from, the tensors to expect of it, and its temperature.

    The probabilities of its votes are raised to 1 / `temperature` and normalised; 1 leaves them as they are.
    """

    file: str
    backbone: str
    alpha: float
    input: TensorSpec
    output: TensorSpec
    temperature: float = 1.0


@dataclass(frozen=True)
class Thresholds:
    """Scores that decide; `unknown`: below it a second has no label."""

    unknown: float = 0.0


@dataclass(frozen=True)
class PictureObservation:
    """A camera picture of `width` x `height` in grey: R, G and B of 0 to 255 times `grey_weights`, times `scale`.

    The defaults are those of the AWS RoboMaker object tracker.
    """

    width: int = 160
    height: int = 120
    grey_weights: tuple[float, float, float] = (0.2989, 0.5870, 0.1140)
    scale: float = 1.0


@dataclass(frozen=True)
class VectorField:
    """One number of a vector observation: (value - `offset`) / `scale`; outside `least` to `most` it is refused."""

    name: str
    offset: float = 0.0
    scale: float = 1.0
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class PolicySpec:
    """A policy: its file and tensors, what it observes (`picture` or `vector`), its actions, the guard's limits.

    `actions` are pairs of linear (m/s) and angular (rad/s) velocity, one for each score of the model; without them the
    model answers in these two velocities itself. It is asked once every `limits.period_seconds`.
    """

    file: str
    input: TensorSpec
    output: TensorSpec
    actions: tuple[tuple[float, float], ...] = ()
    picture: PictureObservation | None = None
    vector: tuple[VectorField, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        picture, wanted = self.picture, None
        if (picture is None) != bool(self.vector):
            msg = "the policy observes a picture or a vector; name one of them"
            raise ValueError(msg)
        wanted = (1, len(self.vector)) if picture is None else (1, picture.height, picture.width, 1)
        if self.input.shape != wanted:
            msg = f"input.shape: is {list(self.input.shape)}; the observation has {list(wanted)}"
            raise ValueError(msg)
        answers = len(self.actions) or 2
        if self.output.shape != (1, answers):
            msg = f"output.shape: is {list(self.output.shape)}; the actions need {[1, answers]}"
            raise ValueError(msg)
        limits = self.limits
        for k, (linear, angular) in enumerate(self.actions):
            inside = limits.linear_least_mps <= linear <= limits.linear_most_mps
            if not (inside and abs(angular) <= limits.angular_most_radps):
                msg = f"actions[{k}]: {linear:g} m/s and {angular:g} rad/s are outside the limits"
                raise ValueError(msg)
        if any(not one.scale for one in self.vector):
            msg = "vector: a scale must not be 0"
            raise ValueError(msg)


@dataclass(frozen=True)
class Manifest:
    """What the models of a bundle are, complete: labels, clips, features, models, fusion, and where they came from.

    A bundle may hold classifiers, a `policy`, or both; without classifiers it has no labels. `files` maps
    every other file of the bundle to its SHA-256 in hex.
    """

    labels: tuple[str, ...]
    clip: ClipSpec
    features: Features
    name: str = "unnamed"
    version: str = "0"
    models: dict[Modality, ModelSpec] = field(default_factory=dict)
    fusion: str = "fusion.json"
    thresholds: Thresholds = field(default_factory=Thresholds)
    policy: PolicySpec | None = None
    files: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def sees(self) -> bool:
        """Whether any model looks at pictures."""
        return self.features.rgb is not None or self.features.flow is not None

    @property
    def hears(self) -> bool:
        """Whether any model looks at sound."""
        return self.features.audio is not None

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Read and check a manifest; BundleError names `where`, the field and what would be right."""
        try:
            raw = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            msg = f"{where}: not JSON ({error})"
            raise BundleError(msg) from None
        found = raw.get("format") if isinstance(raw, dict) else None
        if isinstance(found, int) and found > FORMAT:
            msg = f"{where}: bundle format {found} is newer than {FORMAT}, the newest known here: update touchline"
            raise BundleError(msg)
        try:
            manifest = strict(raw, cls)
        except StrictError as error:
            msg = f"{where}: {error}"
            raise BundleError(msg) from None
        manifest._check(where)  # noqa: SLF001 - its own class
        return manifest

    def to_json(self) -> bytes:
        """Write the manifest as indented UTF-8 JSON; without a policy it says nothing of one."""
        tree = msgspec.to_builtins(self)
        if self.policy is None:
            tree.pop("policy", None)
        return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"

    def _check(self, where: str) -> None:
        for name, model in self.models.items():
            if getattr(self.features, name) is None:
                msg = f"{where}: models.{name} has no features.{name}"
                raise BundleError(msg)
            if model.output.shape[-1] != len(self.labels):
                classes = model.output.shape[-1]
                msg = f"{where}: models.{name}.output has {classes} classes, labels has {len(self.labels)}"
                raise BundleError(msg)
            if not 0 < model.temperature < math.inf:
                msg = f"{where}: models.{name}.temperature: is {model.temperature:g}; it must be above 0 and finite"
                raise BundleError(msg)
        if len(set(self.labels)) != len(self.labels) or not (self.labels or (self.policy and not self.models)):
            msg = f"{where}: labels must be present and distinct"
            raise BundleError(msg)
        if Path(self.fusion).suffix not in (".json", ".npz"):
            msg = f"{where}: fusion: {self.fusion!r} is neither a .json nor an .npz file"
            raise BundleError(msg)
        policy = () if self.policy is None else (self.policy.file,)
        for file in (self.fusion, *self.files, *policy, *(model.file for model in self.models.values())):
            if Path(file).name != file:
                msg = f"{where}: file name {file!r} leads out of the bundle; name a file in it"
                raise BundleError(msg)
