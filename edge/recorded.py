"""A media file that is being watched, as the page sees it: its newest picture, how it is, and parts of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from .clip import Packet
from .cut import cut, jpeg, save_picture
from .messages import utc
from .sources import SourceError
from .web.standing import Picture, SourceStanding

PREVIEW_PIXELS = 640
STALLED_SECONDS = 2.0
"""A recording that is played in real time and gives nothing for so long has stalled."""


class Recorded:
    """Watches the packets of a file pass; `paced` says that they come as from a live source."""

    def __init__(self, url: str, *, paced: bool, bag: bool = False) -> None:
        self._url, self._paced, self._bag = url, paced, bag
        self._newest: Packet | None = None
        self._shown: Picture | None = None
        self._passed: deque[float] = deque(maxlen=100)
        self._state: Literal["waiting", "playing", "ended"] = "waiting"
        self._since, self._at = utc(time.time_ns()), time.monotonic()

    def watching(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Pass packets on, and remember the newest picture."""
        self._turn("playing")
        for packet in packets:
            self._at = time.monotonic()
            if packet.frame is not None:
                self._newest = packet
                self._passed.append(packet.time)
            yield packet
        self._turn("ended")

    def preview(self) -> Picture | None:
        """Give the newest picture as JPEG; the same until there is another."""
        newest, shown = self._newest, self._shown
        if newest is None or newest.frame is None:
            return None
        if shown is None or shown.time != newest.time:
            shown = self._shown = Picture(jpeg(newest.frame, PREVIEW_PIXELS), newest.time)
        return shown

    def standing(self) -> SourceStanding:
        """Say how the playing goes."""
        quiet = time.monotonic() - self._at
        stalled = self._paced and self._state == "playing" and quiet > STALLED_SECONDS
        passed = list(self._passed)
        rate = (len(passed) - 1) / (passed[-1] - passed[0]) if len(passed) > 1 and passed[-1] > passed[0] else None
        return SourceStanding(
            level="stale" if stalled else "ok",
            state="stalled" if stalled else self._state,
            message=f"nothing for {quiet:.0f} s" if stalled else "",
            since=self._since,
            live=self._paced and self._state == "playing",
            frames_per_second=None if rate is None else round(rate, 1),
        )

    def save_clip(self, start: float, end: float, path: Path, thumb_path: Path, *, at: float) -> tuple[float, float]:
        """Write media seconds `start` to `end` as MP4 and the picture `at` one; return where the clip really lies."""
        if self._bag:
            msg = f"{self._url}: no clips are cut from recordings of ROS"
            raise SourceError(msg)
        save_picture(self._url, at, thumb_path)
        return cut(self._url, start, end, path), end

    def _turn(self, state: Literal["playing", "ended"]) -> None:
        self._state, self._since = state, utc(time.time_ns())
