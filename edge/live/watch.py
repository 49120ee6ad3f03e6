"""What is wrong with a live source, from what comes and what does not: one state at a time, in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from .clock import JUMP_SECONDS, Medium

State = Literal[
    "connecting", "online", "offline", "stalled", "no_picture", "no_sound", "black", "frozen", "slow", "silent",
    "timestamps", "resolution", "av_offset",
]  # fmt: skip
GONE_SECONDS = 2.0
"""A medium from which nothing came for so long is gone."""
RUN_SECONDS, LATE_SECONDS, PICTURES = 1.5, 0.8, 9
"""For so long a picture has to be black or still, or sound silent, to be called so; a picture that is late by so much
counts as slow, as do the latest pictures."""
LOOK_SECONDS = 0.5
SAID_SECONDS = 3.0
"""What happens in a moment is said for so long."""
BLACK_LEVEL, BLACK_SPREAD = 24, 4.0
"""Luma 16 is black in television."""
STILL_MEAN, STILL_MOST = 1.5, 24
"""Codecs make a still picture pulse by up to this much; whatever moves in sports footage changes a pixel by 100."""
STEADY_SECONDS = 1.2
LINES = 90
"""So many lines of a picture are looked at."""
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
        """Note whether it is so since `now`."""
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
        self._pictures: deque[float] = deque(maxlen=PICTURES)
        self._best_rate = self._picture_at = 0.0
        self._slow = (float("-inf"), "")
        self._looked = -1.0
        self._before: NDArray[np.uint8] | None = None
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
            self._slow = (float("-inf"), "")
            self._best_rate, self._before = 0.0, None
            self._black, self._still = _Run(), _Run()
        if "audio" in media:
            self._silent = _Run()

    def came_picture(self, stamp: float, now: float) -> None:
        """Count a picture that came, whether it is decoded or not."""
        if self._pictures and abs(stamp - self._pictures[-1]) > 3 * JUMP_SECONDS:
            self._pictures.clear()
        self._pictures.append(stamp)
        self._picture_at = now
        if len(self._pictures) == PICTURES:
            self._best_rate = max(self._best_rate, self.rate(now))

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
            self._look(_luma(frame), now)
            self._looked = now

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

    def rate(self, now: float) -> float:
        """Pictures a second, by the stamps of the latest, or by how long the next is waited for."""
        if len(self._pictures) < 3:
            return 0.0
        late = now - self._picture_at
        stamped = (len(self._pictures) - 1) / max(1e-3, max(self._pictures) - min(self._pictures))
        return min(stamped, 1 / late) if late > LATE_SECONDS else stamped

    def state(self, now: float) -> tuple[State, str]:
        """Name what is wrong of a source that is connected, in a word and a sentence."""
        found = self._gone(now) or self._bad(now) or self._happened(now)
        return found or ("online", "comes as it should")

    def _gone(self, now: float) -> tuple[State, str] | None:
        gone = sorted(name for name, at in self._came.items() if now - at > GONE_SECONDS)
        if not gone:
            return None
        if len(gone) == len(self._came):
            return "stalled", f"connected, but nothing has come for {GONE_SECONDS:.0f} s"
        return ("no_picture", "no picture comes") if gone == ["video"] else ("no_sound", "no sound comes")

    def _bad(self, now: float) -> tuple[State, str] | None:
        if self._black.lasts(now):
            return "black", "the picture is black"
        if self._still.lasts(now):
            return "frozen", "the picture does not change"
        if slow := self.slow(now):
            return "slow", slow
        return ("silent", "the sound is silent") if self._silent.lasts(now) else None

    def _happened(self, now: float) -> tuple[State, str] | None:
        for name, (at, text) in self._said.items():
            if now - at < SAID_SECONDS:
                return name, text
        if self._offset is None or abs(self._offset[0]) <= MOST_OFFSET_SECONDS + self._offset[1]:
            return None
        lag = self._offset[0]
        return "av_offset", f"sound has come to be {abs(round(20 * lag)) * 50} ms {'late' if lag > 0 else 'early'}"

    def slow(self, now: float) -> str:
        """By how much pictures come too seldom, in a sentence, until they have come well for a while; else empty."""
        rate, usual = self.rate(now), max(self._best_rate, self._least_rate)
        if len(self._pictures) > 2 and rate < usual / 2:
            self._slow = (now, f"pictures come less than half as often as the usual {usual:.0f} a second")
        # One that comes slowly through a demuxer comes when the next begins: what is told of it is old.
        return self._slow[1] if now - self._slow[0] < STEADY_SECONDS else ""

    def _look(self, luma: NDArray[np.uint8], now: float) -> None:
        black = luma.mean() < BLACK_LEVEL and np.percentile(luma, 99) < BLACK_LEVEL and luma.std() < BLACK_SPREAD
        self._black.push(now, so=bool(black))
        if self._before is not None and self._before.shape == luma.shape:
            change = np.abs(luma.astype(np.int16) - self._before)
            # Two pictures that are alike were so from the first on; what did not come meanwhile is another fault.
            since = max(self._looked, now - 2 * LOOK_SECONDS)
            self._still.push(since, so=bool(change.mean() < STILL_MEAN and change.max() <= STILL_MOST))
        self._before = luma


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    """Some pixels of some lines, `[h, w]`, as they lie in the decoder's memory where that is plain."""
    if frame.format.name not in PLANAR:
        frame = frame.reformat(format="gray")
    step, plane = max(1, frame.height // LINES), frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.array(lines[: frame.height : step, : frame.width : step])
