"""Pieces of media files: a clip that browsers play, and a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from .containers import LENIENT
from .windows import picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAYED = {"h264", "vp9", "av1"}, {"aac", "mp3", "opus"}
"""What browsers play in an MP4 file, picture and sound; all else is encoded anew."""
ENCODER, ENCODER_OPTIONS = "libx264", {"preset": "ultrafast", "crf": "26"}
MOST_PIXELS = 640
"""The width of what is encoded anew."""
QUALITY = 80
TICK = Fraction(1, 90_000)


def cut(source: str | Path, start: float, end: float, target: Path, *, exact: bool = False) -> float:
    """Write media seconds `start` to `end` of a file as MP4, whole or not at all; return where the clip begins.

    It is copied without decoding, so it begins with a key frame at or before `start`; what browsers do not play, and
    what must be `exact`, is encoded. av.FFmpegError says what fails.
    """
    with av.open(str(source), **LENIENT) as container, draft(target) as part:
        streams: list[Any] = [*_moving(container)[:1], *container.streams.audio[:1]]
        origin = (container.start_time or 0) / av.time_base
        container.seek(round((origin + start) * av.time_base))
        copied = not exact and all(s.codec_context.name in PLAYED[s.type == "audio"] for s in streams)
        with av.open(str(part), "w", format="mp4", options={"movflags": "faststart"}) as out:
            write = _copy if copied else _encode
            return write(container, out, streams, (origin + start, origin + end)) - origin


def save_picture(source: str | Path, time: float, target: Path, width: int = 320) -> None:
    """Write the picture at a media time as JPEG; nothing for media without any."""
    with av.open(str(source), **LENIENT) as container:
        for stream in _moving(container)[:1]:
            origin = (container.start_time or 0) / av.time_base
            container.seek(round((origin + time) * av.time_base))
            frame = None
            for frame in container.decode(stream):
                if frame.time is not None and frame.time >= origin + time:
                    break
            if frame is not None:
                with draft(target) as part:
                    part.write_bytes(jpeg(frame, width))


def jpeg(frame: VideoFrame | NDArray[np.uint8], width: int) -> bytes:
    """Encode a decoded frame, or RGB `[h, w, 3]`, as JPEG, at most `width` pixels wide, upright."""
    if isinstance(frame, VideoFrame):
        sideways = frame.rotation % 180 != 0
        high, wide = (frame.width, frame.height) if sideways else (frame.height, frame.width)
    else:
        high, wide = frame.shape[:2]
    width = min(width, wide)
    rgb = picture(frame, width, max(1, round(high * width / wide)), VideoReformatter())
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes()


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give a name to write to; the file gets its own name once it is whole."""
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _moving(container: Any) -> list[Any]:  # noqa: ANN401 - an av container
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def _copy(container: Any, out: Any, streams: list[Any], span: tuple[float, float]) -> float:  # noqa: ANN401
    """Copy packets from the key frame before the span on, in the order of the file."""
    begin = -math.inf
    targets = {stream.index: out.add_stream_from_template(stream) for stream in streams}
    leader = streams[0]
    for packet in container.demux(streams):
        if packet.dts is None or packet.pts is None:
            continue
        time = float(packet.pts * packet.time_base)
        if begin == -math.inf:
            if packet.stream is not leader:
                continue
            begin = time
        if packet.stream is leader and packet.dts * packet.time_base >= span[1]:
            break
        if time < begin or time >= span[1] + 1:
            continue
        shift = round(Fraction(begin) / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = targets[packet.stream.index]
        out.mux(packet)
    return begin


def _encode(container: Any, out: Any, streams: list[Any], span: tuple[float, float]) -> float:  # noqa: ANN401
    """Decode the span and encode it as H.264 and AAC, stamped from 0 on."""
    start, end = span
    targets = {stream.type == "video": _target(out, stream) for stream in streams}
    for frame in container.decode(streams):
        if frame.time is None or frame.time < start:
            continue
        if frame.time >= end:
            break
        kind, time = isinstance(frame, VideoFrame), frame.time - start
        target = targets[kind]
        if kind:
            frame = frame.reformat(target.width, target.height, "yuv420p")  # noqa: PLW2901
            frame.pict_type = 0  # the encoder's choice, not that of the file
        frame.time_base = TICK if kind else Fraction(1, frame.sample_rate)
        frame.pts = round(time / frame.time_base)
        out.mux(target.encode(frame))
    for target in targets.values():
        out.mux(target.encode(None))
    return start


def _target(out: Any, stream: Any) -> Any:  # noqa: ANN401 - av streams
    if stream.type == "audio":
        return out.add_stream("aac", rate=stream.codec_context.sample_rate)
    target, codec = out.add_stream(ENCODER, rate=30, options=ENCODER_OPTIONS), stream.codec_context
    width = min(codec.width, MOST_PIXELS)
    target.width, target.height = width // 2 * 2, round(codec.height * width / codec.width) // 2 * 2
    target.pix_fmt, target.codec_context.time_base = "yuv420p", TICK
    return target
