"""What goes out next: the outbox's items by two lanes, a bounded number at a time, settled by who has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .outbox import Item, Outbox

IN_FLIGHT = 20
"""Messages that wait for the broker's answer at a time, as many as most brokers take by default."""
KEPT = 4
"""Of those, kept for either lane while both have something to send."""
ORDER_SECONDS = 1.0
"""For so long after a connection the live lane waits for the backlog, so that a short one leaves the order as it is."""
READ = 64
"""Items read from the outbox at a time."""
LATE_NS = 10_000_000_000
QUOTA_EXCEEDED, UNSPECIFIED, IMPLEMENTATION = 0x97, 0x80, 0x83
"""Refusals (MQTT 5, 2.4) that may pass: the message waits and is sent again. All others never pass."""
REFUSED_SECONDS = 5.0
RESEND_SECONDS, LONGEST_RESEND_SECONDS = 2.0, 60.0
RESEND_ITEMS = 256
"""Sent again at first when a consumer does not get on; twice as many whenever it has got all of them."""


@dataclass
class Flight:
    """A message on its way: an item of the outbox, or `loose`, an event's payload that no disk holds."""

    item: Item | None = None
    loose: bytes | None = None


@dataclass
class _Lane:
    """Items with offsets above `cursor` are still to be sent, up to and with `last`, or without end."""

    cursor: int = 0
    last: int | None = None
    read: deque[Item] = field(default_factory=deque)

    def peek(self, outbox: Outbox, settled: int) -> Item | None:
        while self.read and self.read[0].offset <= settled:
            self.read.popleft()
        self.cursor = max(self.cursor, settled)
        if not self.read and (self.last is None or self.cursor < self.last):
            self.read.extend(outbox.after(self.cursor, READ, upto=self.last))
            if not self.read and self.last is not None:
                self.cursor = self.last
            elif self.read:
                self.cursor = self.read[-1].offset
        return self.read[0] if self.read else None


