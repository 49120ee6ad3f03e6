"""`touchline overlay`: a recording with the decisions drawn in."""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from . import bars
from .clip import Packet
from .containers import LENIENT
from .diff import Watched
from .sinks import SinkError
from .sources import Source, SourceError

COPIED_SOUND = ("aac", "mp3float")
"""Kept as it is; other sound becomes AAC, which every player of MP4 plays."""
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
ENCODER = {"crf": "19", "preset": "veryfast"}
Planes = list[NDArray[np.uint8]]
"""A picture as brightness and two colours: `[h, w]`, `[h/2, w/2]` and `[h/2, w/2]`."""
Layer = list[tuple[NDArray[np.uint16], NDArray[np.uint16]]]
"""For each plane, what the band adds, and how much of 256 stays of the picture."""
Timed = tuple[float, list[Any]]
"""A media time, and packets of it for the file."""

log = logging.getLogger(__name__)


def draw(url: str, out: Path, watched: Watched, progress: Callable[[float], None]) -> None:
    """Write `out`, the recording as MP4 with a band of bars in each second; whole or not at all.

    Size (made even), times of pictures and sound are the recording's; `progress` is told the media time reached.
    SourceError or SinkError say what is wrong.
    """
    draft = out.with_name(f".{out.name}.part")
    try:
        with (
            Source(url, watched.bundle.manifest.clip.sample_rate_hz, audio=False) as pictures,
            av.open(url, **LENIENT) as original,
            av.open(str(draft), "w", format="mp4", options={"movflags": "faststart"}) as target,
        ):
            for time, packets in _film(pictures, original, target, watched):
                target.mux(packets)
                progress(time)
        draft.replace(out)
    except (OSError, av.FFmpegError) as error:
        msg = f"{out}: cannot be written ({(error.strerror or str(error)).lower()})"
        raise SinkError(msg) from None
    finally:
        draft.unlink(missing_ok=True)


def length_of(url: str) -> float | None:
    """The length of a recording in seconds, None if unknown; SourceError if it has no picture large enough for bars."""
    with Source(url, 16000, audio=False) as pictures:
        height, width = _planes(next(iter(pictures)).frame)[0].shape
        if width < bars.SMALLEST[0] or height < bars.SMALLEST[1]:
            msg = (
                f"{url}: its picture is {width} x {height}; bars need {' x '.join(map(str, bars.SMALLEST))} to be read"
            )
            raise SourceError(msg)
        return pictures.duration


def _film(pictures: Source, original: Any, target: Any, watched: Watched) -> Iterator[Timed]:  # noqa: ANN401 - av's
    """Encode picture and sound, in the order of their times."""
    frames = iter(pictures)
    first = next(frames)
    height, width = _planes(first.frame)[0].shape
    stream = _picture_stream(target, first.frame, original.streams.video[0], (width, height))
    origin = (original.start_time or 0) / av.time_base
    sound = _sound(original, target, origin)
    drawn = _drawn(chain([first], frames), stream, watched, pictures.duration)
    return heapq.merge(drawn, sound, key=lambda timed: timed[0])


def _picture_stream(target: Any, frame: Any, like: Any, size: tuple[int, int]) -> Any:  # noqa: ANN401 - av's
    stream = target.add_stream("libx264", rate=like.average_rate or 30, options=ENCODER)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.thread_type = "AUTO"
    context = stream.codec_context
    context.time_base = frame.time_base
    if like.sample_aspect_ratio:
        ratio = like.sample_aspect_ratio
        context.sample_aspect_ratio = 1 / ratio if frame.rotation % 180 else ratio
    context.colorspace, context.color_range = frame.colorspace, frame.color_range
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    return stream


