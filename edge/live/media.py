"""A live source as the page sees it: its newest picture, how it is, and clips of what it has just shown."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from edge.contract import Level
from edge.sources import SourceError
from edge.web.standing import Picture, SourceStanding

from .source import LiveSource

LEVELS: dict[str, Level] = {"online": "ok", "offline": "error", "stalled": "error"}
"""What a state is worth; all others are a warning."""
AWAY = ("offline", "stalled", "connecting")
SAVE_SECONDS = 0.5
"""The judge waits for a clip so long, before an event is announced."""
SETTLE_SECONDS = 0.5
"""The reader waits so long for the last packets of a clip: of these we do not ask."""


class LiveMedia:
    """The pictures, the health and the clips of a live source."""

    def __init__(self, source: LiveSource) -> None:
        self._source = source

    def preview(self) -> Picture | None:
        """Give the newest picture; None before the first."""
        found = self._source.preview()
        return None if found is None else Picture(*found)

    def standing(self) -> SourceStanding:
        """Say how the source is."""
        health = self._source.health()
        return SourceStanding(
            level=LEVELS.get(health.state, "warn"),
            state=health.state,
            message=health.message,
            since=health.since,
            live=health.state not in AWAY,
            reconnects=health.reconnects,
            seconds_dropped=health.dropped_seconds,
            frames_per_second=health.frames_per_second,
            av_offset_ms=health.av_offset_ms,
            av_uncertainty_ms=health.av_uncertainty_ms,
            mode=health.mode,
        )

    def save_clip(self, start: float, end: float, path: Path, thumb_path: Path, *, at: float) -> tuple[float, float]:
        """Write media seconds `start` to `end` and the picture `at` one; return where the clip really lies."""
        try:
            saved = self._source.save_clip(start, max(start, end - SETTLE_SECONDS), path, thumb_path, at=at)
            return saved.result(SAVE_SECONDS)
        except (TimeoutError, FutureTimeout):
            msg = f"{self._source.shown}: no clip within {SAVE_SECONDS} s"
            raise SourceError(msg) from None
