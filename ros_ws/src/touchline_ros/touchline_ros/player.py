"""A recording as a camera and a microphone: a media file, or one of ROS, as images and sound with stamps."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool

from edge.bag import Bag, is_bag
from edge.clip import Packet
from edge.rosaudio import AudioError
from edge.sources import Source, SourceError

from . import audio
from .health import Part, report
from .judge import NANOSECONDS
from .life import live
from .parameters import Setting, declare
from .said import time_at

SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at start, without a lifecycle manager"),
    Setting("path", "", "media file, or recording of ROS (.mcap, .db3, rosbag2 folder), to play"),
    Setting("wait", 0.0, "seconds to wait at most for somebody who listens to image", 0.0, 600.0),
    Setting("rate", 1.0, "how many times as fast as it was recorded", 0.05, 100.0),
    Setting("loop", default=False, description="begin again at the end; stamps go on"),
    Setting(
        "encoding",
        "nv21",
        "of the images: nv21 keeps what the decoder gave (of RGB, rgb8 does)",
        choices=("nv21", "rgb8", "compressed"),
    ),
    Setting("audio_type", "none", "type of the topic audio", choices=("none", audio.STAMPED)),
    Setting("sample_rate_hz", 16000, "of the sound", 8000, 48000),
    Setting("frame_id", "camera", "frame of the images"),
    Setting("clock", default=False, description="publish /clock, for nodes with use_sim_time"),
    Setting("end_after", -1.0, "seconds after the end at which the process ends; -1: never", -1.0, 3600.0),
    Setting("start", 0, "stamp of the beginning, whole seconds since 1970; 0: now", 0, 2_000_000_000),
)
QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
OVERRIDABLE = QoSOverridingOptions.with_default_policies()
FLOAT32 = 1
"""PortAudio's paFloat32."""


class PlayerNode(LifecycleNode):
    """Plays while active, and says on `~/ended` (latched by its last value) when the recording is over."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__("player", **options)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._published: list[Any] = []
        self._count, self._trouble = 0, ""
        declare(self, SETTINGS, lambda: None, lambda: self._thread is not None)
        report(self, lambda: [Part("player", self._trouble, values={"published": self._count})])

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the recording and the topics."""
        try:
            with self._source():
                pass
            self._open()
        except (SourceError, AudioError) as error:
            self.get_logger().error(str(error))
            self._close()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Play from the beginning."""
        self._stop.clear()
        self._count = 0
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)
        self._thread.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop."""
        self._rest()
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and close."""
        self._rest()
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def _value(self, name: str) -> Any:  # noqa: ANN401 - parameters are of many types
        return self.get_parameter(name).value

    def _source(self) -> Source | Bag:
        kind = Bag if is_bag(self._value("path")) else Source
        return kind(self._value("path"), self._value("sample_rate_hz"), audio=self._value("audio_type") != "none")

    def _open(self) -> None:
        compressed = self._value("encoding") == "compressed"
        kind = CompressedImage if compressed else Image
        self._images = self.create_publisher(kind, "image", QOS, qos_overriding_options=OVERRIDABLE)
        self._ended = self.create_publisher(Bool, "~/ended", QOS)
        self._published = [self._images, self._ended]
        self._sounds: Any = None
        if self._value("audio_type") != "none":
            self._sound = audio.message_class(self._value("audio_type"))
            self._sounds = self.create_publisher(self._sound, "audio", QOS, qos_overriding_options=OVERRIDABLE)
            self._published.append(self._sounds)
        self._clocks = self.create_publisher(Clock, "/clock", QOS) if self._value("clock") else None
        if self._clocks is not None:
            self._published.append(self._clocks)

    def _close(self) -> None:
        for published in self._published:
            self.destroy_publisher(published)
        self._published = []

    def _rest(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _play(self) -> None:
        waits = time.monotonic() + self._value("wait")
        while not self._images.get_subscription_count() and time.monotonic() < waits and not self._stop.wait(0.05):
            pass
        began, rate = time.monotonic(), self._value("rate")
        origin_ns = (self._value("start") or int(time.time())) * NANOSECONDS
        try:
            for packet in self._packets():
                self._stop.wait(max(0.0, began + packet.time / rate - time.monotonic()))
                if self._stop.is_set():
                    return
                self._publish(packet, origin_ns)
        except SourceError as error:
            self._trouble = str(error)
            self.get_logger().error(self._trouble)
        self._ended.publish(Bool(data=True))
        lingers = self._value("end_after")
        if lingers >= 0 and not self._stop.wait(lingers):
            os.kill(os.getpid(), signal.SIGTERM)  # the process ends as if somebody had ended it

    def _packets(self) -> Iterator[Packet]:
        offset = 0.0
        while True:
            end = offset
            with self._source() as source:
                for packet in source:
                    end = max(end, offset + packet.time)
                    yield Packet(offset + packet.time, packet.frame, packet.audio)
            if not self._value("loop"):
                return
            offset = float(int(end) + 1)

    def _publish(self, packet: Packet, origin_ns: int) -> None:
        stamp = time_at(origin_ns, packet.time)
        if self._clocks is not None:
            self._clocks.publish(Clock(clock=stamp))
        if packet.frame is not None:
            image = image_message(packet.frame, self._value("encoding"))
            image.header.stamp, image.header.frame_id = stamp, self._value("frame_id")
            self._images.publish(image)
        elif packet.audio is not None and self._sounds is not None:
            message = self._sound()
            message.header.stamp = stamp
            about = message.audio.info
            about.format, about.channels, about.rate, about.chunk = FLOAT32, 1, self._value("sample_rate_hz"), 0
            message.audio.audio_data.float32_data.frombytes(packet.audio.tobytes())
            self._sounds.publish(message)
        self._count += 1


def image_message(frame: Any, encoding: str) -> Image | CompressedImage:  # noqa: ANN401 - av.VideoFrame
    """Make a message of a decoded frame; `nv21` keeps every byte of the decoder's yuv420p.

    Frames in RGB, as cameras of ROS give them, and those of odd size become `rgb8` under it.
    """
    if encoding == "compressed":
        coded = cv2.imencode(".jpg", frame.to_ndarray(format="bgr24"), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        packed = CompressedImage(format="jpeg")
        packed.data.frombytes(coded.tobytes())
        return packed
    width, height = frame.width, frame.height
    if encoding == "nv21" and not (width % 2 or height % 2 or frame.format.is_rgb):
        if frame.format.name not in ("yuv420p", "yuvj420p"):
            frame = frame.reformat(format="yuv420p")
        y, u, v = (_plane(plane) for plane in frame.planes)
        data = y.tobytes() + np.stack([v, u], -1).tobytes()
        image = Image(width=width, height=height, encoding="nv21", step=width)
    else:
        data = frame.to_ndarray(format="rgb24").tobytes()
        image = Image(width=width, height=height, encoding="rgb8", step=3 * width)
    image.data.frombytes(data)
    return image


def _plane(plane: Any) -> Any:  # noqa: ANN401 - av.VideoPlane as an array [rows, columns]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width]


def main() -> int:
    """Run the node."""
    return live([PlayerNode])
