"""A minute in short: what a subscriber wants who reads no ticks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .contract import Digest
from .messages import NANOSECONDS, Message, Tick, utc

MINUTE_NS = 60 * NANOSECONDS


@dataclass
class Minutes:
    """Ticks and events in, the digest of each minute out when the next one begins.

    Minutes are those of the decisions' own clock, so a recording judged fast gives as many as it lasts.
    """

    _minute: int | None = None
    _labels: Counter[str] = field(default_factory=Counter)
    _score: float = 0.0
    _begun: int = 0
    _missing: int = 0
    _last: Tick | None = None

    def push(self, message: Message) -> list[Digest]:
        """Take a message; returns the minute that is over, if one is."""
        if not isinstance(message, Tick):
            self._begun += message.type == "new"
            return []
        minute = message.start_ns // MINUTE_NS
        over = self.flush() if self._minute not in (None, minute) else []
        if self._last is not None:
            self._missing += max(0, round(message.media_start - self._last.media_start) - 1)
        self._minute, self._last = minute, message
        self._labels[message.label] += 1
        self._score += message.score
        return over

    def flush(self) -> list[Digest]:
        """End the minute that is going on."""
        last, seconds = self._last, sum(self._labels.values())
        if self._minute is None or last is None or not seconds:
            return []
        digest = Digest(
            node=last.node,
            source=last.source,
            boot=last.boot,
            minute=utc(self._minute * MINUTE_NS),
            seconds=seconds,
            labels=dict(self._labels),
            score=round(self._score / seconds, 4),
            events_begun=self._begun,
            missing=min(self._missing, 60),
        )
        self._labels, self._score, self._begun, self._missing = Counter(), 0.0, 0, 0
        return [digest]


def minute_id(digest: Digest) -> str:
    """Name a digest's minute as a level of a topic: `YYYYmmddTHHMM`."""
    return digest.minute[:16].replace("-", "").replace(":", "")
