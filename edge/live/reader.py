"""The process that reads one live source: what a broken decoder or a hostile stream can do ends with it."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av

from edge.clip import Clip, Packet
from edge.sources import reason
from edge.windows import Windower

from .address import parse
from .clock import Medium
from .ear import Ear
from .feed import Feed, Speaker
from .ring import Coded, Ring, jpeg, write_clip, write_thumbnail
from .talk import Begin, End, Order, Picture, Pulse, Report, Save, Saved, Show, Spare, cut, read_order, send
from .watch import State, Watch

PULSE_SECONDS = 0.25
SHOW_SECONDS = 5.0
"""After nobody asked for so long, no more pictures are sent."""
PREVIEW_WIDTH = 640
POST_SECONDS = 0.5
"""A clip is written so long after its end, when the last packets of it have come."""
APART_SECONDS = 0.1
"""How uncertain the offset of two devices is: a block of sound, and what a picture takes."""
WAIT_SECONDS = 1.0
"""A second waits for a medium that is late for so long, no longer."""
STUCK_SECONDS = 10.0
"""A connection that neither brings anything nor ends for so long is stuck in a driver: the process ends, and is begun
anew."""


class Reader:
    """Brings the feeds of one source together: seconds, states, pictures for who looks, and clips."""

    def __init__(self, connection: Connection, begin: Begin) -> None:
        self._connection, self._begin, self._origin = connection, begin, begin.origin
        self._lock, self._sending = threading.RLock(), threading.Lock()
        self._ring, self._last_start, self._second = Ring(), -1.0, -1
        self._newest: tuple[float, Any] | None = None
        self._looked_at, self._spec = float("-inf"), begin.clip
        self._saves: list[Save] = []
        self._make_feeds()
        self._jumps: dict[Feed | Ear, int] = {}
        self._watch = Watch(begin.clip.frames_per_second)
        for feed in self._feeds:
            self._watch.expect(feed.media, self._now())
        self._windower = self._new_windower()

    def _make_feeds(self) -> None:
        begin, rate = self._begin, self._begin.clip.sample_rate_hz
        asked: dict[Medium, bool] = {"video": begin.sees, "audio": begin.hears}
        media = frozenset(medium for medium, wanted in asked.items() if wanted)
        self._feeds: list[Feed | Ear] = []
        for url, mine in ((begin.url, media - {"audio"} if begin.sound else media), (begin.sound, media & {"audio"})):
            if not url or not mine:
                continue
            address = parse(url, decoder=begin.decoder)
            if address.microphone is not None:
                self._feeds.append(Ear(address.microphone, rate, origin=begin.origin))
            else:
                self._feeds.append(Feed(address, mine, rate, origin=begin.origin))

    def run(self) -> None:
        """Read until told to end, or until the owner is gone."""
        for feed in self._feeds:
            feed.start(self)
        threading.Thread(target=self._tick, name="pulse", daemon=True).start()
        try:
            while not isinstance(order := read_order(self._connection), End):
                self._obey(order)
            self._write_due(ending=True)
        except (EOFError, OSError):
            pass  # the owner is gone
        for feed in self._feeds:
            feed.close()

    # What feeds bring, in their threads.

    def began(self, feed: Speaker) -> None:
        """A connection is there."""
        with self._lock:
            self._watch.begin(feed.brings, feed.media - feed.brings, self._now())
            if len(self._feeds) == 1:
                self._windower = self._new_windower()

    def coded(self, item: Coded) -> None:
        """Keep a packet as it came."""
        with self._lock:
            self._ring.push(item)
            if item.medium == "video":
                self._watch.came_picture(item.decode_time, self._now())

    def decoded(self, packet: Packet, now: float) -> None:
        """Put a picture or a run of sound into its second."""
        with self._lock:
            if isinstance(packet.frame, av.VideoFrame):
                self._watch.saw(packet.frame, now)
                self._newest = (packet.time, packet.frame)
                if math.floor(packet.time) != self._second:
                    self._second, self._windower.spec = math.floor(packet.time), self._spec
            if packet.audio is not None:
                self._watch.heard(packet.audio, now)
            self._give(self._windower.push(packet), now)

    def over(self, feed: Speaker) -> None:
        """A connection ended; what it brought of its last second is given unless another feed goes on."""
        with self._lock:
            if not any(other.connected for other in self._feeds if other is not feed):
                self._give(self._windower.flush(), self._now())
                self._windower = self._new_windower()

    # What the owner wants.

    def _obey(self, order: Order) -> None:
        match order:
            case Show():
                self._looked_at = time.monotonic()
            case Save():
                with self._lock:
                    self._saves.append(order)
            case Spare():
                clip = self._begin.clip
                width, height = max(16, round(clip.width * order.size)), max(16, round(clip.height * order.size))
                self._spec = replace(clip, frames_per_second=order.frames_per_second, width=width, height=height)
                for feed in self._feeds:
                    feed.thrifty = order.thrifty

    def _tick(self) -> None:
        while True:
            time.sleep(PULSE_SECONDS)
            stuck = [feed for feed in self._feeds if feed.connected and time.monotonic() - feed.came_at > STUCK_SECONDS]
            try:
                self._send(self._pulse())
                self._show()
            except OSError:
                return
            if stuck:
                os._exit(3)
            self._write_due()

    def _show(self) -> None:
        newest = self._newest
        if newest is not None and time.monotonic() - self._looked_at < SHOW_SECONDS:
            self._newest = None
            self._send(Picture(newest[0], jpeg(newest[1], PREVIEW_WIDTH)))

    def _write_due(self, *, ending: bool = False) -> None:
        with self._lock:
            now = self._now()
            connected = any(feed.connected for feed in self._feeds)
            due = [s for s in self._saves if ending or now > s.end + (POST_SECONDS if connected else 0)]
            self._saves = [save for save in self._saves if save not in due]
            jobs = [(save, self._ring.between(save.start, save.end)) for save in due]
        if ending:
            self._write(jobs)
        elif jobs:
            threading.Thread(target=self._write, args=(jobs,), daemon=True).start()

    def _write(self, jobs: list[tuple[Save, list[Coded]]]) -> None:
        for save, items in jobs:
            try:
                start, end = write_clip(items, Path(save.path), self._begin.clip.sample_rate_hz)
                if save.thumbnail:
                    write_thumbnail(Path(save.path), save.middle - start, Path(save.thumbnail))
                self._send(Saved(save.id, start, end, ""))
            except (av.FFmpegError, OSError, ValueError) as error:
                self._send(Saved(save.id, 0, 0, reason(error)))

    # What the owner is told.

    def _give(self, clips: list[Clip], now: float) -> None:
        for clip in clips:
            if clip.start <= self._last_start:
                continue
            self._last_start = clip.start
            blind = "" if clip.frames is None else self._watch.blind(now)
            deaf, offset = "" if clip.audio is None else self._watch.deaf(now), self._offset()
            told = replace(
                clip,
                frames=None if blind else clip.frames,
                times=() if blind else clip.times,
                audio=None if deaf else clip.audio,
                faults=(*clip.faults, *filter(None, (blind, deaf))),
                av_offset_ms=None if offset is None else round(1000 * offset[0], 1),
                av_uncertainty_ms=None if offset is None else round(1000 * offset[1], 1),
            )
            if told.frames is not None or told.audio is not None:
                self._send(cut(told))

    def _pulse(self) -> Pulse:
        with self._lock:
            now, offset = self._now(), self._offset()
            state, message = self._state(now, offset)
            return Pulse(
                state=state,
                message=message,
                reconnects=sum(max(0, feed.connections - 1) for feed in self._feeds),
                frames_per_second=self._watch.rate(now),
                av_offset_ms=None if offset is None else round(1000 * offset[0], 1),
                av_uncertainty_ms=None if offset is None else round(1000 * offset[1], 1),
                busy=max((feed.busy for feed in self._feeds), default=0.0),
                lost_samples=sum(feed.lost for feed in self._feeds),
                undecodable=sum(feed.undecodable for feed in self._feeds),
            )

    def _state(self, now: float, offset: tuple[float, float] | None) -> tuple[State, str]:
        away = [feed for feed in self._feeds if not feed.connected]
        if len(away) == len(self._feeds):
            trouble = away[0].trouble
            return ("offline", f"{trouble}; it is tried again") if trouble else ("connecting", "is being opened")
        for feed in self._feeds:
            if feed.clock.jumps > self._jumps.get(feed, 0):
                self._watch.say("timestamps", feed.clock.jumped, now)
            self._jumps[feed] = feed.clock.jumps
        self._watch.lag(offset)
        state, message = self._watch.state(now)
        troubles = "; ".join(feed.trouble for feed in away if feed.trouble)
        return state, f"{message} ({troubles})" if troubles and state.startswith("no_") else message

    def _offset(self) -> tuple[float, float] | None:
        """By how many seconds sound lags: measured within one stream; two have nothing in common but their arrival."""
        if len(self._feeds) > 1:
            return 0.0, APART_SECONDS
        if self._watch.slow(self._now()):
            return None  # a demuxer keeps each picture until the next one begins
        return self._feeds[0].clock.offset()

    def _new_windower(self) -> Windower:
        media = self._watch.wants
        return Windower(self._spec, video="video" in media, audio="audio" in media, max_wait_seconds=WAIT_SECONDS)

    def _now(self) -> float:
        return time.monotonic() - self._origin

    def _send(self, report: Report) -> None:
        with self._sending:
            send(self._connection, report)


def main(descriptor: str) -> None:
    """Read the first order from an inherited socket, and be the reader."""
    connection = Connection(int(descriptor))
    begin = read_order(connection)
    assert isinstance(begin, Begin)
    Reader(connection, begin).run()
    os._exit(0)  # threads that stand in a driver would keep the process


if __name__ == "__main__":
    main(sys.argv[1])
