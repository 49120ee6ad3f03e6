"""A camera of this machine, up to the device itself: in the kernel's place a pipe sends JPEG as a camera does."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from itertools import count
from multiprocessing import Pipe

import av
import numpy as np
import pytest
from brokers import until

from edge.live import feed
from edge.live.address import parse
from edge.live.reader import Reader
from edge.live.talk import Begin, Cut, End, Pulse, Save, Saved, Spare, read_report, send
from edge.manifest import ClipSpec

SPEC = ClipSpec(frames_per_second=5, width=32, height=24, sample_rate_hz=16_000)
URL = "v4l2:///dev/video0?size=320x240&rate=25&format=mjpeg"
GONE = FileNotFoundError(2, "No such file or directory", "/dev/video0")


class Camera:
    """Opens in FFmpeg's place: notes what was asked for, and gives pictures in real time while it is `plugged` in."""

    def __init__(self):
        self.plugged, self.asked, self._pipes = threading.Event(), [], []
        self._open = av.open

    def __call__(self, target, *arguments, **options):
        if target != "/dev/video0":
            return self._open(target, *arguments, **options)  # clips are written by the same function
        self.asked.append((options["format"], options["options"]))
        if not self.plugged.is_set():
            raise av.error.FileNotFoundError(*GONE.args)
        reading, writing = os.pipe()
        threading.Thread(target=self._send, args=(writing,), name="camera", daemon=True).start()
        self._pipes.append(os.fdopen(reading, "rb", buffering=0))
        return self._open(self._pipes[-1], format="nut")

    def _send(self, descriptor):
        """Send JPEG with stamps of the steady clock, as the kernel gives them."""
        with (
            os.fdopen(descriptor, "wb", buffering=0) as pipe,
            self._open(pipe, "w", format="nut", options={"flush_packets": "1"}) as out,
        ):
            coder = out.add_stream("mjpeg", rate=25)
            coder.width, coder.height, coder.pix_fmt = 320, 240, "yuvj420p"
            coder.codec_context.time_base, due = Fraction(1, 90_000), time.monotonic()
            for k in count():
                due += 1 / 25
                time.sleep(max(0.0, due - time.monotonic()))
                if not self.plugged.is_set():
                    return
                shown = av.VideoFrame.from_ndarray(ball(k % 25), format="rgb24").reformat(format="yuvj420p")
                shown.pts, shown.time_base = round(90_000 * due), Fraction(1, 90_000)
                out.mux(coder.encode(shown))

    def close(self):
        self.plugged.clear()
        busy = ("feed", "camera")
        assert until(lambda: all(thread.name not in busy for thread in threading.enumerate())), "a thread goes on"
        for pipe in self._pipes:
            pipe.close()


def ball(place):
    """A picture in which something moves."""
    shown = np.full((240, 320, 3), 60, np.uint8)
    shown[80:160, 10 * place : 10 * place + 60] = (250, 200, 30)
    return shown


@pytest.fixture
def camera(monkeypatch):
    camera = Camera()
    monkeypatch.setattr(feed.av, "open", camera)
    yield camera
    camera.close()


class Owner:
    """Who starts a reader, here in a thread, and hears its reports."""

    def __init__(self, camera):
        self.camera, self.origin, self.reports = camera, time.monotonic(), []
        self._mine, self._theirs = Pipe()
        begin = Begin(URL, "", "ffmpeg", SPEC, sees=True, hears=True, origin=self.origin)
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (Reader(self._theirs, begin).run, self._hear)
        ]
        for thread in self._threads:
            thread.start()

    def _hear(self):
        try:
            while True:
                self.reports.append(read_report(self._mine))
        except (EOFError, OSError):
            return

    def of(self, kind):
        return [report for report in list(self.reports) if isinstance(report, kind)]

    def state(self):
        pulses = self.of(Pulse)
        return (pulses[-1].state, pulses[-1].message) if pulses else ("", "")

    def tell(self, order):
        send(self._mine, order)

    def close(self):
        self.camera.plugged.clear()
        assert until(lambda: self.state()[0] == "offline", 5), self.state()
        self.tell(End())
        self._threads[0].join(5)
        self._theirs.close()
        self._threads[1].join(5)
        self._mine.close()


@pytest.fixture
def owner(camera, closing):
    return closing(Owner(camera))


def test_a_camera_is_opened_as_asked_judged_by_picture_alone_and_kept(owner, tmp_path):
    owner.camera.plugged.set()
    assert until(lambda: owner.state()[0] == "online", 10), owner.state()
    assert owner.camera.asked[-1] == (
        "v4l2",
        {"protocol_whitelist": "file", "input_format": "mjpeg", "video_size": "320x240", "framerate": "25"},
    )
    assert until(lambda: len(owner.of(Cut)) >= 3, 10)
    first, second = owner.of(Cut)[1:3]
    assert (second.start - first.start, first.audio) == (1.0, b"")
    assert (len(first.times), first.size) == (5, (24, 32))
    assert owner.of(Pulse)[-1].frames_per_second == pytest.approx(25, abs=3)
    clip = tmp_path / "clip.mp4"
    owner.tell(Save(1, first.start, second.start + 1, first.start, str(clip), str(tmp_path / "clip.jpg")))
    assert until(lambda: owner.of(Saved), 10)
    assert owner.of(Saved)[0].error == ""
    with av.open(str(clip)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264"]
    assert (tmp_path / "clip.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_camera_that_is_not_there_or_is_unplugged_is_waited_for(owner):
    assert until(lambda: owner.state()[0] == "offline", 5)
    assert owner.state()[1] == "no such file or directory; it is tried again"
    owner.camera.plugged.set()
    assert until(lambda: owner.state()[0] == "online", 5)
    owner.camera.plugged.clear()
    assert until(lambda: owner.state()[0] == "offline", 3), owner.state()
    owner.camera.plugged.set()
    assert until(lambda: owner.state()[0] == "online", 5), owner.state()
    assert owner.of(Pulse)[-1].reconnects == 1


def test_under_load_only_some_pictures_are_looked_at(owner):
    owner.camera.plugged.set()
    assert until(lambda: owner.of(Cut), 10)
    owner.tell(Spare(2, 0.5, thrifty=True))
    assert until(lambda: owner.of(Cut)[-1].size == (16, 16), 5)
    assert until(lambda: len(owner.of(Cut)[-1].times) == 2, 5)


def test_ffmpeg_takes_what_a_camera_is_asked_for_up_to_the_device(closing):
    address = parse(URL.replace("video0", "null"))  # what is no camera
    reading = closing(feed.Feed(address, frozenset({"video"}), 16_000, origin=0.0))
    reading.start(None)
    assert until(lambda: reading.trouble, 5) == "inappropriate ioctl for device"
