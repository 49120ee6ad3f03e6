"""Addresses of live sources: what each opens, pinned to the demuxer and the protocols that it asks for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from edge.config import ConfigError

SECRETS = ("passphrase", "password", "token", "key", "auth")
"""Parts of a query that are never shown."""
MPEGTS = {"probesize": "500000", "analyzeduration": "1000000"}
"""A second of probing tells the streams of an MPEG transport stream; FFmpeg's default waits for five."""


@dataclass(frozen=True)
class Address:
    """What to open: FFmpeg's `target` by demuxer `format` with `options`, or the output of `program` by it.

    `name` may be shown: it holds no password. `microphone` is the name of an input, None for what is no microphone.
    What comes in pieces of some seconds is `paced`: played as it would have come.
    """

    name: str
    target: str = ""
    format: str = ""
    options: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ()
    microphone: str | None = None
    paced: bool = False


def is_live(url: str) -> bool:
    """Whether a source is live: a stream, a camera or a microphone, and no recording."""
    return urlsplit(url).scheme in OPENINGS or (url.startswith("/dev/video") and Path(url).is_char_device())


def parse(url: str, *, decoder: str = "ffmpeg") -> Address:
    """Read an address; ConfigError says, without its password, what is wrong with it."""
    parts = _split(url)
    if parts.scheme not in OPENINGS:
        msg = f"{shown(url)}: no kind of live source; known are {', '.join(f'{name}://' for name in OPENINGS)}"
        raise ConfigError(msg)
    if decoder != "ffmpeg":
        from .jetson import gstreamer

        return gstreamer(parts, shown(url))
    return OPENINGS[parts.scheme](parts, shown(url))


def name_of(url: str) -> str:
    """Name a source after its file, or after host, path and device of its address: never after a password."""
    if not is_live(url):
        return Path(url).stem
    parts = _split(url)
    return f"{parts.hostname or ''}{f'-{parts.port}' if parts.port else ''}{parts.path}".strip("/") or parts.scheme


