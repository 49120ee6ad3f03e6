"""Seconds in, events with a start and an end out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .clip import UNKNOWN, Event, Second


@dataclass(frozen=True)
class SegmenterConfig:
    """When a run of seconds becomes an event.

    A label opens at a score of `on_score` and is carried on down to `off_score` (hysteresis). It becomes an event
    once it has lasted `minimum_seconds`; a hole of up to `merge_gap_seconds` does not end it. An update is sent
    every `update_seconds` of the event.
    """

    on_score: float = 0.5
    off_score: float = 0.3
    minimum_seconds: int = 2
    merge_gap_seconds: int = 2
    update_seconds: int = 5


@dataclass
class _Run:
    """A label that is going on: its start, the end of its latest supporting second, and their scores."""

    label: str
    class_index: int
    start: float
    end: float
    last: Second
    scores: list[float] = field(default_factory=list)
    event: Event | None = None


class Segmenter:
    """Turns decisions into events: `push(second)` and `flush()` return the events that begin, go on or end.

    Event ids are `boot` and a count, so they are unique as long as `boot` is.
    """

    def __init__(self, config: SegmenterConfig, boot: str) -> None:
        self._config = config
        self._boot = boot
        self._count = 0
        self._current: _Run | None = None
        self._candidate: _Run | None = None

    def push(self, second: Second) -> list[Event]:
        """Take the next second in time order."""
        events = []
        current = self._current
        if current is not None and second.start - current.end > self._config.merge_gap_seconds:
            events += self._end()
        if self._supports(second, self._current):
            assert self._current is not None
            self._extend(self._current, second)
            self._candidate = None
            return [*events, *self._update()]
        self._follow_candidate(second)
        if self._candidate is not None and len(self._candidate.scores) >= self._config.minimum_seconds:
            events += [*self._end(), self._begin(self._candidate)]
        elif self._current is not None and second.start + 1 - self._current.end > self._config.merge_gap_seconds:
            events += self._end()
        return events

    def flush(self) -> list[Event]:
        """The media ended: end what is open."""
        self._candidate = None
        return self._end()

    def _supports(self, second: Second, run: _Run | None) -> bool:
        """Whether a second carries a run on: it says the same, or nothing, and the label is still likely enough."""
        if run is None or second.label not in (run.label, UNKNOWN):
            return False
        return second.probabilities[run.class_index] >= self._config.off_score

    def _extend(self, run: _Run, second: Second) -> None:
        run.scores.append(second.probabilities[run.class_index])
        run.end, run.last = second.start + 1, second

    def _follow_candidate(self, second: Second) -> None:
        run = self._candidate
        if run is not None and second.start == run.end and self._supports(second, run):
            self._extend(run, second)
        elif second.label != UNKNOWN and second.score >= self._config.on_score:
            self._candidate = _Run(second.label, second.class_index, second.start, second.start + 1, second)
            self._candidate.scores.append(second.score)
        else:
            self._candidate = None

    def _begin(self, run: _Run) -> Event:
        self._count += 1
        self._current, self._candidate = run, None
        run.event = Event(
            "new", f"{self._boot}-{self._count:06d}", run.label, run.class_index, run.start, None,
            _mean(run.scores), len(run.scores), run.last,
        )  # fmt: skip
        return run.event

    def _update(self) -> list[Event]:
        run = self._current
        assert run is not None
        assert run.event is not None
        if len(run.scores) - run.event.seconds < self._config.update_seconds:
            return []
        run.event = replace(run.event, type="update", score=_mean(run.scores), seconds=len(run.scores), last=run.last)
        return [run.event]

    def _end(self) -> list[Event]:
        run, self._current = self._current, None
        if run is None or run.event is None:
            return []
        return [
            replace(
                run.event,
                type="end",
                end=run.end,
                score=_mean(run.scores),
                seconds=len(run.scores),
                last=run.last,
            )
        ]


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores)
