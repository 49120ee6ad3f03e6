"""The pipeline for a Jetson's decoder: parsed by GStreamer, and run with the software decoder in the other's place."""

from __future__ import annotations

import subprocess
import time
from urllib.parse import urlsplit

import av
import pytest
from brokers import free_port, program, until
from live_media import rtsp

from edge.config import ConfigError
from edge.live.feed import Feed
from edge.live.jetson import gstreamer, pipeline
from edge.live.ring import write_clip

SOFTWARE = "avdec_h264 ! videoconvert ! videoscale"


class Taken:
    """Takes what a feed brings."""

    def __init__(self):
        self.items, self.packets = [], []

    def began(self, feed):
        self.brings = feed.brings

    def coded(self, item):
        self.items.append(item)

    def decoded(self, packet, now):
        self.packets.append((packet, now))

    def over(self, feed):
        pass


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_gstreamer_parses_the_pipeline_and_lacks_nothing_but_nvidias_elements(codec):
    text = pipeline("rtsp://127.0.0.1:1/stream", codec=codec)
    done = subprocess.run([program("gst-launch-1.0"), "-q", *text.split()], capture_output=True, text=True, check=False)
    assert 'erroneous pipeline: no element "nvv4l2decoder"' in done.stderr
    assert "syntax error" not in done.stderr


@pytest.mark.slow
def test_decoded_pictures_sound_and_coded_packets_come_beside_each_other(closing, tmp_path):
    port = free_port()
    closing(rtsp(port))
    url = f"rtsp://127.0.0.1:{port}/stream"
    feed = closing(
        Feed(gstreamer(urlsplit(url), url, SOFTWARE), frozenset({"video", "audio"}), 16_000, origin=time.monotonic())
    )
    taken = Taken()
    feed.start(taken)
    assert until(lambda: len(taken.items) > 200, 20), feed.trouble
    assert taken.brings == {"video", "audio"}
    pictures = [packet.frame for packet, _ in taken.packets if packet.frame is not None]
    assert {(frame.width, frame.height) for frame in pictures} == {(640, 360)}
    assert any(packet.audio is not None for packet, _ in taken.packets)
    kept = list(taken.items)
    assert {item.form.codec for item in kept} == {"h264", "pcm_s16le"}
    write_clip(kept, tmp_path / "clip.mp4", 16_000)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [(s.type, s.codec_context.name) for s in container.streams] == [("video", "h264"), ("audio", "aac")] or [
            ("audio", "aac"),
            ("video", "h264"),
        ]
        assert container.streams.video[0].width == 320


def test_what_would_break_the_pipeline_is_refused():
    for url in ("rtsp://me:a!b@cam/one", "udp://127.0.0.1:5000", 'rtsp://cam/"one"'):
        with pytest.raises(ConfigError, match="special characters written as %21"):
            gstreamer(urlsplit(url), "shown")
    with pytest.raises(ConfigError, match="codec is h264 or h265"):
        gstreamer(urlsplit("rtsp://cam/one?codec=vp8"), "shown")
