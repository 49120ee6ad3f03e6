"""What a live address opens, and what is never shown of it."""

from __future__ import annotations

import pytest

from edge.config import ConfigError
from edge.live.address import is_live, name_of, parse, shown, with_password


@pytest.mark.parametrize(
    ("url", "form", "protocols"),
    [
        ("rtsp://cam/one", "rtsp", {"rtsp", "rtp", "tcp", "udp"}),
        ("rtsps://cam/one", "rtsp", {"rtsp", "rtp", "tcp", "udp", "tls"}),
        ("udp://239.1.1.1:5000", "mpegts", {"udp"}),
        ("rtp://127.0.0.1:5000", "rtp", {"rtp", "udp"}),
        ("http://host/live.m3u8", "hls", {"http", "tcp", "crypto"}),
        ("https://host/live.ts", "mpegts", {"https", "tls", "tcp"}),
        ("http://cam/video.mjpg", "mpjpeg", {"http", "tcp"}),
        ("v4l2:///dev/video0?size=1280x720&rate=30", "v4l2", {"file"}),
    ],
)
def test_demuxer_and_protocols_are_those_that_were_asked_for(url, form, protocols):
    address = parse(url)
    assert address.format == form
    assert set(address.options["protocol_whitelist"].split(",")) == protocols
    assert is_live(url)


def test_a_camera_is_asked_for_its_modes():
    address = parse("v4l2:///dev/video2?size=640x480&rate=25&format=yuyv422")
    assert address.target == "/dev/video2"
    assert address.options["video_size"] == "640x480"
    assert (address.options["framerate"], address.options["input_format"]) == ("25", "yuyv422")
    assert parse("v4l2:///dev/video0").options["input_format"] == "mjpeg", "raw pictures would fill the memory"


def test_rtsp_comes_over_tcp_unless_udp_is_asked_for():
    assert parse("rtsp://cam/one").options["rtsp_transport"] == "tcp"
    address = parse("rtsp://cam/one?channel=2&transport=udp")
    assert (address.target, address.options["rtsp_transport"]) == ("rtsp://cam/one?channel=2", "udp")


def test_microphones_are_named():
    assert parse("mic://USB%20Audio").microphone == "USB Audio"
    assert parse("mic://default").microphone == parse("mic://").microphone == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rtmp://host/x", "no kind of live source; known are rtsp://"),
        ("udp://host", "names no port"),
        ("rtsp:///one", "names no host"),
        ("rtsp://host:x/one", "not an address"),
        ("rtsp://cam/one?transport=carrier-pigeon", "must be tcp or udp"),
        ("http://host/live.avi", r"over http come .m3u8, .ts"),
        ("v4l2:///etc/passwd", "must name a device"),
        ("v4l2:///dev/video0?gain=3", "gain is not known"),
        ("v4l2:///dev/video0?size=big", "1280x720 would be right"),
        ("rtsp://cam/a b", "has no blanks"),
    ],
)
def test_a_wrong_address_is_explained_in_one_sentence(url, words):
    with pytest.raises(ConfigError, match=words) as error:
        parse(url)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://me:s3cret@cam/one",
        "srt://host:9000?passphrase=s3cret",
        "rtsp://me:s3cret@cam",
        "http://h/a.m3u8?token=s3cret",
    ],
)
def test_secrets_are_never_shown(url):
    assert "s3cret" not in shown(url)
    assert "s3cret" not in name_of(url)
    assert "***" in shown(url)


def test_a_password_comes_from_a_file_and_is_quoted(tmp_path):
    (tmp_path / "pw").write_text("p@ss/word\n")
    assert with_password("rtsp://cam:554/one", "me", str(tmp_path / "pw")) == "rtsp://me:p%40ss%2Fword@cam:554/one"
    assert with_password("rtsp://cam/one", "", "") == "rtsp://cam/one"
    with pytest.raises(ConfigError, match="none: cannot be read"):
        with_password("rtsp://cam/one", "me", str(tmp_path / "none"))


def test_a_recording_is_not_live():
    assert not is_live("match.mp4")
    assert not is_live("/videos/match.mp4")
    assert name_of("videos/match.mp4") == "match"
    assert name_of("rtsp://cam.local:8554/stream1") == "cam.local-8554/stream1"