class Drain:
    """Sends by `send(flight, late) -> mid`, or None for what must not be sent; all in its owner's thread.

    The live lane, put since the connection came up, goes first, except for a moment after that; the backlog goes in
    order beside it. With `consumers` an item is settled when all of them have acknowledged it, else by the broker.
    """

    def __init__(
        self,
        outbox: Outbox | None,
        send: Callable[[Flight, bool], int | None],
        *,
        consumers: tuple[str, ...] = (),
        now_ns: Callable[[], int],
    ) -> None:
        self._outbox, self._send, self._now_ns = outbox, send, now_ns
        self._upto = dict.fromkeys(consumers, 0)
        self._settled = 0
        self._flying: dict[int, Flight] = {}
        self._loose: deque[bytes] = deque()
        self._backlog, self._live = _Lane(), _Lane()
        self._started = self._highest = outbox.last if outbox else 0
        self._again: deque[tuple[float, Item]] = deque()
        self._progress = self._pause_from = self._in_order_until = 0.0
        self._pause, self._window, self._resent = RESEND_SECONDS, RESEND_ITEMS, 0

    @property
    def flying(self) -> int:
        """Messages that the broker has not answered."""
        return len(self._flying)

    @property
    def settled(self) -> bool:
        """Whether the consumers, if there are any, have acknowledged all that was sent."""
        return not self._upto or self._settled >= self._highest

    @property
    def loose(self) -> int:
        """Events that only memory holds."""
        return len(self._loose) + sum(flight.loose is not None for flight in self._flying.values())

    def add_loose(self, payload: bytes) -> None:
        """Take an event that no disk holds."""
        self._loose.append(payload)

    def connected(self, now: float) -> None:
        """Begin anew, from the lowest that is not settled: whatever was on its way may be lost."""
        self._loose.extendleft(flight.loose for flight in reversed(self._flying.values()) if flight.loose is not None)
        self._flying.clear()
        self._again.clear()
        last = self._outbox.last if self._outbox else 0
        self._backlog, self._live = _Lane(0, last), _Lane(last)
        self._resent, self._in_order_until = 0, now + ORDER_SECONDS

    def run(self, now: float) -> bool:
        """Send what may be sent; True when nothing is left to send."""
        while len(self._flying) < IN_FLIGHT:
            flight = self._next(now)
            if flight is None:
                return not self._again
            late = flight.item is not None and self._is_late(flight.item)
            mid = self._send(flight, late)
            if mid is not None:
                if not self._flying:
                    self._progress = now
                self._flying[mid] = flight
            if flight.item is not None:
                self._highest = max(self._highest, flight.item.offset)
        return False

    def answered(self, mid: int, now: float) -> bool:
        """The broker has a message; False for one that is not ours."""
        flight = self._flying.pop(mid, None)
        if flight is None:
            return False
        self._progress = now
        if flight.item is not None and not self._upto and self._outbox is not None:
            self._outbox.delivered([flight.item.offset])
        return True

    def refused(self, mid: int, reason: int, now: float) -> Flight | None:
        """The broker took a message and refused it: returns it if that will never pass, else sends it again later."""
        flight = self._flying.pop(mid, None)
        if flight is None:
            return None
        self._progress = now
        if reason not in (QUOTA_EXCEEDED, UNSPECIFIED, IMPLEMENTATION) or flight.item is None:
            return flight
        self._again.append((now + REFUSED_SECONDS, flight.item))
        return None

    def acknowledged(self, consumer: str, upto: int, now: float) -> None:
        """A consumer has committed everything up to an offset; what all have is settled."""
        if consumer not in self._upto or upto <= self._upto[consumer] or self._outbox is None:
            return
        self._upto[consumer] = upto
        settled = min(self._upto.values())
        if settled > self._settled:
            self._settled = settled
            self._outbox.delivered_upto(settled)
            self._pause_from, self._pause = now, RESEND_SECONDS
            if self._resent and settled >= self._resent:
                self._window *= 2
                self._resend(now)

    def resend_due(self, now: float) -> None:
        """In end-to-end delivery: send again what was sent, if the consumers have not got on for a while."""
        if not self._upto or self._flying or self._outbox is None or self._highest <= self._settled:
            self._pause_from = now if self._flying or not self._pause_from else self._pause_from
            return
        if now - max(self._pause_from, self._progress) >= self._pause:
            if self._pause > RESEND_SECONDS:  # not even the last ones were acknowledged
                self._window = RESEND_ITEMS
            self._resend(now)
            self._pause = min(2 * self._pause, LONGEST_RESEND_SECONDS)

    def _resend(self, now: float) -> None:
        assert self._outbox is not None
        items = self._outbox.after(self._settled, self._window, upto=self._highest)
        self._pause_from = now
        self._resent = items[-1].offset if items else 0
        if items:
            self._backlog = _Lane(items[0].offset - 1, self._resent)

    def _next(self, now: float) -> Flight | None:
        if self._again and self._again[0][0] <= now:
            return Flight(self._again.popleft()[1])
        if self._outbox is None:
            return self._next_loose()
        live, backlog = (lane.peek(self._outbox, self._settled) for lane in (self._live, self._backlog))
        old = sum(f.item is not None and f.item.offset <= (self._backlog.last or 0) for f in self._flying.values())
        new = len(self._flying) - old
        beside = now >= self._in_order_until and new < IN_FLIGHT - KEPT
        if live is not None and (backlog is None or beside):
            return Flight(self._live.read.popleft())
        if backlog is not None and old < IN_FLIGHT - KEPT:
            return Flight(self._backlog.read.popleft())
        return self._next_loose()

    def _next_loose(self) -> Flight | None:
        return Flight(loose=self._loose.popleft()) if self._loose else None

    def _is_late(self, item: Item) -> bool:
        """Whether newer messages may have come before this one, in this start or an earlier one, or it is old."""
        return item.offset <= self._started or item.offset < self._highest or self._now_ns() - item.created_ns > LATE_NS
