"""A microphone of this machine as a feed of a live source."""

from __future__ import annotations

import threading
import time

from edge.clip import Packet
from edge.microphone import Block, Microphone, MicrophoneError
from edge.rosaudio import NANOSECONDS, Resampler

from .clock import MediaClock, Medium
from .feed import LONGEST_PAUSE, Taker
from .ring import Coded


class Ear:
    """Hears `device` until closed; like a `Feed`. Samples that never came are counted in `lost`."""

    media: frozenset[Medium] = frozenset({"audio"})
    brings: frozenset[Medium] = media
    busy, undecodable = 0.0, 0

    def __init__(self, device: str, rate_hz: int, *, origin: float) -> None:
        self.connections, self.thrifty = 0, False
        self.clock: MediaClock[None] = MediaClock()
        self._device, self._rate_hz, self._origin_ns = device, rate_hz, round(origin * NANOSECONDS)
        self._resampler = Resampler(rate_hz)
        self._microphone: Microphone | None = None
        self._missing, self._hears = "", False
        self._closed = threading.Event()

    @property
    def connected(self) -> bool:
        """Whether it hears."""
        return self._hears and not self.trouble

    @property
    def trouble(self) -> str:
        """Why it does not hear; empty while it does."""
        return self._missing if self._microphone is None else self._microphone.trouble

    @property
    def lost(self) -> int:
        """How many samples never came."""
        return 0 if self._microphone is None else self._microphone.lost

    @property
    def came_at(self) -> float:
        """The microphone itself is opened anew when nothing comes."""
        return time.monotonic()

    def start(self, taker: Taker) -> None:
        """Begin to hear, now or once there is such a device."""
        self._taker = taker
        threading.Thread(target=self._open, name="ear", daemon=True).start()

    def close(self) -> None:
        """Hear no more."""
        self._closed.set()

    def _open(self) -> None:
        while not self._closed.is_set() and self._microphone is None:
            try:
                self._microphone = Microphone(self._device, self._rate_hz, self._hear, now_ns=time.monotonic_ns)
            except MicrophoneError as error:
                self._missing = str(error)
                self._closed.wait(LONGEST_PAUSE)

    def _hear(self, block: Block) -> None:
        now = time.monotonic() - self._origin_ns / NANOSECONDS
        if not self._hears:
            self._hears, self.connections = True, self.connections + 1
            self._taker.began(self)
        for stamp_ns, samples in self._resampler.push(block.stamp_ns, block.rate_hz, block.samples[:, None]):
            at = (stamp_ns - self._origin_ns) / NANOSECONDS
            self._taker.coded(Coded("audio", at, at, key=True, data=samples.tobytes(), form=None))
            self._taker.decoded(Packet(at, audio=samples), now)
