"""Sound from an input of this machine through PyAudio, each block with the time at which it was heard."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .portaudio import DeviceError, find, library, listed
from .quiet import STDERR, quiet

NANOSECONDS = 1_000_000_000
BLOCK_SECONDS = 0.1
SILENT_SECONDS = 2.5
"""Without a block for so long the input is taken for gone, and opened anew."""
LONGEST_PAUSE_SECONDS = 8.0
LOST_NS, WATCHED_NS, FOLLOW = 50_000_000, 2 * NANOSECONDS, 0.05


class MicrophoneError(Exception):
    """No way to hear; the message names the device and says what would be right."""


@dataclass(frozen=True)
class Block:
    """Heard from `stamp_ns` on (nanoseconds since 1970 or of another clock): `[n]` of -1 to 1 at `rate_hz`."""

    stamp_ns: int
    rate_hz: int
    samples: NDArray[np.float32]


class SampleClock:
    """Times blocks by counting samples: `push(now_ns, count)` gives when a block that came just now had begun.

    Blocks come late when a machine is busy, never early; so the least delay of the last 2 s is the card's own drift
    against the clock, which is followed slowly. Is the least more than 50 ms, samples were lost: the count then goes
    on from there, and `lost` tells how many so far.
    """

    def __init__(self, rate_hz: int) -> None:
        self.lost = 0
        self._rate_hz = rate_hz
        self._next_ns: float | None = None
        self._delays: deque[tuple[int, float]] = deque()

    def push(self, now_ns: int, count: int) -> int:
        """Take a block of `count` samples that came at `now_ns`; give the time of its first sample."""
        length_ns = count * NANOSECONDS / self._rate_hz
        if self._next_ns is None:
            self._next_ns = now_ns - length_ns
        delay = now_ns - (self._next_ns + length_ns)
        self._delays.append((now_ns, delay))
        while self._delays[0][0] < now_ns - WATCHED_NS:
            self._delays.popleft()
        # After a standstill what was kept up comes at once: that alone tells nothing of the card.
        whole = self._delays[0][0] <= now_ns - WATCHED_NS + 2 * length_ns
        least = min(delay for _, delay in self._delays)
        if delay < 0:
            self._shift(delay)
        elif whole and least > LOST_NS:
            self.lost += round(least * self._rate_hz / NANOSECONDS)
            self._shift(least)
        elif whole:
            self._shift(FOLLOW * least)
        stamp = self._next_ns
        self._next_ns += length_ns
        return round(stamp)

    def _shift(self, by_ns: float) -> None:
        assert self._next_ns is not None
        self._next_ns += by_ns
        self._delays = deque((at, delay - by_ns) for at, delay in self._delays)


class Microphone:
    """Hears until closed: `heard(block)` is called from a thread of PortAudio's, ten times a second.

    `device` is the number or a part of the name of an input, or empty for the system's. It is asked for `rate_hz`, and
    for its own rate where it cannot do that. An input that goes away is opened again, with pauses of 1 to 8 s;
    meanwhile `trouble` says so. `now_ns` is the clock of the stamps. MicrophoneError where there is no such input.
    """

    def __init__(
        self, device: str, rate_hz: int, heard: Callable[[Block], None], *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._now_ns = now_ns
        self._name = f"microphone {device!r}" if device else "microphone"
        self._device, self._wished_hz, self._heard = device, rate_hz, heard
        self.trouble, self._lost, self._clock = "", 0, SampleClock(rate_hz)
        self._ended = threading.Event()
        self._open()
        self._thread = threading.Thread(target=self._keep_open, name="microphone", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many samples never came."""
        return self._lost + self._clock.lost

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()
        self._thread.join()
        self._opened.close()

    def _open(self) -> None:
        with contextlib.ExitStack() as opened:
            try:
                self._pyaudio, audio = library(), listed()  # anew each time: it lists the devices once
                opened.callback(audio.terminate)
                index = find(audio, "Input", self._device)
                self._rate_hz = self._rate(audio, index)
                self._lost, self._clock = self.lost, SampleClock(self._rate_hz)
                self._latency_ns, self._came = 0, time.monotonic()
                with quiet((STDERR,)):
                    stream = audio.open(
                        format=self._pyaudio.paFloat32, channels=1, rate=self._rate_hz, input=True,
                        input_device_index=index, frames_per_buffer=round(BLOCK_SECONDS * self._rate_hz),
                        stream_callback=self._take,
                    )  # fmt: skip
            except (DeviceError, OSError) as error:
                msg = f"{self._name}: {error}"
                raise MicrophoneError(msg) from None
            opened.callback(stream.close)
            self._latency_ns = round(stream.get_input_latency() * NANOSECONDS)
            self._opened = opened.pop_all()

    def _rate(self, audio: Any, index: int) -> int:  # noqa: ANN401 - PyAudio has no types
        try:
            kind = self._pyaudio.paFloat32
            audio.is_format_supported(self._wished_hz, input_device=index, input_channels=1, input_format=kind)
        except ValueError:
            return int(audio.get_device_info_by_index(index)["defaultSampleRate"])
        return self._wished_hz

    def _take(self, data: bytes, count: int, _times: object, _status: int) -> tuple[None, int]:
        self._came, self.trouble = time.monotonic(), ""
        stamp_ns = self._clock.push(self._now_ns() - self._latency_ns, count)
        self._heard(Block(stamp_ns, self._rate_hz, np.frombuffer(data, np.float32)))
        return None, self._pyaudio.paContinue

    def _keep_open(self) -> None:
        while not self._ended.wait(0.1):
            if time.monotonic() - self._came < SILENT_SECONDS:
                continue
            self.trouble = f"{self._name}: nothing comes from it"
            self._opened.close()
            pause = 1.0
            while not self._ended.is_set():
                try:
                    self._open()
                    break
                except MicrophoneError as error:
                    self.trouble = str(error)
                self._ended.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
