"""Where the seconds of several sources wait for the one judge: bounded, oldest dropped first, counted."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

from edge.clip import Clip

ROOM = 2
"""Seconds of one source that may wait; a decision about an older one would help nobody."""


class Inbox:
    """Takes clips of sources by name and gives the oldest first; `dropped` counts by source what had to make room."""

    def __init__(self, room: int = ROOM) -> None:
        self.dropped: Counter[str] = Counter()
        self._room = room
        self._waiting: deque[tuple[str, float, Clip]] = deque()
        self._changed = threading.Condition()
        self.closed = False

    def put(self, source: str, clip: Clip) -> None:
        """Add a clip; the source's oldest makes room for it."""
        with self._changed:
            mine = [item for item in self._waiting if item[0] == source]
            if len(mine) >= self._room:
                self._waiting.remove(mine[0])
                self.dropped[source] += 1
            self._waiting.append((source, time.monotonic(), clip))
            self._changed.notify()

    def get(self, seconds: float | None = None) -> tuple[str, float, Clip] | None:
        """Wait, at most so long, for a clip: its source, when it came (monotonic), itself; None if there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed, seconds)
            return None if self.closed or not self._waiting else self._waiting.popleft()

    def close(self) -> None:
        """Wake who waits, for the last time."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
