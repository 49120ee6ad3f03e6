"""How things stand, as the page and the metrics show them: sources, nodes, and the media behind a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge.contract import Accounting, Feedback, Health, Level
from edge.messages import EventMessage

LEVELS: tuple[Level, ...] = ("ok", "warn", "stale", "error")
"""From good to bad."""


@dataclass(frozen=True, kw_only=True)
class SourceStanding:
    """How a source is; counts since the start, milliseconds of sound behind picture, None where it is not known."""

    level: Level
    state: str
    message: str = ""
    since: str = ""
    live: bool = False
    reconnects: int = 0
    seconds_dropped: float = 0.0
    frames_per_second: float | None = None
    av_offset_ms: float | None = None
    av_uncertainty_ms: float | None = None
    mode: str = "full"


@dataclass(frozen=True, kw_only=True)
class NodeStanding:
    """How a node is: the health of its parts (`broker`, `outbox`, `process`) and what waits in its outbox."""

    parts: dict[str, Health] = field(default_factory=dict)
    outbox: dict[str, Accounting] = field(default_factory=dict)
    mode: str = "full"
    uptime_seconds: float | None = None


@dataclass(frozen=True)
class Picture:
    """A JPEG and the media time, in seconds, that it shows."""

    jpeg: bytes
    time: float


class Media(Protocol):
    """The media of one source: what it shows now, how it is, and a clip of what it has shown."""

    def preview(self) -> Picture | None:
        """Give the newest picture; None where there is none."""

    def standing(self) -> SourceStanding:
        """Say how the source is."""

    def save_clip(self, start: float, end: float, path: Path, thumb_path: Path, *, at: float) -> tuple[float, float]:
        """Write media seconds `start` to `end`, which have come, and the picture `at` one; return the real span."""


@dataclass(frozen=True)
class Card:
    """What is kept of an event: its latest message, and what a person said of it."""

    event: EventMessage
    verdict: Feedback | None = None
