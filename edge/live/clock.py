"""One clock for what arrives: the stamps of a connection become media time, which never runs away from the real one."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Medium = Literal["video", "audio"]
T = TypeVar("T")
SETTLE_SECONDS = 0.5
"""A server sends at once what it had kept; stamps are anchored after that, by what came with the least delay."""
JUMP_SECONDS = 1.0
"""Stamps that are off by more than this begin anew."""
WATCHED_SECONDS = 3.0
"""Delays of so long ago count."""
BURST_SECONDS = 0.01
"""Of what comes at once, as in one packet of a transport stream, only the last had to wait for nothing."""
FOLLOW, MOST_FOLLOW = 0.02, 0.0005
"""Of the least delay a stamp is moved by this share, and by so many seconds at most."""


@dataclass
class _Track:
    """One medium of a connection: its latest stamp and arrival, the delays of the last seconds, the usual one.

    Of the delays `_lowest` holds those that no later one is below, so that the least is the first.
    """

    stamp: float
    arrival: float
    delays: deque[tuple[float, float]] = field(default_factory=deque)
    usual: float | None = None
    _lowest: deque[tuple[float, float]] = field(default_factory=deque)

    def push(self, now: float, delay: float) -> None:
        if self.delays and now - self.delays[-1][0] < BURST_SECONDS:
            delay = min(delay, self.delays.pop()[1])
        while self._lowest and self._lowest[-1][1] >= delay:
            self._lowest.pop()
        for kept in (self.delays, self._lowest):
            kept.append((now, delay))
            while kept[0][0] < now - WATCHED_SECONDS:
                kept.popleft()
        if self.usual is None and self.whole:
            self.usual = self.middle

    @property
    def whole(self) -> bool:
        return self.delays[-1][0] - self.delays[0][0] > 0.8 * WATCHED_SECONDS

    @property
    def least(self) -> float:
        return self._lowest[0][1]

    @property
    def middle(self) -> float:
        return statistics.median(delay for _, delay in self.delays)

    @property
    def change(self) -> float:
        return 0.0 if self.usual is None else self.middle - self.usual

    @property
    def spread(self) -> float:
        middle = self.middle
        return statistics.median(abs(delay - middle) for _, delay in self.delays)


class MediaClock(Generic[T]):
    """Maps the stamps of one connection to media time: `push` gives the items whose shift is known, each with it.

    The shift is such that a picture (sound where there is none) that comes with the least delay has the media time at
    which it came. It follows slowly, as the clocks of senders are off by some parts in a hundred thousand. Stamps that
    jump begin anew: `jumps` counts them, `jumped` says the last one.
    """

    def __init__(self) -> None:
        self.jumps, self.jumped = 0, ""
        self._tracks: dict[Medium, _Track] = {}
        self._held: list[tuple[Medium, float, T]] = []
        self._began = 0.0
        self._shift: float | None = None

    def push(self, medium: Medium, stamp: float, now: float, item: T) -> list[tuple[float, T]]:
        """Take an item whose stamp came at `now`, both in seconds."""
        self._place(medium, stamp, now)
        if self._shift is not None:
            self._follow(medium, stamp, now)
        if self._shift is not None:
            return [(self._shift, item)]
        self._began = now if not self._held else self._began
        self._held.append((medium, now - stamp, item))
        return self.flush() if now - self._began >= SETTLE_SECONDS else []

    def flush(self) -> list[tuple[float, T]]:
        """Give what was held, as it is not waited for any longer."""
        if not self._held:
            return []
        pictures = [delay for medium, delay, _ in self._held if medium == "video"]
        shift = self._shift = min(pictures or [delay for _, delay, _ in self._held])
        items, self._held = [(shift, item) for _, _, item in self._held], []
        return items

    def offset(self) -> tuple[float, float] | None:
        """By how many seconds sound has come to lag since the connection began, and how uncertain that is."""
        audio, video = self._tracks.get("audio"), self._tracks.get("video")
        if audio is None or video is None or not audio.delays or not video.delays:
            return None
        return video.change - audio.change, audio.spread + video.spread

    def _place(self, medium: Medium, stamp: float, now: float) -> None:
        track = self._tracks.get(medium)
        if track is not None:
            by, passed = stamp - track.stamp, now - track.arrival
            if by < -JUMP_SECONDS / 2 or by - passed > JUMP_SECONDS:
                self._begin_anew(f"time stamps went {'back' if by < 0 else 'ahead'} by {abs(by):.1f} s")
        track = self._tracks.setdefault(medium, _Track(stamp, now))
        track.stamp, track.arrival = stamp, now

    def _follow(self, medium: Medium, stamp: float, now: float) -> None:
        assert self._shift is not None
        track = self._tracks[medium]
        track.push(now, now - stamp)
        video = self._tracks.get("video")
        if medium == "audio" and video is not None and now - video.arrival < WATCHED_SECONDS:
            return
        late = track.least - self._shift
        if late < 0:
            self._shift += late
        elif track.whole and late > JUMP_SECONDS:
            self._begin_anew(f"what comes is {late:.1f} s later than before")
        elif track.whole:
            self._shift += min(FOLLOW * late, MOST_FOLLOW)

    def _begin_anew(self, why: str) -> None:
        self.jumps, self.jumped = self.jumps + 1, why
        self._tracks.clear()
        self._held, self._shift = [], None