def _drawn(packets: Iterable[Packet], stream: Any, watched: Watched, duration: float | None) -> Iterator[Timed]:  # noqa: ANN401
    seconds = {math.floor(second.start): second for second in watched.seconds}
    length = duration or max(seconds, default=0) + 1
    form = bars.form(stream.width, stream.height)
    shown, last = -math.inf, -math.inf
    layer: Layer = []
    for packet in packets:
        frame: Any = packet.frame
        at = math.floor(packet.time + 1e-6)
        if at != shown:
            pixels, cover = bars.band(
                seconds.get(at),
                at,
                labels=watched.bundle.manifest.labels,
                events=watched.events,
                duration=length,
                form=form,
            )
            shown, layer = at, _layer(pixels, cover, frame.colorspace)
        pts = frame.pts - round((frame.time - packet.time) / frame.time_base)
        if pts > last:
            last = pts
            yield packet.time, stream.encode(_blended(frame, layer, pts))
    yield math.inf, stream.encode(None)


def _layer(pixels: NDArray[np.uint8], cover: NDArray[np.uint8], colorspace: int) -> Layer:
    """Take the band apart as a picture is."""
    picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
    coded = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709 if colorspace == 1 else None)
    layer = []
    for plane in _planes(coded):
        height, width = plane.shape
        share = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint16)
        share += share >> 7  # 255 becomes 256
        layer.append((plane * share, 256 - share))
    return layer


def _blended(frame: Any, layer: Layer, pts: int) -> Any:  # noqa: ANN401 - av.VideoFrame
    """Put the band over the foot of a picture; the rest of it stays as it was decoded."""
    planes = _planes(frame)
    for plane, (added, stays) in zip(planes, layer, strict=True):
        foot = plane[-len(added) :]
        foot[:] = (foot * stays + added + 128) >> 8
    height, width = planes[0].shape
    flat = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
    drawn: Any = av.VideoFrame.from_ndarray(flat, "yuv420p")
    drawn.pts, drawn.time_base = pts, frame.time_base
    return drawn


def _planes(frame: Any) -> Planes:  # noqa: ANN401 - av.VideoFrame
    """Copy a picture's planes, upright as its metadata says, with even sides."""
    width, height = frame.width // 2 * 2, frame.height // 2 * 2
    flat = frame.reformat(width, height, "yuv420p").to_ndarray().reshape(-1)
    luma, chroma = width * height, width * height // 4
    sizes = ((0, height, width), (luma, height // 2, width // 2), (luma + chroma, height // 2, width // 2))
    turns = round(frame.rotation / 90) % 4
    return [np.rot90(flat[at : at + h * w].reshape(h, w), turns) for at, h, w in sizes]


def _sound(original: Any, target: Any, origin: float) -> Iterator[Timed]:  # noqa: ANN401 - av's
    """Prepare the sound's stream, and carry its packets over: as they are, or encoded anew."""
    if not original.streams.audio:
        return iter(())
    source = original.streams.audio[0]
    if source.codec_context.name in COPIED_SOUND:
        return _copied(original, source, target.add_stream_from_template(source), origin)
    return _encoded(original, source, target.add_stream("aac", rate=_rate(source.rate)), origin)


def _rate(rate: int) -> int:
    return rate if rate in AAC_RATES else 48000


def _copied(original: Any, source: Any, stream: Any, origin: float) -> Iterator[Timed]:  # noqa: ANN401 - av's
    last = -math.inf
    for packet in _demuxed(original, source):
        if packet.dts is None or packet.pts is None or packet.dts <= last:
            continue
        last = packet.dts
        time = float(packet.pts * packet.time_base) - origin
        offset = round(origin / packet.time_base)
        packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, stream
        yield time, [packet]


def _encoded(original: Any, source: Any, stream: Any, origin: float) -> Iterator[Timed]:  # noqa: ANN401 - av's
    stream.layout = source.layout
    for packet in _demuxed(original, source):
        try:
            frames = packet.decode()
        except av.FFmpegError:  # as where it is judged: the rest is used
            continue
        for frame in frames:
            if frame.pts is not None:
                time = frame.time - origin
                frame.pts -= round(origin / frame.time_base)
                yield time, stream.encode(frame)
    yield math.inf, stream.encode(None)


def _demuxed(original: Any, source: Any) -> Iterator[Any]:  # noqa: ANN401 - av's
    try:
        yield from original.demux(source)
    except av.FFmpegError as error:
        log.warning("%s: the sound ends early: %s", original.name, str(error).lower())
