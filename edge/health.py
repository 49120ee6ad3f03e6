"""How the device is doing: the figures of `stats`, the level of each component, the machine's temperatures."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from .contract import Health, Level
from .messages import Message, Tick, utc

THERMAL = Path("/sys/class/thermal")
LATENCIES = 60
"""Decisions of the last minute."""


@dataclass
class Figures:
    """Counts over ticks since the start, and the latencies of the last minute's decisions, in milliseconds."""

    seconds_judged: int = 0
    seconds_dropped: int = 0
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    _last: float | None = None

    def push(self, message: Message) -> None:
        """Take a message."""
        if isinstance(message, Tick):
            if self._last is not None:
                self.seconds_dropped += max(0, round(message.media_start - self._last) - 1)
            self._last = message.media_start
            self.seconds_judged += 1
            self._latencies.append(message.latency_ms["clip_to_decision"])

    def latency_ms(self) -> dict[str, float]:
        """p50, p95 and p99 by nearest rank; empty before the first decision."""
        ordered = sorted(self._latencies)
        return {f"p{percent}": ordered[-(-percent * len(ordered) // 100) - 1] for percent in (50, 95, 99) if ordered}


class Components:
    """The health of each component; `report` returns what to publish, or None where nothing changed."""

    def __init__(self) -> None:
        self._known: dict[str, Health] = {}

    @property
    def known(self) -> dict[str, Health]:
        """How every component is that was reported."""
        return dict(self._known)

    def report(self, component: str, level: Level, message: str, state: str = "") -> Health | None:
        """Say how a component is; `since` stays while its level and its state do."""
        known = self._known.get(component)
        if known is not None and (known.level, known.message, known.state) == (level, message, state):
            return None
        lasts = known is not None and (known.level, known.state) == (level, state)
        since = known.since if known is not None and lasts else utc(time.time_ns())
        self._known[component] = Health(level=level, message=message, since=since, state=state)
        return self._known[component]


def temperatures(folder: Path = THERMAL) -> dict[str, float]:
    """Read the kernel's thermal zones, in degrees Celsius; none on a machine that has none."""
    found: dict[str, float] = {}
    for zone in sorted(folder.glob("thermal_zone*")):
        try:
            name = (zone / "type").read_text().strip()
            degrees = int((zone / "temp").read_text()) / 1000  # the kernel gives thousandths
        except (OSError, ValueError):
            continue
        found[name if name not in found else f"{name}-{zone.name.removeprefix('thermal_zone')}"] = round(degrees, 1)
    return found
