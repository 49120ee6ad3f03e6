"""What goes over the wire: ticks, events and births as frozen records, written and read as JSON."""

from __future__ import annotations

import re
import unicodedata
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

import msgspec

from . import __version__
from .clip import UNKNOWN, Event, Modality, Mode, Second, Vote
from .events import SegmenterConfig

if TYPE_CHECKING:
    from .bundle import Bundle

SCHEMAS = (
    "tick/1",
    "event/1",
    "info/1",
    "gap/1",
    "stats/1",
    "health/1",
    "digest/1",
    "model-reported/1",
    "policy/1",
    "rpc-reply/1",
)
"""What a node sends; `contract` says where."""
NANOSECONDS = 1_000_000_000


class MessageError(Exception):
    """A message that cannot be read; the text names the field and what would be right."""


@dataclass(frozen=True)
class Stamp:
    """Who speaks: the same on every message of one start of the process.

    `boot` is new at every start; `epoch_ns` is the wall clock, in Unix nanoseconds, of media time 0.
    `model` is the bundle's name and version, `sha256` its hash, `table` the version of its fusion.
    """

    node: str
    source: str
    boot: str
    epoch_ns: int
    model: str
    sha256: str
    table: str
    quant: str = "int8"

    def clock_ns(self, media_seconds: float) -> int:
        """Wall clock of a media time, in Unix nanoseconds."""
        return self.epoch_ns + round(media_seconds * NANOSECONDS)


@dataclass(frozen=True)
class VoteSummary:
    """One modality's vote; ticks also carry its `probabilities`, in the order of `Info.classes`."""

    label: str
    score: float
    frames: int
    probabilities: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Fusion:
    """How the votes became the decision; `agree` counts those that say the message's label."""

    rule: str
    table: str
    winner: str
    row: str | None
    agree: int
    votes: dict[Modality, VoteSummary]


@dataclass(frozen=True)
class Model:
    """Which bundle decided: name-version, the SHA-256 of its manifest, and its quantization."""

    bundle: str
    sha256: str
    quant: str


@dataclass(frozen=True)
class Media:
    """Where the page of the node has the clip and the picture of an event: paths below its address.

    The clip begins `pre_s` seconds before the event and goes on `post_s` seconds after what is known of it; both are
    written before they are said.
    """

    clip: str
    thumb: str | None
    pre_s: float
    post_s: float


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The decision for one second of media; `seq` counts the ticks of one boot.

    `mode` says how much of the second was looked at, less than `full` when the device cannot keep up. Of a live source,
    `latency_ms` also holds `end_to_decision`, from the end of the second; `av_offset_ms` is by how much its sound has
    come to lag behind its picture, give or take `av_uncertainty_ms`.
    """

    schema: Literal["tick/1"] = "tick/1"
    node: str
    source: str
    boot: str
    seq: int
    replay: bool = False
    label: str
    class_index: int
    score: float
    unknown: bool
    start: str
    start_ns: int
    media_start: float
    probabilities: tuple[float, ...]
    fusion: Fusion
    model: Model
    latency_ms: dict[str, float]
    faults: tuple[str, ...] = ()
    mode: Mode = "full"
    av_offset_ms: float | None = None
    av_uncertainty_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class EventMessage:
    """A step in the life of an event, complete in itself: `end` repeats every field.

    `stream` and `offset` number what one outbox ever took, over all starts of the process; none without an outbox.
    `late` says that newer messages may have come before this one; `replay_of` names the recording played again.

    `seq` counts the events' messages of one boot, so (node, boot, seq) names a message and a hole is a loss.
    `start` and `end` are UTC; `media_start` and `media_end` are seconds since the start of the media;
    `seconds` is how many of them support the label; `fusion` and `faults` are those of the latest. `media` is there
    where the node keeps clips.
    """

    schema: Literal["event/1"] = "event/1"
    type: Literal["new", "update", "end"]
    id: str
    node: str
    source: str
    boot: str
    seq: int
    stream: str | None = None
    offset: int | None = None
    replay: bool = False
    replay_of: str | None = None
    late: bool = False
    label: str
    class_index: int
    score: float
    unknown: bool
    start: str
    end: str | None
    start_ns: int
    media_start: float
    media_end: float | None
    seconds: int
    fusion: Fusion
    model: Model
    latency_ms: dict[str, float]
    faults: tuple[str, ...] = ()
    media: Media | None = None


@dataclass(frozen=True, kw_only=True)
class Info:
    """A node's birth: what it is, what it may say, and by which settings."""

    schema: Literal["info/1"] = "info/1"
    node: str
    boot: str
    version: str
    started: str
    sources: tuple[str, ...]
    classes: tuple[str, ...]
    model: Model
    models: dict[str, str]
    rule: str
    table: str
    events: SegmenterConfig
    schemas: tuple[str, ...] = field(default=SCHEMAS)


