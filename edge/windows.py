"""Packets in, aligned one-second Clips out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from .clip import Clip, Packet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .manifest import ClipSpec

MINIMUM_COVERAGE = 0.5
"""A second counts for a modality when at least this share of it is there."""
_SNAP_SECONDS = 0.002
"""Sound whose stamp is off by less than this joins on seamlessly: codecs round stamps, ears hear clicks."""


@dataclass
class _Open:
    """The media of one second, still filling."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    slots: set[int] = field(default_factory=set)
    last_frame: float = -math.inf
    audio: NDArray[np.float32] | None = None
    samples: int = 0


class Windower:
    """Cuts timestamped Packets into aligned seconds: `push(packet)` and `flush()` give the Clips now complete.

    `video` and `audio` say which media the source has; a second waits for both, but a medium that falls
    `max_wait_seconds` of media time behind the other is waited for no longer. Packets older than the current second
    are dropped and counted in `late`. Seconds without any media give no Clip. `spec` may change between two seconds.
    """

    def __init__(
        self, spec: ClipSpec, *, video: bool = True, audio: bool = True, max_wait_seconds: float = 2.0
    ) -> None:
        self.late = 0
        self.spec = spec
        self._waits = {"video": video and spec.frames_per_second > 0, "audio": audio}
        self._max_wait = max_wait_seconds
        self._clock = {"video": -math.inf, "audio": -math.inf}
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._emitted = False
        self._audio_cursor: int | None = None
        self._reformatter = VideoReformatter()

    def push(self, packet: Packet) -> list[Clip]:
        """Take one packet; return the Clips that it completes."""
        if packet.frame is not None:
            self._put_frame(packet.time, packet.frame)
        if packet.audio is not None and len(packet.audio):
            self._put_audio(packet.time, packet.audio)
        return self._emit_until(self._watermark())

    def flush(self) -> list[Clip]:
        """The media ended: return what is left, without a last second that is mostly missing."""
        if not self._open:
            return []
        last = max(self._open)
        clips = self._emit_until(last)
        window = self._open.pop(last)
        clip = self._clip(last, window, alone=not self._emitted)
        return clips if clip is None else [*clips, clip]

    def _put_frame(self, time: float, frame: VideoFrame | NDArray[np.uint8]) -> None:
        self._clock["video"] = max(self._clock["video"], time)
        second = math.floor(time + 1e-6)
        if second < self._next:
            self.late += 1
            return
        window = self._open.setdefault(second, _Open())
        window.last_frame = max(window.last_frame, time)
        slot = math.floor((time - second) * self.spec.frames_per_second + 1e-6)
        if slot not in window.slots and self.spec.frames_per_second > 0:
            window.slots.add(slot)
            window.frames.append(picture(frame, self.spec.width, self.spec.height, self._reformatter))
            window.times.append(time)

    def _put_audio(self, time: float, samples: NDArray[np.float32]) -> None:
        rate = self.spec.sample_rate_hz
        position = round(time * rate)
        if self._audio_cursor is not None and abs(position - self._audio_cursor) <= _SNAP_SECONDS * rate:
            position = self._audio_cursor
        self._audio_cursor = position + len(samples)
        self._clock["audio"] = self._audio_cursor / rate
        while len(samples):
            second, offset = divmod(position, rate)
            count = min(rate - offset, len(samples))
            if second < self._next:
                self.late += 1
            else:
                window = self._open.setdefault(second, _Open())
                if window.audio is None:
                    window.audio = np.zeros(rate, np.float32)
                window.audio[offset : offset + count] = samples[:count]
                window.samples = min(rate, window.samples + count)
            position += count
            samples = samples[count:]

    def _watermark(self) -> int:
        clocks = [self._clock[name] for name, waits in self._waits.items() if waits]
        if not clocks:
            clocks = list(self._clock.values())
        reached = max(min(clocks), max(clocks) - self._max_wait)
        return self._next if reached == -math.inf else math.floor(reached + 1e-6)

    def _emit_until(self, second: int) -> list[Clip]:
        clips = []
        for k in sorted(k for k in self._open if k < second):
            clip = self._clip(k, self._open.pop(k), alone=False)
            if clip is not None:
                clips.append(clip)
        self._next = max(self._next, second)
        self._emitted = self._emitted or bool(clips)
        return clips

    def _clip(self, second: int, window: _Open, *, alone: bool) -> Clip | None:
        """Close a second; None when too little of it is there. A recording shorter than a second stands `alone`."""
        faults = []
        audio = window.audio
        coverage = window.samples / self.spec.sample_rate_hz
        if audio is not None and coverage < MINIMUM_COVERAGE and not alone:
            audio, faults = None, [f"sound covers only {coverage:.0%} of the second"]
        if audio is not None and not np.isfinite(audio).all():
            audio, faults = None, ["sound holds NaN or infinite samples"]
        frames = np.stack(window.frames) if window.frames else None
        covered = window.last_frame + 1 / max(1, self.spec.frames_per_second) - second
        mostly_there = audio is not None or (frames is not None and covered >= MINIMUM_COVERAGE)
        if not (mostly_there or alone) or (frames is None and audio is None):
            return None
        return Clip(float(second), frames, tuple(window.times), audio, tuple(faults))


def picture(
    frame: VideoFrame | NDArray[np.uint8], width: int, height: int, reformatter: VideoReformatter
) -> NDArray[np.uint8]:
    """Scale a decoded frame to uint8 RGB `[height, width, 3]` by area averaging, upright as its metadata says."""
    if not isinstance(frame, VideoFrame):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    turns = round(frame.rotation / 90) % 4
    if turns % 2:
        width, height = height, width
    rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, turns), np.uint8)


def clips(packets: Iterable[Packet], windower: Windower) -> Iterator[Clip]:
    """Run packets through a windower to the end."""
    for packet in packets:
        yield from windower.push(packet)
    yield from windower.flush()
