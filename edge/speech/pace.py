"""Requests no faster than a service takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .voices import Engine


@dataclass(frozen=True)
class Quota:
    """What one account may ask of a service: requests a second, how many at once after a rest, and in flight."""

    per_second: float
    burst: int
    in_flight: int


QUOTAS: Mapping[Engine, Quota] = {
    "standard": Quota(80, 100, 80),
    "neural": Quota(8, 10, 18),
    "long-form": Quota(8, 10, 26),
    "generative": Quota(8, 8, 26),
}
"""Defaults of SynthesizeSpeech (https://docs.aws.amazon.com/polly/latest/dg/limits.html)."""


class Pace:
    """Lets callers of any thread pass at the rate of a quota: a token bucket."""

    def __init__(
        self,
        quota: Quota,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._step = 1 / quota.per_second
        self._credit = (quota.burst - 1) * self._step
        self._clock, self._sleep = clock, sleep
        self._due = float("-inf")
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Wait for a turn."""
        with self._lock:
            now = self._clock()
            turn = max(self._due, now - self._credit)
            self._due = turn + self._step
        if turn > now:
            self._sleep(turn - now)
