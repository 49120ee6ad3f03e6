"""The wall clock, which people and NTP set: everything runs by the steady clock, and only what is said follows it."""

from __future__ import annotations

import time

STEP_SECONDS = 0.5
SAID_SECONDS = 3.0


class WallClock:
    """Notices when the wall clock is set: `push` gives by how many seconds since the last time, mostly 0."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()
        self._stepped, self._by = float("-inf"), 0.0

    def push(self) -> float:
        """Look at the clocks; call it often."""
        ahead = time.time() - time.monotonic()
        step = ahead - self._ahead
        if abs(step) < STEP_SECONDS:
            return 0.0
        self._ahead, self._stepped, self._by = ahead, time.monotonic(), step
        return step

    @property
    def trouble(self) -> str:
        """What was done to the clock in the last seconds, in a sentence; empty when nothing was."""
        if time.monotonic() - self._stepped > SAID_SECONDS:
            return ""
        return f"the wall clock was put {'ahead' if self._by > 0 else 'back'} by {abs(self._by):.0f} s"
