"""The configuration: where a bundle runs. It never changes what the models are (see `manifest`)."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .events import SegmenterConfig
from .messages import topic_id
from .speech.voices import Engine
from .strict import StrictError, strict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Pace = Literal["realtime", "fast"]
MEMORY_ONLY = "none"
MOST_STREAMS = 200
"""Open streams of the page: each is a connection, and the page takes 256."""


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the file, the key and what would be right."""


@dataclass(frozen=True)
class Source:
    """What to watch: `url` is a media file or a live source; `name` is its name in topics, by default the file's.

    A live source may have its `sound` from elsewhere. `user` and `password_file`, in which the password stands alone,
    go into `url`, where they would show. `decoder` is the software's, or the hardware's of a Jetson.
    """

    url: str = ""
    name: str = ""
    pace: Pace = "fast"
    sound: str = ""
    user: str = ""
    password_file: str = ""
    decoder: Literal["ffmpeg", "jetson"] = "ffmpeg"


@dataclass(frozen=True)
class Mqtt:
    """Where events go: `mqtt[s]://[user[:password]@]host[:port][/base]`; `node` names this device, by default the host.

    `outbox` is the folder where messages wait until they are delivered, by default `touchline` in XDG_STATE_HOME;
    `none` keeps them in memory only. `outbox_mb` is what they may take there. `delivery` says when a message is
    delivered: when the broker has it, or when all `consumers` have committed it. `ca`, `certificate` and `key` are
    PEM files (see `tls`); the password stands in `password_file`. `envelope` is the form of events, `home_assistant`
    announces the node to Home Assistant, `publish_ticks` is how that switch stands at first.
    """

    url: str = ""
    node: str = ""
    outbox: str = ""
    outbox_mb: int = 256
    delivery: Literal["broker", "end-to-end"] = "broker"
    consumers: tuple[str, ...] = ()
    user: str = ""
    password_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    alpn: str = ""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    envelope: Literal["plain", "cloudevents"] = "plain"
    home_assistant: bool = False
    publish_ticks: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.outbox_mb <= 2**20:
            msg = f"outbox_mb: must be 1 to {2**20} megabytes, not {self.outbox_mb}"
            raise ValueError(msg)
        if (self.delivery == "end-to-end") != bool(self.consumers):
            msg = 'consumers: name who acknowledges exactly when delivery = "end-to-end"'
            raise ValueError(msg)
        for name in self.consumers:
            if topic_id(name) != name:
                msg = f"consumers: {name!r} must be 1 to 64 letters, digits, - or _"
                raise ValueError(msg)
        if self.delivery == "end-to-end" and self.outbox == MEMORY_ONLY:
            msg = 'outbox: "none" keeps nothing until it is acknowledged; end-to-end delivery needs a folder'
            raise ValueError(msg)

    @property
    def folder(self) -> Path | None:
        """Where the outbox is; None: in memory only."""
        if self.outbox == MEMORY_ONLY:
            return None
        return Path(self.outbox).expanduser() if self.outbox else state_folder()