def shown(url: str) -> str:
    """Write an address without what must stay secret: its password, and such parts of its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    user, at, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0] + ":***" if ":" in user else user
    query = re.sub(rf"(?i)((?:{'|'.join(SECRETS)})[^=&]*)=[^&]*", r"\1=***", parts.query)
    return urlunsplit(parts._replace(netloc=user + at + host, query=query))


def with_password(url: str, user: str, password_file: str) -> str:
    """Put the user and the password, which stands alone in a file, into an address; ConfigError if it cannot be read."""
    if not user:
        return url
    password = ""
    if password_file:
        try:
            password = ":" + quote(Path(password_file).read_text(encoding="utf-8").strip(), safe="")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{password_file}: cannot be read ({getattr(error, 'strerror', None) or error})"
            raise ConfigError(msg) from None
    parts = _split(url)
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}{password}@{parts.netloc.rpartition('@')[2]}"))


def _split(url: str) -> SplitResult:
    if url.startswith("/dev/video"):
        url = f"v4l2://{url}"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        msg = f"{shown(url)}: not an address ({error})"
        raise ConfigError(msg) from None
    if re.search(r"[\s\x00-\x1f]", url):
        msg = f"{shown(url)}: an address has no blanks"
        raise ConfigError(msg)
    return parts


def _host(parts: SplitResult, name: str, *, port: bool = False) -> None:
    if not parts.hostname or (port and not parts.port):
        msg = f"{name}: names no {'host' if not parts.hostname else 'port'}; {parts.scheme}://HOST:PORT would be right"
        raise ConfigError(msg)


def _rtsp(parts: SplitResult, name: str) -> Address:
    _host(parts, name)
    query = [pair for pair in parts.query.split("&") if not pair.startswith("transport=")]
    transport = dict(parse_qsl(parts.query)).get("transport", "tcp")
    if transport not in ("tcp", "udp"):
        msg = f"{name}: transport must be tcp or udp, not {transport!r}"
        raise ConfigError(msg)
    secure = parts.scheme == "rtsps"
    options = {
        "rtsp_transport": transport,
        "allowed_media_types": "video+audio",
        "protocol_whitelist": "rtsp,rtp,tcp,udp" + (",tls" if secure else ""),
        **({"tls_verify": "1"} if secure else {}),
        "max_delay": "300000",
    }
    return Address(name, urlunsplit(parts._replace(query="&".join(query))), "rtsp", options)


def _udp(parts: SplitResult, name: str) -> Address:
    _host(parts, name, port=True)
    # A lost datagram is a fault of a second, an overrun of the buffer as well: neither ends the stream.
    query = "&".join(filter(None, (parts.query, "overrun_nonfatal=1", "fifo_size=50000", "buffer_size=1048576")))
    url = urlunsplit(parts._replace(netloc=f"@{parts.netloc.rpartition('@')[2]}", path="", query=query))
    return Address(name, url, "mpegts", {"protocol_whitelist": "udp", **MPEGTS})


def _rtp(parts: SplitResult, name: str) -> Address:
    _host(parts, name, port=True)
    return Address(name, urlunsplit(parts), "rtp", {"protocol_whitelist": "rtp,udp", **MPEGTS})


def _http(parts: SplitResult, name: str) -> Address:
    _host(parts, name)
    secure = parts.scheme == "https"
    protocols = "https,tls,tcp" if secure else "http,tcp"
    options = {"protocol_whitelist": protocols, "multiple_requests": "0", **({"tls_verify": "1"} if secure else {})}
    kind = _HTTP_KINDS.get(PurePosixPath(parts.path).suffix.lower())
    if kind is None:
        msg = f"{name}: over http come {', '.join(_HTTP_KINDS)}; this ends in none of them"
        raise ConfigError(msg)
    if kind == "hls":
        options |= {"protocol_whitelist": f"{protocols},crypto", "live_start_index": "-2"}
    if kind == "mpegts":
        options |= MPEGTS
    return Address(name, urlunsplit(parts), kind, options, paced=kind == "hls")


_HTTP_KINDS = {".m3u8": "hls", ".ts": "mpegts", ".mjpg": "mpjpeg", ".mjpeg": "mpjpeg"}


def _srt(parts: SplitResult, name: str) -> Address:
    _host(parts, name, port=True)
    return Address(name, format="mpegts", options=MPEGTS, program=_srt_program(urlunsplit(parts), name))


def _srt_program(url: str, name: str) -> tuple[str, ...]:
    """PyAV's FFmpeg has no SRT, so a program receives it."""
    if found := shutil.which("srt-live-transmit"):
        return (found, "-loglevel:fatal", "-quiet", "-autoreconnect:no", "-chunk:1316", url, "file://con")
    if found := shutil.which("ffmpeg"):
        return (
            found, "-nostdin", "-loglevel", "error", *(word for pair in MPEGTS.items() for word in (f"-{pair[0]}", pair[1])),
            "-protocol_whitelist", "srt,udp", "-f", "mpegts", "-i", url,
            "-c", "copy", "-flush_packets", "1", "-f", "mpegts", "pipe:1",
        )  # fmt: skip
    msg = f"{name}: SRT needs srt-live-transmit: apt-get install srt-tools"
    raise ConfigError(msg)


def _camera(parts: SplitResult, name: str) -> Address:
    """A camera of this machine; `?size=1280x720&rate=30&format=mjpeg` ask for its modes (`v4l2-ctl --list-formats`)."""
    if not re.fullmatch(r"/dev/[A-Za-z0-9/_.-]+", parts.path) or parts.netloc:
        msg = f"{name}: must name a device, as in v4l2:///dev/video0"
        raise ConfigError(msg)
    asked = dict(parse_qsl(parts.query))
    unknown = set(asked) - set(_CAMERA)
    if unknown:
        msg = f"{name}: {', '.join(sorted(unknown))} is not known; a camera is asked for {', '.join(_CAMERA)}"
        raise ConfigError(msg)
    for key, value in asked.items():
        if not re.fullmatch(_CAMERA[key][1], value):
            msg = f"{name}: {key} cannot be {value!r}; {_CAMERA[key][2]} would be right"
            raise ConfigError(msg)
    options = {_CAMERA[key][0]: value for key, value in asked.items()}
    return Address(name, parts.path, "v4l2", {"protocol_whitelist": "file", "input_format": "mjpeg", **options})


_CAMERA = {
    "size": ("video_size", r"\d{2,5}x\d{2,5}", "1280x720"),
    "rate": ("framerate", r"\d{1,3}", "30"),
    "format": ("input_format", r"[a-z0-9]{3,10}", "mjpeg"),
}


def _microphone(parts: SplitResult, name: str) -> Address:
    device = unquote(parts.netloc + parts.path).strip("/")
    return Address(name, microphone="" if device == "default" else device)


OPENINGS: dict[str, Callable[[SplitResult, str], Address]] = {
    "rtsp": _rtsp,
    "rtsps": _rtsp,
    "srt": _srt,
    "udp": _udp,
    "rtp": _rtp,
    "http": _http,
    "https": _http,
    "v4l2": _camera,
    "mic": _microphone,
}
"""How each scheme is opened."""
