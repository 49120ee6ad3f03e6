"""The configuration: where a bundle runs. It never changes what the models are (see `manifest`)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .events import SegmenterConfig
from .strict import StrictError, strict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Pace = Literal["realtime", "fast"]


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the file, the key and what would be right."""


@dataclass(frozen=True)
class Source:
    """What to watch: `url` is a media file; `name` is its name in topics, by default the file's."""

    url: str = ""
    name: str = ""
    pace: Pace = "fast"


@dataclass(frozen=True)
class Mqtt:
    """Where events go: `mqtt://[user[:password]@]host[:port][/base]`; `node` names this device, by default the host."""

    url: str = ""
    node: str = ""


@dataclass(frozen=True)
class Config:
    """One device's settings, as in the TOML file; an empty `bundle` means the shipped demo bundle.

    `threads` are given to each interpreter; 0 means one for a small model, else the cores at hand, at most 4.
    `jsonl` is a file for every message.
    """

    source: Source = field(default_factory=Source)
    bundle: str = ""
    threads: int = 0
    jsonl: str = ""
    mqtt: Mqtt = field(default_factory=Mqtt)
    events: SegmenterConfig = field(default_factory=SegmenterConfig)


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