@dataclass(frozen=True)
class Web:
    """The page, at `address` (`HOST:PORT` or `PORT`; empty: none), and the clips of events that it shows.

    The token is in TOUCHLINE_WEB_TOKEN, else in `token_file`, else made and kept beside the outbox. `certificate` and
    `key` are PEM files: the page is https then. `streams` browsers may watch at once. Clips are in the folder `clips`,
    from `pre_seconds` before an event to `post_seconds` after it, `clip_seconds` of the event at most (a live source
    remembers 20 s); those that a person has judged are in `retraining`, in a folder for each label.
    """

    address: str = ""
    token_file: str = ""
    certificate: str = ""
    key: str = ""
    streams: int = 32
    clips: str = ""
    pre_seconds: float = 5.0
    post_seconds: float = 2.0
    clip_seconds: float = 10.0
    retraining: str = ""

    def __post_init__(self) -> None:
        if self.address:
            _ = self.place
        if not 1 <= self.streams <= MOST_STREAMS:
            msg = f"streams: must be 1 to {MOST_STREAMS}, not {self.streams}"
            raise ValueError(msg)
        for name, most in (("pre_seconds", 20), ("post_seconds", 20), ("clip_seconds", 120)):
            if not 0 <= getattr(self, name) <= most:
                msg = f"{name}: must be 0 to {most} seconds, not {getattr(self, name)}"
                raise ValueError(msg)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of `address`."""
        host, _, port = self.address.rpartition(":")
        if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535 or (":" in host and host[0] + host[-1] != "[]"):
            msg = f"address: must be HOST:PORT or PORT, such as 127.0.0.1:8080, not {self.address!r}"
            raise ValueError(msg)
        return host.strip("[]") or "127.0.0.1", int(port)

    @property
    def clips_folder(self) -> Path:
        """Where clips are."""
        return Path(self.clips).expanduser() if self.clips else state_folder() / "clips"

    @property
    def retraining_folder(self) -> Path:
        """Where judged clips are."""
        return Path(self.retraining).expanduser() if self.retraining else state_folder() / "retraining"


@dataclass(frozen=True)
class Announce:
    """What is said when an event begins, in `language`; empty: nothing.

    `voice` is `offline` or one of Polly's, of `engine` in `region`; with `fallback = "offline"` that one speaks where
    Polly cannot be used at the start. `cache` is the folder of what was paid for, by default `touchline/speech` in
    XDG_CACHE_HOME. `wordings` is a TOML file of sentences (see `wording`). `labels` are announced, by default all.
    `folder` gets WAV files, else the loudspeaker `device` plays, by default the system's.
    """

    language: str = ""
    voice: str = "offline"
    engine: Engine = "standard"
    fallback: Literal["", "offline"] = ""
    region: str = ""
    cache: str = ""
    wordings: str = ""
    labels: tuple[str, ...] = ()
    folder: str = ""
    device: str = ""
    minimum_seconds_between: float = 5.0
    rate_hz: int = 22_050

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_seconds_between <= 3600:
            msg = f"minimum_seconds_between: must be 0 to 3600, not {self.minimum_seconds_between:g}"
            raise ValueError(msg)
        if not 8_000 <= self.rate_hz <= 48_000:
            msg = f"rate_hz: must be 8000 to 48000, not {self.rate_hz}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Quotas:
    """What may lie on the disk, in megabytes; 0: as much as comes.

    Beyond `clips_mb`, and while less than `free_mb` of the disk are free, the oldest clips of events go; beyond
    `jsonl_mb` the file of messages is put aside, in the place of the one before, and begun anew.
    """

    clips_mb: int = 4096
    free_mb: int = 512
    jsonl_mb: int = 0

    def __post_init__(self) -> None:
        for name in ("clips_mb", "free_mb", "jsonl_mb"):
            if getattr(self, name) < 0:
                msg = f"{name}: must be 0 or more megabytes, not {getattr(self, name)}"
                raise ValueError(msg)


@dataclass(frozen=True)
class Config:
    """One device's settings, as in the TOML file; an empty `bundle` means the shipped demo bundle.

    `source` is what to watch, or `sources` are, in its place: several live sources that share the models.

    `threads` are given to each interpreter; 0 means one for a small model, else the cores at hand, at most 4.
    `delegate` is the path of a TFLite delegate, a GPU's for one; the CPU serves where it does not. `jsonl` is a file
    for every message.
    """

    source: Source = field(default_factory=Source)
    sources: tuple[Source, ...] = ()
    bundle: str = ""
    threads: int = 0
    delegate: str = ""
    jsonl: str = ""
    mqtt: Mqtt = field(default_factory=Mqtt)
    web: Web = field(default_factory=Web)
    events: SegmenterConfig = field(default_factory=SegmenterConfig)
    announce: Announce = field(default_factory=Announce)
    quotas: Quotas = field(default_factory=Quotas)


def state_folder() -> Path:
    """Where a device keeps what must survive a restart."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "touchline"


def read_config(path: str | Path) -> Config:
    """Read a TOML file; ConfigError names an unknown key and the nearest known one."""
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: cannot be read ({(error.strerror or str(error)).lower()})"
        raise ConfigError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not TOML ({error})"
        raise ConfigError(msg) from None
    try:
        return strict(raw, Config)
    except StrictError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from None
