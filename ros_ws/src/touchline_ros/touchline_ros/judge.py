"""The device's loop on stamps of the ROS clock: pictures and sound in, seconds and events out; no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.bundle import Bundle
from edge.clip import Event, Packet, Second
from edge.events import Segmenter, SegmenterConfig
from edge.pipeline import Pipeline
from edge.windows import Windower

NANOSECONDS = 1_000_000_000
BACK_SECONDS = 1.0
"""A stamp this much older than the newest means that the clock was set back, or a recording begins again."""


@dataclass(frozen=True)
class Judged:
    """A record with the stamp, in nanoseconds, that its media time 0 has."""

    record: Second | Event
    origin_ns: int


class Judge:
    """Windower, Pipeline and Segmenter on absolute stamps: `push(stamp, ...)` and `flush()` give what is decided.

    Media time 0 is a whole second of the stamps' clock, so that all who watch that clock cut the same seconds.
    `jumps` counts how often the clock went back.
    """

    def __init__(
        self, bundle: Bundle, events: SegmenterConfig, boot: str, *, audio: bool, threads: int | None = None
    ) -> None:
        manifest = bundle.manifest
        self._pipeline = Pipeline(bundle, threads)
        self._media = {"video": manifest.sees, "audio": audio and manifest.hears}
        self._clip = manifest.clip
        self._segmenter = Segmenter(events, boot)
        self._windower = Windower(self._clip, **self._media)
        self._origin_ns: int | None = None
        self._newest_ns = 0
        self.jumps = 0

    @property
    def late(self) -> int:
        """Packets that came after their second was decided."""
        return self._windower.late

    def push(self, stamp_ns: int, **media: Any) -> list[Judged]:  # noqa: ANN401 - `frame` or `audio` of a Packet
        """Take a picture or a run of sound."""
        judged: list[Judged] = []
        if self._origin_ns is not None and stamp_ns < self._newest_ns - BACK_SECONDS * NANOSECONDS:
            judged = self.flush()
            self._origin_ns = None
            self.jumps += 1
        if self._origin_ns is None:
            self._origin_ns = stamp_ns - stamp_ns % NANOSECONDS
            self._newest_ns = stamp_ns
        self._newest_ns = max(self._newest_ns, stamp_ns)
        packet = Packet((stamp_ns - self._origin_ns) / NANOSECONDS, **media)
        return judged + self._decide(self._windower.push(packet))

    def pause(self) -> list[Judged]:
        """Nothing has come for a while: decide what is there, end nothing."""
        judged = self._decide(self._windower.flush())
        self._windower = Windower(self._clip, **self._media)
        return judged

    def flush(self) -> list[Judged]:
        """Decide what is there and end every event."""
        judged = self.pause()
        return judged + self._with_origin(self._segmenter.flush())

    def _decide(self, clips: list[Any]) -> list[Judged]:
        records: list[Second | Event] = []
        for clip in clips:
            second = self._pipeline(clip)
            if second is not None:
                records += [second, *self._segmenter.push(second)]
        return self._with_origin(records)

    def _with_origin(self, records: Any) -> list[Judged]:  # noqa: ANN401 - a list of either
        return [Judged(record, self._origin_ns or 0) for record in records]
