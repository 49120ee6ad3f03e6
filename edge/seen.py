"""Which messages have come, which are missing between them, and up to where nothing is missing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from .contract import Gap
from .messages import EventMessage

ROUNDS = 3


class Runs:
    """A set of whole numbers, kept as sorted runs of neighbours: as small as it has holes."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, number: int) -> bool:
        return self.end(number) >= number

    def add(self, first: int, last: int | None = None) -> None:
        """Put `first`, or all from `first` to `last`, into the set; nothing when `last` is below `first`."""
        last = first if last is None else last
        if last < first:
            return
        begin, end = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        if begin < end:
            first, last = min(first, self._firsts[begin]), max(last, self._lasts[end - 1])
        self._firsts[begin:end], self._lasts[begin:end] = [first], [last]

    def end(self, number: int) -> int:
        """The last of the run that holds `number`; the number before it, when none does."""
        index = bisect_left(self._lasts, number)
        held = index < len(self._lasts) and self._firsts[index] <= number
        return self._lasts[index] if held else number - 1

    def missing(self, first: int, last: int) -> int:
        """How many of `first` to `last` are not in the set."""
        if last < first:
            return 0
        held = 0
        for index in range(bisect_left(self._lasts, first), bisect_right(self._firsts, last)):
            held += min(last, self._lasts[index]) - max(first, self._firsts[index]) + 1
        return last - first + 1 - held


@dataclass(frozen=True)
class Count:
    """What numbers messages: a `stream` by offsets, or a `boot` by seqs where a device has no outbox.

    What has been `seen` is counted apart, by seqs too: what was given up may still come.
    """

    node: str
    source: str
    name: str
    of: Literal["stream", "boot", "seen"]


@dataclass(frozen=True)
class Hole:
    """Numbers `first` to `last` of a count have not come.

    `boot` and `after` name the message before them, where a device's history is read from; no boot: from its oldest.
    `next_boot` is that of the message behind them.
    """

    count: Count
    first: int
    last: int
    boot: str | None
    after: int
    next_boot: str | None = None


@dataclass
class Seen:
    """Which messages of all devices have come; each is new once, by (node, source, boot, seq).

    `from_oldest`: whoever comes late wants all that a device has kept, not only what follows the first message seen.
    """

    from_oldest: bool = False
    _runs: defaultdict[Count, Runs] = field(default_factory=lambda: defaultdict(Runs))
    _latest: dict[Count, EventMessage] = field(default_factory=dict)
    _committed: dict[Count, int] = field(default_factory=dict)
    _rounds: defaultdict[Count, list[int]] = field(default_factory=lambda: defaultdict(list))

    def knows(self, event: EventMessage) -> bool:
        """Whether this message has come before."""
        if event.seq in self._runs[_message(event)]:
            return True
        return event.offset is not None and event.offset <= self._committed.get(_count(event), 0)

    def add(self, event: EventMessage) -> Hole | None:
        """Take a message that is new; return the hole between the latest before it and itself, if there is one."""
        count, number = _count(event), _number(event)
        latest = self._latest.get(count)
        self._runs[_message(event)].add(event.seq)
        self._runs[count].add(number)
        if latest is not None and number < _number(latest):
            return None
        self._latest[count] = event
        if latest is not None:
            hole = Hole(count, _number(latest) + 1, number - 1, latest.boot, latest.seq, event.boot)
        elif count in self._committed or self.from_oldest:
            hole = Hole(count, self._committed.get(count, 0) + 1, number - 1, None, 0, event.boot)
        else:
            return None
        return hole if self.missing(hole) else None

    def explain(self, gap: Gap) -> int:
        """Take a device's word for what will never come; return how many of them are news."""
        count = stream(gap.node, gap.source, gap.stream)
        news = self._runs[count].missing(gap.first, gap.last)
        self._runs[count].add(gap.first, gap.last)
        return news

    def give_up(self, count: Count, first: int, last: int) -> int:
        """Count what is missing of `first` to `last` as lost, and return how many that are.

        A message of them that does come is taken all the same.
        """
        lost = self._runs[count].missing(first, last)
        self._runs[count].add(first, last)
        return lost

    def sent_again(self, event: EventMessage) -> None:
        """Take a message that is known and that a device sent anew, by itself."""
        rounds, number = self._rounds[_count(event)], _number(event)
        if rounds and number > rounds[-1]:
            rounds[-1] = number
        else:
            rounds += [number, number]  # where a round began, and how far it has got

    def queue_begins(self, count: Count) -> int:
        """Where a device's queue begins, by three rounds of sending again, each in order from its first; else 0."""
        begins = self._rounds[count][0::2][-ROUNDS:]
        return min(begins) if len(begins) == ROUNDS else 0

    def commit(self, node: str, source: str, name: str, upto: int) -> None:
        """Take what an acknowledgement says was committed, in this life or one before; the largest counts."""
        count = stream(node, source, name)
        self._runs[count].add(1, upto)
        self._committed[count] = max(upto, self._committed.get(count, 0))

    def missing(self, hole: Hole) -> int:
        """How many messages of a hole have still not come."""
        return self._runs[hole.count].missing(hole.first, hole.last)

    def boot_prefix(self, node: str, source: str, boot: str) -> int:
        """The seq up to which all of a boot has come; 0 for nothing."""
        return self._runs[Count(node, source, boot, "seen")].end(1)

    def prefix(self, count: Count) -> int:
        """The offset up to which all of a stream has come; 0 for nothing."""
        return self._runs[count].end(1)


def stream(node: str, source: str, name: str) -> Count:
    """The count of a stream's offsets."""
    return Count(node, source, name, "stream")


def _message(event: EventMessage) -> Count:
    return Count(event.node, event.source, event.boot, "seen")


def _count(event: EventMessage) -> Count:
    if event.stream is None:
        return Count(event.node, event.source, event.boot, "boot")
    return stream(event.node, event.source, event.stream)


def _number(event: EventMessage) -> int:
    return event.seq if event.offset is None else event.offset
