"""Media in: anything PyAV opens as a stream of timestamped Packets on one clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Queue
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import av
import numpy as np

from .clip import Packet
from .containers import LENIENT

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
log = logging.getLogger(__name__)


class SourceError(Exception):
    """Media that cannot be read; the message names the file and what is wrong with it."""


class SourceNotFoundError(SourceError):
    """A source that was named wrongly: nothing is there, or no media file."""


class Source:
    """A media file, opened: iterate it for its Packets in decoding order.

    `video` and `audio` say which media it has (and were asked for); `duration` is in seconds, None if unknown.
    `undecodable` counts the packets that a decoder refused and that were skipped. Sound comes resampled to mono at
    `sample_rate_hz`; pictures stay as decoded. Media time 0 is where the container starts. 0 `decoder_threads` are as
    many as the decoder likes.
    """

    def __init__(
        self, url: str, sample_rate_hz: int, *, video: bool = True, audio: bool = True, decoder_threads: int = 0
    ) -> None:
        _refuse_no_file(Path(url))
        self.url = url
        self.undecodable = 0
        try:
            self._container = av.open(url, **LENIENT)
        except (av.FFmpegError, ValueError) as error:
            msg = f"{url}: not readable as media ({reason(error)}); it may be cut off or of another kind"
            raise SourceError(msg) from None
        if self._container.format.name == "tty":  # as such FFmpeg opens any .txt, and draws its letters
            self._container.close()
            msg = f"{url}: not readable as media (it is text)"
            raise SourceError(msg)
        pictures = [s for s in self._container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        self._video = pictures[0] if video and pictures else None
        self._audio = self._container.streams.audio[0] if audio and self._container.streams.audio else None
        self.video, self.audio = self._video is not None, self._audio is not None
        if not (self.video or self.audio):
            self._container.close()
            wanted = " or ".join(name for name, asked in (("picture", video), ("sound", audio)) if asked)
            msg = f"{url}: has no {wanted} that the bundle could judge"
            raise SourceError(msg)
        self._origin = (self._container.start_time or 0) / av.time_base
        self.duration = self._container.duration / av.time_base if self._container.duration else None
        if self._video is not None:
            self._video.thread_type = "AUTO"
            self._video.codec_context.thread_count = decoder_threads
        self._rate = sample_rate_hz
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate_hz)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Packet]:
        """Decode to the end; SourceError when nothing could be decoded at all."""
        count = 0
        for packet in self._demux():
            for decoded in self._decode(packet):
                count += 1
                yield decoded
        for decoded in self._resampled(None):
            count += 1
            yield decoded
        if count == 0:
            msg = f"{self.url}: no picture or sound in it could be decoded"
            raise SourceError(msg)
        if self.undecodable:
            what = "1 packet" if self.undecodable == 1 else f"{self.undecodable} packets"
            log.warning("%s: %s could not be decoded; the rest is used", self.url, what)

    def _demux(self) -> Iterator[Any]:
        streams = [stream for stream in (self._video, self._audio) if stream is not None]
        demuxer = self._container.demux(streams)
        while True:
            try:
                yield next(demuxer)
            except StopIteration:
                return
            except av.FFmpegError as error:
                log.warning("%s: reading stopped early: %s", self.url, reason(error))
                return

    def _decode(self, packet: Any) -> Iterator[Packet]:  # noqa: ANN401 - av.Packet of either medium
        try:
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    yield from self._resampled(frame)
                elif frame.time is not None:
                    yield Packet(frame.time - self._origin, frame=frame)
        except av.FFmpegError:
            self.undecodable += 1

    def _resampled(self, frame: av.AudioFrame | None) -> Iterator[Packet]:
        if self._audio is None:
            return
        for resampled in self._resampler.resample(frame):
            samples = resampled.to_ndarray().reshape(-1)
            if resampled.pts is not None and resampled.time_base is not None:
                yield Packet(float(resampled.pts * resampled.time_base) - self._origin, audio=np.asarray(samples))


def _refuse_no_file(path: Path) -> None:
    if path.is_dir():
        msg = f"{path}: is a directory; name one media file"
    elif not path.exists():
        msg = f"{path}: no such file"
    elif path.stat().st_size == 0:
        msg = f"{path}: the file is empty"
    else:
        return
    raise SourceNotFoundError(msg)


def paced(packets: Iterable[Packet]) -> Iterator[Packet]:
    """Hold each packet back until its media time has come on the clock, as a live source would."""
    began = None
    for packet in packets:
        if began is None:
            began = time.monotonic() - packet.time
        time.sleep(max(0.0, began + packet.time - time.monotonic()))
        yield packet


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """Run `items` in a thread of its own, at most `depth` ahead, so that decoding overlaps with what follows."""
    queue: Queue[tuple[T | None, BaseException | None]] = Queue(maxsize=depth)
    stop = Flag()

    def produce() -> None:
        failure: BaseException | None = None
        try:
            for item in items:
                queue.put((item, None))
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - carried over and raised in the consumer
            failure = error
        queue.put((None, failure or StopIteration()))

    thread = Thread(target=produce, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, failure = queue.get()
            if isinstance(failure, StopIteration):
                return
            if failure is not None:
                raise failure
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.01)


def reason(error: Exception) -> str:
    """Name an FFmpeg error in words, without the address, which may hold a password."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
