"""ROS images as video frames, without a copy where the format allows it; no ROS needed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import av.filter
import cv2
import numpy as np
from numpy.typing import NDArray


class ImageError(Exception):
    """An image that cannot be used; the message says why and what would be right."""


@dataclass(frozen=True)
class _Layout:
    """How an encoding lies in memory: FFmpeg's name, bytes a pixel in a row of `step`, rows a row of the picture.

    `view`: PyAV makes a frame of the array itself, else of a copy.
    """

    format: str
    pixel_bytes: int = 1
    rows: float = 1.0
    view: bool = True


LAYOUTS = {
    "rgb8": _Layout("rgb24", 3),
    "bgr8": _Layout("bgr24", 3),
    "8UC3": _Layout("bgr24", 3),
    "rgba8": _Layout("rgba", 4),
    "bgra8": _Layout("bgra", 4),
    "8UC4": _Layout("bgra", 4),
    "mono8": _Layout("gray"),
    "8UC1": _Layout("gray"),
    "mono16": _Layout("gray16le", 2),
    "yuv422": _Layout("uyvy422", 2, view=False),
    "uyvy": _Layout("uyvy422", 2, view=False),
    "yuv422_yuy2": _Layout("yuyv422", 2, view=False),
    "yuyv": _Layout("yuyv422", 2, view=False),
    "nv21": _Layout("yuv420p", rows=1.5, view=False),
    "nv24": _Layout("nv24", rows=3, view=False),
    "bayer_rggb8": _Layout("bayer_rggb8"),
    "bayer_bggr8": _Layout("bayer_bggr8"),
    "bayer_gbrg8": _Layout("bayer_gbrg8"),
    "bayer_grbg8": _Layout("bayer_grbg8"),
}
"""Encodings of sensor_msgs/image_encodings.hpp that are taken; the names without channels are as OpenCV writes them."""


def video_frame(message: Any) -> av.VideoFrame:  # noqa: ANN401 - sensor_msgs/Image, or what has its fields
    """Make a frame of a sensor_msgs/Image; ImageError says in one sentence why not.

    Of RGB, BGR, grey and Bayer pictures the frame is a view of the message's data.
    """
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        depth = ": it holds distances, not a picture" if message.encoding in ("16UC1", "32FC1") else ""
        msg = f"encoding {message.encoding!r} is not taken{depth}; known are {', '.join(LAYOUTS)}"
        raise ImageError(msg)
    height, width, step = message.height, message.width, message.step
    if not (height and width):
        msg = f"an image of {width} x {height} holds no picture"
        raise ImageError(msg)
    if step < width * layout.pixel_bytes:
        msg = f"step is {step}; a row of {width} pixels in {message.encoding} has {width * layout.pixel_bytes} bytes"
        raise ImageError(msg)
    rows = int(height * layout.rows)
    data = np.frombuffer(message.data, np.uint8)
    if data.size < rows * step:
        msg = f"data has {data.size} bytes; {height} rows in {message.encoding} with step {step} have {rows * step}"
        raise ImageError(msg)
    array = data[: rows * step].reshape(rows, step)
    if layout.view:
        return _view(array, layout, width, big_endian=bool(message.is_bigendian))
    return _copy(array, layout, width, height)


def compressed_frame(message: Any) -> av.VideoFrame:  # noqa: ANN401 - sensor_msgs/CompressedImage
    """Decode a sensor_msgs/CompressedImage (JPEG, PNG); ImageError if that is not what it holds."""
    data = np.frombuffer(message.data, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        msg = f"{data.size} bytes of format {message.format!r} are not a JPEG or PNG picture"
        raise ImageError(msg)
    return av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture, np.uint8), "bgr24")


def _view(array: NDArray[np.uint8], layout: _Layout, width: int, *, big_endian: bool) -> av.VideoFrame:
    rows = array[:, : width * layout.pixel_bytes]
    if layout.format == "gray16le":
        words: NDArray[np.uint16] = np.ascontiguousarray(rows).view(np.uint16)
        ordered: NDArray[np.uint16] = words.byteswap().view(np.uint16) if big_endian else words
        return av.VideoFrame.from_numpy_buffer(ordered, layout.format)
    if not rows.flags.c_contiguous:
        rows = np.ascontiguousarray(rows)  # rows are padded
    shaped = rows if layout.pixel_bytes == 1 else rows.reshape(len(rows), width, layout.pixel_bytes)
    return av.VideoFrame.from_numpy_buffer(shaped, layout.format)


def _copy(array: NDArray[np.uint8], layout: _Layout, width: int, height: int) -> av.VideoFrame:
    if layout.format == "yuv420p":
        return _planar(array, width, height)
    frame = av.VideoFrame(width, height, layout.format)
    row = 0
    for plane in frame.planes:
        used = width * layout.pixel_bytes * (2 if layout.format == "nv24" and row else 1)
        stride = used if row else array.shape[1]
        source = array.reshape(-1)[row * array.shape[1] :][: height * stride]
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
        target[:, :used] = source.reshape(height, stride)[:, :used]
        row += height
    return frame


def _planar(array: NDArray[np.uint8], width: int, height: int) -> av.VideoFrame:
    """Take V and U of NV21 apart: what decoders give, and FFmpeg scales the colours of the two layouts differently."""
    if width % 2 or height % 2:
        msg = f"nv21 has one colour for 2 x 2 pixels, and {width} x {height} is odd"
        raise ImageError(msg)
    frame = av.VideoFrame(width, height, "yuv420p")
    colours = array[height:, :width]
    for plane, source in zip(frame.planes, (array[:height, :width], colours[:, 1::2], colours[:, ::2]), strict=True):
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        target[:, : source.shape[1]] = source
    _graph, graph_in, graph_out = _siting(width, height, threading.get_ident())
    graph_in.push(frame)
    sited: av.VideoFrame = graph_out.pull()
    return sited


@cache
def _siting(width: int, height: int, _thread: int) -> tuple[Any, Any, Any]:
    """Make the filter that says where the colours of 2 x 2 pixels lie: to the left, as in H.264.

    FFmpeg scales frames that do not say it otherwise. The graph must live as long as its ends.
    """
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 1000))
    says, sink = graph.add("setparams", "chroma_location=left"), graph.add("buffersink")
    source.link_to(says)
    says.link_to(sink)
    graph.configure()
    return graph, source, sink
