"""One connection after another to a live source: opened, read, decoded, stamped by one clock, opened again."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from edge.clip import Packet
from edge.containers import LENIENT
from edge.sources import reason

from .address import Address
from .clock import MediaClock, Medium
from .ring import Coded, Form, form_of

OPEN_SECONDS, READ_SECONDS = 6.0, 2.5
FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.5, 2.0, 20.0
"""Between two attempts; a camera locks who tries a wrong password too often."""
PACED_SECONDS, HICCUP_SECONDS = 30.0, 0.25
REFUSED = "user or password is refused"


class FeedError(Exception):
    """A source that cannot be opened, or whose connection broke; the message says why, without the address."""


class Speaker(Protocol):
    """What a taker asks of a feed, be it a `Feed` or an `Ear`."""

    media: frozenset[Medium]
    brings: frozenset[Medium]


class Taker(Protocol):
    """Who takes what a feed brings, in the feed's thread."""

    def began(self, feed: Speaker) -> None:
        """A connection is there."""

    def coded(self, item: Coded) -> None:
        """A packet as it came."""

    def decoded(self, packet: Packet, now: float) -> None:
        """A picture or a run of sound."""

    def over(self, feed: Speaker) -> None:
        """The connection is gone."""


class Feed:
    """Reads `media` of an address until closed, in a thread of its own; it connects anew, with pauses of 0.5 to 2 s.

    Media time counts from `origin`, monotonic seconds. `connected` and `trouble` say how it is, `brings` what media it
    has; `connections` counts, `undecodable` the packets that a decoder refused; `busy` is the share of time spent on
    anything but waiting. While `thrifty`, pictures that no other needs are not decoded.
    """

    def __init__(self, address: Address, media: frozenset[Medium], rate_hz: int, *, origin: float) -> None:
        self.address, self.media, self.brings = address, media, media
        self.connected, self.trouble, self.thrifty = False, "", False
        self.connections = self.undecodable = self.lost = 0
        self.busy, self.came_at = 0.0, time.monotonic()
        self.clock: MediaClock[tuple[Any, Form | None]] = MediaClock()
        self._rate_hz, self._origin = rate_hz, origin
        self._forms: dict[int, Form] = {}
        self._decoded: set[int] = set()
        self._ticks: dict[int, float] = {}
        self._due: float | None = None
        self._closed = threading.Event()
        self._program: subprocess.Popen[bytes] | None = None

    def start(self, taker: Taker) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, args=(taker,), name="feed", daemon=True).start()

    def close(self) -> None:
        """Connect no more, and end the program that receives."""
        self._closed.set()
        if self._program is not None:
            self._program.kill()

    def _run(self, taker: Taker) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                self._connect(taker)
                self.trouble = "the stream ended"
            except FeedError as error:
                self.trouble = str(error)
            if self.connected:
                self.connected, pause = False, FIRST_PAUSE
                taker.over(self)
            self._closed.wait(REFUSED_PAUSE if self.trouble == REFUSED else pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _connect(self, taker: Taker) -> None:
        try:
            with self._opened() as container:
                streams = self._chosen(container)
                self.clock, self.came_at, self._due = MediaClock(), time.monotonic(), None
                self.connected, self.connections, self.trouble = True, self.connections + 1, ""
                taker.began(self)
                self._read(container, streams, taker)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise FeedError(_explained(error)) from None
        finally:
            if self._program is not None:
                with self._program:  # closes its pipe and waits for its end
                    self._program.kill()

    def _opened(self) -> Any:  # noqa: ANN401 - av.InputContainer
        address = self.address
        if not address.program:
            return av.open(
                address.target, format=address.format, options=address.options, timeout=(OPEN_SECONDS, READ_SECONDS),
                **LENIENT,
            )  # fmt: skip
        self._program = subprocess.Popen(
            address.program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        assert self._program.stdout is not None
        pipe = Pipe(self._program.stdout.fileno())
        try:
            return av.open(pipe, format=address.format, options=address.options, **LENIENT)
        except av.FFmpegError:
            raise FeedError(pipe.trouble or "what comes cannot be read as media") from None

    def _chosen(self, container: Any) -> list[Any]:  # noqa: ANN401 - av.InputContainer
        """Choose what is decoded and what is kept: the same stream, unless a hardware decoder sends pictures beside."""
        found = [stream for stream in container.streams if stream.type in self.media]
        raw = [stream for stream in found if stream.codec_context.name == "rawvideo"]
        decoded = {stream.type: stream for stream in [*reversed(found), *raw]}
        kept = {stream.type: stream for stream in reversed([each for each in found if each not in raw] or found)}
        if not decoded:
            msg = f"brings no {' or '.join('picture' if m == 'video' else 'sound' for m in sorted(self.media))}"
            raise FeedError(msg)
        self.brings = self.media & decoded.keys()
        self._forms = {stream.index: form_of(stream) for stream in kept.values()}
        self._decoded = {stream.index for stream in decoded.values()}
        self._ticks = {stream.index: float(stream.time_base) for stream in found}  # fractions cost more than all else
        if (video := decoded.get("video")) is not None:
            # More threads hold pictures back and cost a little; one decodes 1080p in real time.
            video.thread_type = "SLICE"
            video.codec_context.thread_count = 1 if video.codec_context.height <= 1088 else 2
        return [stream for stream in found if stream.index in self._decoded | self._forms.keys()]

    def _read(self, container: Any, streams: list[Any], taker: Taker) -> None:  # noqa: ANN401 - av.InputContainer
        resampler, thrifty = _Resampler(self._rate_hz), False
        for packet, now in self._waited(container.demux(streams)):
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None:  # a server's first packets may have none; the decoder needs them all the same
                self._decode(packet, resampler, taker, now)
                continue
            tick, form = self._ticks[packet.stream_index], self._forms.get(packet.stream_index)
            for shift, (moved, then) in self.clock.push(packet.stream.type, stamp * tick, now, (packet, form)):
                tick = self._ticks[moved.stream_index]
                _move(moved, round(shift / tick))
                if then is not None:
                    taker.coded(_coded(moved, tick, then))
                self._decode(moved, resampler, taker, now)
            if thrifty != self.thrifty:
                thrifty = self.thrifty
                for stream in container.streams.video:
                    stream.codec_context.skip_frame = "NONREF" if thrifty else "DEFAULT"

    def _waited(self, packets: Iterator[Any]) -> Iterator[tuple[Any, float]]:
        """Give each packet with the time at which it came, in media time, and keep account of the time spent."""
        since, waited = time.monotonic(), 0.0
        while not self._closed.is_set():
            asked = time.monotonic()
            packet = next(packets, None)
            self._pace(packet)
            now = self.came_at = time.monotonic()
            waited += now - asked
            if now - since > 1:
                self.busy, since, waited = 1 - waited / (now - since), now, 0.0
            if packet is None:
                return
            if packet.size:
                yield packet, now - self._origin

    def _pace(self, packet: Any) -> None:  # noqa: ANN401 - av.Packet or None
        """Hold a packet back until it is due; one that is late moves all that follow."""
        if not self.address.paced or packet is None or packet.dts is None:
            return
        stamp, now = packet.dts * self._ticks[packet.stream_index], time.monotonic()
        early = PACED_SECONDS if self._due is None else self._due + stamp - now
        if not -HICCUP_SECONDS < early < PACED_SECONDS:
            self._due = now - stamp
        elif early > 0:
            self._closed.wait(early)

    def _decode(self, packet: Any, resampler: _Resampler, taker: Taker, now: float) -> None:  # noqa: ANN401 - av.Packet
        if packet.stream_index not in self._decoded:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.undecodable += 1
            return
        for frame in frames:
            if isinstance(frame, av.AudioFrame):
                for time_, samples in resampler.push(frame):
                    taker.decoded(Packet(time_, audio=samples), now)
            elif frame.time is not None:
                self._fit(packet.stream_index, frame)
                taker.decoded(Packet(frame.time, frame=frame), now)

    def _fit(self, index: int, frame: av.VideoFrame) -> None:
        """Pictures of another size do not fit the form that the connection began with."""
        form, size = self._forms.get(index), (frame.width, frame.height)
        if form is not None and form.size != size:
            self._forms[index] = replace(form, size=size, as_it_is=False)


class Pipe:
    """What a program writes, as a file that PyAV reads; `trouble` says why it ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._began = descriptor, False
        self.trouble = ""

    def read(self, size: int) -> bytes:
        """Wait for bytes; none when the program is over or says nothing."""
        patience = READ_SECONDS if self._began else OPEN_SECONDS
        if not select.select([self._descriptor], [], [], patience)[0]:
            self.trouble = "nothing comes"
            return b""
        data = os.read(self._descriptor, size)
        self._began = True
        if not data:
            self.trouble = "nobody answers, or the connection ended"
        return data


class _Resampler:
    """Brings sound to mono at one rate, whatever form each frame has."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._form: tuple[str, str, int] | None = None
        self._next: float | None = None
        self._made: Any = None

    def push(self, frame: av.AudioFrame) -> list[tuple[float, NDArray[np.float32]]]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form or self._jumped(frame):
            self._form, self._made = form, av.AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
        self._next = None if frame.time is None else frame.time + frame.samples / frame.sample_rate
        return [
            (out.time, np.frombuffer(out.planes[0], np.float32, out.samples).copy())
            for out in self._made.resample(frame)
            if out.time is not None
        ]

    def _jumped(self, frame: av.AudioFrame) -> bool:
        return frame.time is not None and self._next is not None and abs(frame.time - self._next) > 0.1


def _move(packet: Any, ticks: int) -> None:  # noqa: ANN401 - av.Packet
    packet.dts = packet.dts + ticks if packet.dts is not None else None
    packet.pts = packet.pts + ticks if packet.pts is not None else None


def _coded(packet: Any, tick: float, form: Form) -> Coded:  # noqa: ANN401 - av.Packet
    stamp = packet.dts if packet.dts is not None else packet.pts
    time_ = tick * (packet.pts if packet.pts is not None else stamp)
    return Coded(packet.stream.type, time_, tick * stamp, packet.is_keyframe, bytes(packet), form)


def _explained(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return "nothing comes"
    if isinstance(error, av.HTTPUnauthorizedError):
        return REFUSED
    return reason(error)
