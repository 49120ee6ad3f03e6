"""The hardware decoder of a Jetson: GStreamer reads a camera and hands on small pictures, sound, and the packets."""

from __future__ import annotations

import re
import shutil
from urllib.parse import SplitResult, parse_qsl, urlunsplit

from edge.config import ConfigError

from .address import Address

HARDWARE = "nvv4l2decoder ! nvvidconv"
"""NVIDIA's elements (Jetson Linux developer guide, "Accelerated GStreamer"): decodes, and scales without the CPU."""
PICTURES = "video/x-raw,format=I420,width=640,height=360"
CODECS = ("h264", "h265")
QUOTABLE = re.compile(r"[A-Za-z0-9._~:/?#@$&()*+,;=%\[\]-]+")


def gstreamer(parts: SplitResult, name: str, decode: str = HARDWARE) -> Address:
    """Open an RTSP camera through `gst-launch-1.0`; `?codec=h265&sound=none` say what it sends. ConfigError.

    Of its pictures ten a second come decoded; all come coded as well, for the clips of events.
    """
    if parts.scheme != "rtsp" or not QUOTABLE.fullmatch(urlunsplit(parts)):
        msg = f"{name}: the hardware decoder reads rtsp:// with special characters written as %21; leave `decoder` out"
        raise ConfigError(msg)
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        msg = f"{name}: the hardware decoder needs GStreamer: apt-get install gstreamer1.0-tools"
        raise ConfigError(msg)
    asked = {"codec": "h264", "sound": "aac", **dict(parse_qsl(parts.query))}
    if asked["codec"] not in CODECS or asked["sound"] not in ("aac", "none"):
        msg = f"{name}: codec is h264 or h265, sound is aac or none"
        raise ConfigError(msg)
    url = urlunsplit(parts._replace(query=""))
    text = pipeline(url, decode, codec=asked["codec"], sound=asked["sound"] == "aac")
    return Address(name, format="matroska", program=(launch, "-q", *text.split()))


def pipeline(url: str, decode: str = HARDWARE, *, codec: str = "h264", sound: bool = True) -> str:
    """Write the pipeline: a stream of Matroska with coded pictures, decoded ones, and sound."""
    audio = (
        " camera. ! application/x-rtp,media=audio ! rtpmp4gdepay ! aacparse ! avdec_aac ! audioconvert ! audioresample"
        " ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! queue ! out."
    )
    return (
        f"rtspsrc name=camera location={url} protocols=tcp latency=200"
        " matroskamux name=out streamable=true min-index-interval=1000000000 ! fdsink fd=1"
        f" camera. ! application/x-rtp,media=video ! rtp{codec}depay ! {codec}parse config-interval=-1 ! tee name=coded"
        " coded. ! queue ! out."
        f" coded. ! queue ! {decode} ! {PICTURES} ! videorate drop-only=true ! video/x-raw,framerate=10/1 ! queue ! out."
        f"{audio if sound else ''}"
    )