Message = Tick | EventMessage


def tick(second: Second, stamp: Stamp, seq: int) -> Tick:
    """Say one decision."""
    return Tick(
        node=stamp.node,
        source=stamp.source,
        boot=stamp.boot,
        seq=seq,
        label=second.label,
        class_index=second.class_index,
        score=_rounded(second.score),
        unknown=second.label == UNKNOWN,
        start=utc(stamp.clock_ns(second.start)),
        start_ns=stamp.clock_ns(second.start),
        media_start=round(second.start, 3),
        probabilities=tuple(map(_rounded, second.probabilities)),
        fusion=_fusion(second, second.label, stamp, with_probabilities=True),
        model=_model(stamp),
        latency_ms=_latency(second),
        faults=second.faults,
        mode=second.mode,
        av_offset_ms=second.av_offset_ms,
        av_uncertainty_ms=second.av_uncertainty_ms,
    )


def event_message(event: Event, stamp: Stamp, seq: int, media: Media | None = None) -> EventMessage:
    """Say that an event began, goes on or is over."""
    return EventMessage(
        type=event.type,
        id=event.id,
        node=stamp.node,
        source=stamp.source,
        boot=stamp.boot,
        seq=seq,
        label=event.label,
        class_index=event.class_index,
        score=_rounded(event.score),
        unknown=event.label == UNKNOWN,
        start=utc(stamp.clock_ns(event.start)),
        end=None if event.end is None else utc(stamp.clock_ns(event.end)),
        start_ns=stamp.clock_ns(event.start),
        media_start=round(event.start, 3),
        media_end=None if event.end is None else round(event.end, 3),
        seconds=event.seconds,
        fusion=_fusion(event.last, event.label, stamp, with_probabilities=False),
        model=_model(stamp),
        latency_ms=_latency(event.last),
        faults=event.last.faults,
        media=media,
    )


def info(bundle: Bundle, stamp: Stamp, events: SegmenterConfig) -> Info:
    """Say what a node is, at its birth."""
    manifest = bundle.manifest
    return Info(
        node=stamp.node,
        boot=stamp.boot,
        version=__version__,
        started=utc(stamp.epoch_ns),
        sources=(stamp.source,),
        classes=manifest.labels,
        model=_model(stamp),
        models={name: digest for name, digest in manifest.files.items() if name.endswith(".tflite")},
        rule=bundle.fusion.rule,
        table=stamp.table,
        events=events,
    )


def encode(message: object) -> bytes:
    """Write a message, of this module or of `contract`, as one line of UTF-8 JSON."""
    return msgspec.json.encode(message)


def read_event(payload: bytes) -> EventMessage:
    """Read an event's message; keys that a newer sender added do no harm, MessageError says what does."""
    try:
        return _EVENTS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"not an event/1 message: {str(error)[:1].lower()}{str(error)[1:]}"
        raise MessageError(msg) from None


def topic_id(text: str) -> str:
    """Make a file stem or a host name an id for topics: 1 to 64 of `[A-Za-z0-9_-]`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-")[:64] or f"id-{zlib.crc32(text.encode()):08x}"


def utc(nanoseconds: int) -> str:
    """Write Unix nanoseconds as ISO-8601 UTC with milliseconds, cut off, not rounded."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def _fusion(second: Second, label: str, stamp: Stamp, *, with_probabilities: bool) -> Fusion:
    return Fusion(
        rule=second.rule,
        table=stamp.table,
        winner=second.winner,
        row=second.row,
        agree=sum(vote.label == label for vote in second.votes),
        votes={vote.modality: _summary(vote, with_probabilities=with_probabilities) for vote in second.votes},
    )


def _summary(vote: Vote, *, with_probabilities: bool) -> VoteSummary:
    probabilities = tuple(map(_rounded, vote.probabilities)) if with_probabilities else None
    return VoteSummary(vote.label, _rounded(vote.score), vote.frames, probabilities)


def _model(stamp: Stamp) -> Model:
    return Model(stamp.model, stamp.sha256, stamp.quant)


def _latency(second: Second) -> dict[str, float]:
    found = {"clip_to_decision": round(second.latency_ms, 1)}
    if second.end_to_decision_ms is not None:
        found["end_to_decision"] = round(second.end_to_decision_ms, 1)
    return found


def _rounded(probability: float) -> float:
    return round(probability, 4)


_EVENTS = msgspec.json.Decoder(EventMessage)
