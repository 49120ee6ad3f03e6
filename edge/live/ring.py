"""The last seconds of a source as they came, still coded, so that an event can be kept with what went before it."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from .clock import Medium

KEEP_SECONDS = 20.0
MOST_BYTES = 64 * 2**20
PLAYS = {"video": ("h264", "hevc", "av1", "vp9"), "audio": ("aac", "mp3", "opus")}
"""What browsers play in MP4; anything else is coded anew when it is kept."""
GAP_SECONDS = 0.05
TICKS = Fraction(1, 90_000)


@dataclass(frozen=True, eq=False)
class Form:
    """What a stream is, as a `template` that outlives its connection; `as_it_is` while its packets fit that."""

    template: Any
    codec: str
    size: tuple[int, int]
    rate_hz: int
    layout: str
    extradata: bytes | None
    as_it_is: bool = True


@dataclass(frozen=True, eq=False)
class Coded:
    """A packet as it came, its stamps in seconds of media time, and the stream whose form it has; or bare samples."""

    medium: Medium
    time: float
    decode_time: float
    key: bool
    data: bytes
    form: Form | None


class Ring:
    """Keeps packets of the last seconds, and sound without a codec; `push` takes them in order."""

    def __init__(self, keep_seconds: float = KEEP_SECONDS) -> None:
        self._keep = keep_seconds
        self._items: deque[Coded] = deque()
        self._bytes = 0

    def push(self, item: Coded) -> None:
        """Keep one, and drop what is too old or too much."""
        self._items.append(item)
        self._bytes += len(item.data)
        while self._items[0].time < item.time - self._keep or self._bytes > MOST_BYTES:
            self._bytes -= len(self._items.popleft().data)

    def clear(self) -> None:
        """Forget everything: what comes next cannot be in one file with what came."""
        self._items.clear()
        self._bytes = 0

    def between(self, start: float, end: float) -> list[Coded]:
        """Give what is needed to play from `start` to `end`: pictures from the key frame before, of one form."""
        items = list(self._items)
        keys = [item for item in items if item.medium == "video" and item.key]
        form = next((item.form for item in reversed(keys) if item.time <= end), None)
        keys = [item for item in keys if item.form is form]
        first = max(
            (item.time for item in keys if item.time <= start), default=min((k.time for k in keys), default=start)
        )
        sound = [item for item in items if item.medium == "audio" and first <= item.time <= end]
        sound = [item for item in sound if item.form is sound[-1].form]
        pictures = [
            item for item in items if item.form is form and first <= item.decode_time + 0.5 and item.time <= end
        ]
        while pictures and not (pictures[0].key and pictures[0].time >= first):
            pictures.pop(0)
        return sorted([*pictures, *sound], key=lambda item: item.decode_time)


def form_of(stream: Any) -> Form:  # noqa: ANN401 - av.Stream
    """Copy what a stream is; Matroska takes any codec."""
    template = av.open(io.BytesIO(), "w", format="matroska").add_stream_from_template(stream)
    codec = stream.codec_context
    if stream.type == "video":
        return Form(template, codec.name, (codec.width, codec.height), 0, "", codec.extradata)
    return Form(template, codec.name, (0, 0), codec.sample_rate, codec.layout.name, codec.extradata)


def write_clip(items: Sequence[Coded], path: Path, rate_hz: int) -> tuple[float, float]:
    """Write packets as an MP4 that begins at 0, whole or not at all; give the media time of its start and its end."""
    if not items:
        msg = "nothing of that time is kept"
        raise ValueError(msg)
    start, end = min(item.time for item in items), max(item.time for item in items)
    draft = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(draft), "w", format="mp4", options={"movflags": "+faststart"}) as output:
            first = {item.medium: item for item in reversed(items)}
            tracks = {medium: _Track(output, item, rate_hz) for medium, item in first.items()}
            for item in items:
                output.mux(tracks[item.medium].push(item, start))
            for track in tracks.values():
                output.mux(track.flush())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return start, end


class _Track:
    """One medium of a file: packets as they are, or coded anew where browsers would not play them."""

    def __init__(self, output: Any, item: Coded, rate_hz: int) -> None:  # noqa: ANN401 - av.OutputContainer
        form, self._last = item.form, -1
        self._decoder: Any = None
        self._encoder: Any = None
        if form is not None and form.as_it_is and form.codec in PLAYS[item.medium]:
            self._stream = output.add_stream_from_template(form.template)
            return
        if form is not None:
            self._decoder = av.CodecContext.create(form.codec, "r")
            self._decoder.extradata = form.extradata
            if item.medium == "audio":
                self._decoder.sample_rate, self._decoder.layout = form.rate_hz, form.layout
        if item.medium == "video":
            assert form is not None
            self._encoder = output.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
            self._encoder.codec_context.time_base, self._encoder.pix_fmt = TICKS, "yuv420p"
            self._encoder.width, self._encoder.height = (length // 2 * 2 for length in form.size)
        else:
            self._rate_hz = rate_hz if form is None else form.rate_hz
            self._encoder = output.add_stream("aac", rate=self._rate_hz, layout="mono")

    def push(self, item: Coded, start: float) -> list[Any]:
        if self._encoder is None:
            return [self._copied(item, start)]
        return [packet for frame in self._frames(item, start) for packet in self._encoder.encode(frame)]

    def flush(self) -> list[Any]:
        return [] if self._encoder is None else list(self._encoder.encode(None))

    def _copied(self, item: Coded, start: float) -> Any:  # noqa: ANN401 - av.Packet
        packet = av.Packet(item.data)
        packet.time_base, packet.stream, packet.is_keyframe = TICKS, self._stream, item.key
        packet.dts = self._last = max(self._last + 1, round((item.decode_time - start) / TICKS))
        packet.pts = max(packet.dts, round((item.time - start) / TICKS))
        return packet

    def _frames(self, item: Coded, start: float) -> Iterable[Any]:
        if self._decoder is None:
            frames = [_block(np.frombuffer(item.data, np.float32), self._rate_hz)]
        else:
            frames = self._decoder.decode(av.Packet(item.data))
        for frame in frames:
            if item.medium == "video":
                frame.pts = self._last = max(self._last + 1, round((item.time - start) / TICKS))
                frame.time_base = TICKS
            else:  # sound goes on where it was unless some is missing: coders take no overlap
                at, next_ = round((item.time - start) * self._rate_hz), self._last + 1
                frame.pts = next_ if abs(at - next_) < GAP_SECONDS * self._rate_hz else max(at, next_)
                self._last, frame.time_base = frame.pts + frame.samples - 1, Fraction(1, self._rate_hz)
            yield frame


def _block(samples: NDArray[np.float32], rate_hz: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate_hz
    return frame


def write_thumbnail(clip: Path, at: float, path: Path) -> None:
    """Write the picture of a clip nearest to `at` seconds as JPEG, whole or not at all; nothing where it has none."""
    with av.open(str(clip)) as container:
        if not container.streams.video:
            return
        container.seek(round(at * av.time_base), backward=True)
        frame = None
        for frame in container.decode(video=0):
            if (frame.time or 0) >= at:
                break
    if frame is not None:
        draft = path.with_name(f".{path.name}.part")
        draft.write_bytes(jpeg(frame, 480))
        draft.replace(path)


def jpeg(frame: av.VideoFrame, width: int) -> bytes:
    """Code a picture as JPEG, at most so wide."""
    width = min(width, frame.width) // 2 * 2
    height = max(2, round(frame.height * width / frame.width / 2) * 2)
    small = frame.reformat(width, height, "yuvj420p", interpolation="AREA")
    coder: Any = av.CodecContext.create("mjpeg", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = width, height, "yuvj420p", Fraction(1, 25)
    coder.options = {"qmin": "3", "qmax": "6"}
    small.pts, small.time_base = 0, coder.time_base
    return b"".join(bytes(packet) for packet in [*coder.encode(small), *coder.encode(None)])
