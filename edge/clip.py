"""The records that travel through the device, one hop at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

Modality = Literal["rgb", "flow", "audio"]
MODALITIES: tuple[Modality, ...] = ("rgb", "flow", "audio")
Mode = Literal["full", "no_flow", "fewer_pictures", "smaller_pictures"]
MODES: tuple[Mode, ...] = ("full", "no_flow", "fewer_pictures", "smaller_pictures")
"""How much of a second is looked at: each mode leaves out what the one before it does, and more."""
UNKNOWN = "unknown"
"""The label of a second whose best score stays below the bundle's threshold."""


@dataclass(frozen=True, eq=False)
class Packet:
    """One decoded picture or one run of sound, stamped with its media time.

    `time` is in seconds since the start of the media. `frame` is still in the decoder's own pixel format
    (or uint8 RGB `[h, w, 3]`): only the frames that a model looks at are ever converted.
    `audio` is float32 mono at the bundle's sample rate.
    """

    time: float
    frame: av.VideoFrame | NDArray[np.uint8] | None = None
    audio: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """One second of media, aligned: what every model looks at.

    `start` is media time in seconds. `frames` is uint8 RGB `[n, h, w, 3]`, at most the bundle's frames per second,
    taken at `times`; `audio` is float32 mono, exactly one second. A missing modality is None, never zeros.
    `faults` says in words what was wrong with the media of this second. Of a live source, `av_offset_ms` is by how
    much its sound has come to lag behind its picture, give or take `av_uncertainty_ms`.
    """

    start: float
    frames: NDArray[np.uint8] | None = None
    times: tuple[float, ...] = ()
    audio: NDArray[np.float32] | None = None
    faults: tuple[str, ...] = ()
    av_offset_ms: float | None = None
    av_uncertainty_ms: float | None = None


@dataclass(frozen=True)
class Vote:
    """What one modality says about a second.

    `label` is the majority over `frames` looks; `score` is that label's mean probability; `probabilities` are the
    means over the looks, in the order of the bundle's labels.
    """

    modality: Modality
    label: str
    score: float
    probabilities: tuple[float, ...]
    frames: int


@dataclass(frozen=True)
class Second:
    """The decision for one Clip.

    `label` is `unknown` where `score` stays below the threshold; `class_index` is -1 then. `winner` is the modality
    (or the rule) whose answer was taken and `row` the label of the fusion table's row that made it so, if any.
    `latency_ms` runs from the complete Clip to the decision, `end_to_decision_ms` of a live source from the end of the
    second; `mode` says how much was looked at. `av_offset_ms` and `av_uncertainty_ms` are the Clip's.
    """

    start: float
    label: str
    class_index: int
    score: float
    probabilities: tuple[float, ...]
    votes: tuple[Vote, ...]
    winner: str
    row: str | None
    rule: str
    latency_ms: float
    faults: tuple[str, ...] = ()
    mode: Mode = "full"
    end_to_decision_ms: float | None = None
    av_offset_ms: float | None = None
    av_uncertainty_ms: float | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened: a label with a start and, once it is over, an end.

    `type` goes new -> update* -> end under one `id`; `start` and `end` are media seconds; `score` is the mean fused
    probability of `label` over the `seconds` that support it; `last` is the latest of those.
    """

    type: Literal["new", "update", "end"]
    id: str
    label: str
    class_index: int
    start: float
    end: float | None
    score: float
    seconds: int
    last: Second
