"""What a reader and its owner say to each other: frames of MessagePack, typed, so that neither has to trust the other."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TypeAlias

import msgspec
import numpy as np

from edge.clip import Clip
from edge.manifest import ClipSpec

from .watch import State

# Structs and no dataclasses: only they carry the tag that tells one from the other.


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first order: what to read; `origin` is where media time begins, in monotonic seconds."""

    url: str
    sound: str
    decoder: str
    clip: ClipSpec
    sees: bool
    hears: bool
    origin: float


class Show(msgspec.Struct, frozen=True, tag=True):
    """Somebody looks: send pictures for some seconds."""


class Save(msgspec.Struct, frozen=True, tag=True):
    """Write what is kept from `start` to `end`, once that has come, and the picture at `middle` if asked for."""

    id: int
    start: float
    end: float
    middle: float
    path: str
    thumbnail: str


class Spare(msgspec.Struct, frozen=True, tag=True):
    """Do with so many pictures a second, scaled by `size`."""

    frames_per_second: int
    size: float
    thrifty: bool


class End(msgspec.Struct, frozen=True, tag=True):
    """Write what is still to be written, and end."""


class Cut(msgspec.Struct, frozen=True, tag=True):
    """A second of media; shapes are checked where it is read."""

    start: float
    times: tuple[float, ...]
    faults: tuple[str, ...]
    size: tuple[int, int]
    frames: bytes
    audio: bytes
    av_offset_ms: float | None
    av_uncertainty_ms: float | None


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """How the reader is, a few times a second."""

    state: State
    message: str
    reconnects: int
    frames_per_second: float
    av_offset_ms: float | None
    av_uncertainty_ms: float | None
    busy: float
    lost_samples: int
    undecodable: int


class Picture(msgspec.Struct, frozen=True, tag=True):
    """The newest picture, for somebody who looks."""

    time: float
    jpeg: bytes


class Saved(msgspec.Struct, frozen=True, tag=True):
    """What became of a `Save`: where it begins and ends, or why there is none."""

    id: int
    start: float
    end: float
    error: str


Order: TypeAlias = Begin | Show | Save | Spare | End
Report: TypeAlias = Cut | Pulse | Picture | Saved

_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def send(connection: Connection, message: Order | Report) -> None:
    """Send one message; OSError when the other is gone."""
    connection.send_bytes(_encoder.encode(message))


def read_order(connection: Connection) -> Order:
    """Wait for an order; EOFError when the owner is gone."""
    return _orders.decode(connection.recv_bytes())


def read_report(connection: Connection) -> Report:
    """Wait for a report; EOFError when the reader is gone, msgspec.DecodeError when it talks nonsense."""
    return _reports.decode(connection.recv_bytes())


def cut(clip: Clip) -> Cut:
    """Lay a clip out for the way."""
    frames = clip.frames
    return Cut(
        clip.start, clip.times, clip.faults, (0, 0) if frames is None else (frames.shape[1], frames.shape[2]),
        b"" if frames is None else frames.tobytes(), b"" if clip.audio is None else clip.audio.tobytes(),
        clip.av_offset_ms, clip.av_uncertainty_ms,
    )  # fmt: skip


def clip(message: Cut) -> Clip:
    """Read a clip; ValueError when its parts do not fit."""
    height, width = message.size
    frames = audio = None
    if message.frames:
        frames = np.frombuffer(message.frames, np.uint8).reshape(len(message.times), height, width, 3)
    if message.audio:
        audio = np.frombuffer(message.audio, np.float32)
    return Clip(
        message.start, frames, message.times, audio, message.faults,
        av_offset_ms=message.av_offset_ms, av_uncertainty_ms=message.av_uncertainty_ms,
    )  # fmt: skip
