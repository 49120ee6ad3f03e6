"""What is wrong with a live source, from what comes and what does not: one state at a time, in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from .clock import Medium

State = Literal[
    "connecting", "online", "offline", "stalled", "no_picture", "no_sound", "black", "frozen", "slow", "silent",
    "timestamps", "resolution", "av_offset",
]  # fmt: skip
GONE_SECONDS = 2.0
"""A medium from which nothing came for so long is gone."""
RUN_SECONDS = 2.0
"""For so long a picture has to be black or still, or sound silent, to be called so."""
LOOK_SECONDS = 0.5
SAID_SECONDS = 3.0
"""What happens in a moment is said for so long."""
BLACK_LEVEL, BLACK_SPREAD = 24, 4.0
"""Luma 16 is black in television."""
STILL_MEAN, STILL_MOST = 0.25, 6
"""Codecs make a still picture pulse by this much; the noise of a camera is more."""
SILENT_PEAK = 1e-4
"""-80 dB of full scale: less than the noise of any microphone that is plugged in."""
MOST_OFFSET_SECONDS = 0.1
"""EBU R37 allows sound 40 ms early and 60 ms late; arrival tells it to some tens of milliseconds."""
PLANAR = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})


@dataclass
class _Run:
    """Since when something has been so without a break."""

    since: float | None = None

    def push(self, now: float, *, so: bool) -> None:
        self.since = None if not so else now if self.since is None else self.since

    def lasts(self, now: float) -> bool:
        return self.since is not None and now - self.since >= RUN_SECONDS


class Watch:
    """Looks at twice a second's pictures and at all sound; `state(now)` gives what is wrong, worst first.

    `least_rate` is how many pictures a second it should bring at least. Times are in seconds.
    """

    def __init__(self, least_rate: float) -> None:
        self.size: tuple[int, int] | None = None
        self._least_rate = least_rate
        self._came: dict[Medium, float] = {}
        self._pictures: deque[float] = deque()
        self._best_rate = 0.0
        self._looked, self._before = -1.0, None
        self._black, self._still, self._silent = _Run(), _Run(), _Run()
        self._said: dict[State, tuple[float, str]] = {}
        self._offset: tuple[float, float] | None = None

    @property
    def wants(self) -> frozenset[Medium]:
        """The media that the source should bring."""
        return frozenset(self._came)

    def expect(self, media: Iterable[Medium], now: float) -> None:
        """These media are waited for from now on."""
        self._came |= dict.fromkeys(media, now)

    def begin(self, media: frozenset[Medium], lacks: frozenset[Medium], now: float) -> None:
        """A connection is there that brings `media` and `lacks` others that were asked of it."""
        self.expect(media, now)
        for medium in lacks:
            self._came.pop(medium, None)
        if "video" in media:
            self._pictures.clear()
            self._best_rate, self._before = 0.0, None
            self._black, self._still = _Run(), _Run()
        if "audio" in media:
            self._silent = _Run()

    def came_picture(self, now: float) -> None:
        """Count a picture that came, whether it is decoded or not."""
        self._pictures.append(now)
        while self._pictures[0] < now - RUN_SECONDS:
            self._pictures.popleft()

    def saw(self, frame: VideoFrame, now: float) -> None:
        """Take a decoded picture."""
        self._came["video"] = now
        size = (frame.width, frame.height)
        if self.size not in (None, size):
            assert self.size is not None
            text = f"pictures were {self.size[0]}x{self.size[1]} and are {size[0]}x{size[1]} now"
            self.say("resolution", text, now)
        self.size = size
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look(_luma(frame), now)

    def heard(self, samples: NDArray[np.float32], now: float) -> None:
        """Take sound."""
        self._came["audio"] = now
        self._silent.push(now, so=bool(np.abs(samples).max(initial=0.0) < SILENT_PEAK))

    def say(self, state: State, text: str, now: float) -> None:
        """Something happened, which is said for a while."""
        self._said[state] = (now, text)

    def lag(self, offset: tuple[float, float] | None) -> None:
        """By how many seconds sound lags, and how uncertain that is."""
        self._offset = offset

    def blind(self, now: float) -> str:
        """Why pictures tell nothing at present; empty if they do."""
        return "picture is black" if self._black.lasts(now) else "picture is frozen" if self._still.lasts(now) else ""

    def deaf(self, now: float) -> str:
        """Why sound tells nothing at present; empty if it does."""
        return "sound is silent" if self._silent.lasts(now) else ""

    def gone(self, now: float) -> list[Medium]:
        """The media from which nothing comes."""
        return sorted(name for name in self.wants if now - self._came.get(name, now) > GONE_SECONDS)

    def rate(self, now: float) -> float:
        """Pictures a second of the last two."""
        return sum(at > now - RUN_SECONDS for at in self._pictures) / RUN_SECONDS

    def state(self, now: float) -> tuple[State, str]:
        """Name what is wrong of a source that is connected, in a word and a sentence."""
        gone = self.gone(now)
        if gone and len(gone) == len(self.wants):
            return "stalled", f"connected, but nothing has come for {GONE_SECONDS:.0f} s"
        if gone:
            return ("no_picture", "no picture comes") if gone == ["video"] else ("no_sound", "no sound comes")
        if self._black.lasts(now):
            return "black", "the picture is black"
        if self._still.lasts(now):
            return "frozen", f"the picture has not changed for {RUN_SECONDS:.0f} s"
        if slow := self._slow(now):
            return "slow", slow
        if self._silent.lasts(now):
            return "silent", "the sound is silent"
        for name, (at, text) in self._said.items():
            if now - at < SAID_SECONDS:
                return name, text
        if self._offset is not None and abs(self._offset[0]) > MOST_OFFSET_SECONDS + self._offset[1]:
            lag = self._offset[0]
            return "av_offset", f"sound has come to be {abs(1000 * lag):.0f} ms {'late' if lag > 0 else 'early'}"
        return "online", "comes as it should"

    def _slow(self, now: float) -> str:
        if "video" not in self.wants or not self._pictures:
            return ""
        rate = self.rate(now)
        if self._pictures[-1] - self._pictures[0] > 0.75 * RUN_SECONDS:
            self._best_rate = max(self._best_rate, rate)
        elif self._best_rate == 0 or len(self._pictures) > 4:
            return ""
        usual = max(self._best_rate, self._least_rate)
        return f"only {rate:.1f} pictures a second come, not {usual:.0f}" if rate < usual / 2 else ""

    def _look(self, luma: NDArray[np.uint8], now: float) -> None:
        black = np.percentile(luma, 99) < BLACK_LEVEL and luma.std() < BLACK_SPREAD
        self._black.push(now, so=bool(black))
        if self._before is not None and self._before.shape == luma.shape:
            change = np.abs(luma.astype(np.int16) - self._before)
            self._still.push(now, so=bool(change.mean() < STILL_MEAN and np.percentile(change, 99.9) <= STILL_MOST))
        self._before = luma


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    """Every eighth pixel of every eighth line, as it lies in the decoder's memory where it can be read there."""
    if frame.format.name not in PLANAR:
        return frame.reformat(frame.width // 8, frame.height // 8, "gray").to_ndarray()
    plane = frame.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height : 8, : frame.width : 8].copy()
