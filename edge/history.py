"""Asking devices for what has not come: which hole is asked for when, and what an answer settles."""

from __future__ import annotations

import secrets
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from .contract import RpcRequest
from .messages import EventMessage
from .seen import Count, Hole, Seen

PATIENCE_SECONDS = 2.0
"""How long a hole may fill by itself: what a device sends late comes after what it sends live."""
ANSWER_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 60.0
"""When a question without an answer is asked again, first and at last; each pause is twice the one before."""
LIMIT = 100
"""Messages asked for at a time."""


@dataclass(frozen=True)
class HistoryReply:
    """An `rpc-reply/1` to `history`, its events as they were sent."""

    id: str
    node: str
    ok: bool
    error: str | None = None
    events: tuple[msgspec.Raw, ...] = ()
    more: bool = False


@dataclass
class _Device:
    """What is wanted from one device; at most one question is open at a time, `about` a hole, from a place on."""

    wanted: list[Hole] = field(default_factory=list)
    due: float = 0.0
    pause: float = ANSWER_SECONDS
    question: str | None = None
    about: Hole | None = None
    places: list[tuple[str | None, int]] = field(default_factory=list)
    lowest: int = sys.maxsize
    answered: set[Hole] = field(default_factory=set)
    there: bool = True
    complained: bool = False


class History:
    """The holes of every device: `want` takes one, `ask_due` asks for what is due, `settle` takes an answer.

    `ask(node, request)` sends a question; without it holes are only told. `say` gets a sentence about what is lost.
    """

    def __init__(self, seen: Seen, ask: Callable[[str, RpcRequest], None] | None, say: Callable[[str], None]) -> None:
        self._seen, self._ask, self._say = seen, ask, say
        self._devices: defaultdict[str, _Device] = defaultdict(_Device)

    def want(self, hole: Hole, now: float) -> None:
        """Wait for a hole to fill by itself for a while, then ask; who has nothing yet asks at once."""
        device = self._devices[hole.count.node]
        if hole not in device.wanted:
            device.wanted.append(hole)
        if device.question is None:
            device.due = now + (0 if _endless(hole) and not hole.after else PATIENCE_SECONDS)

    def filling(self, node: str, now: float) -> None:
        """Something late came by itself: more may follow."""
        device = self._devices[node]
        if device.question is None:
            device.due = max(device.due, now + PATIENCE_SECONDS)

    def status(self, node: str, status: str, now: float) -> None:
        """A device that is not there is not asked; when it is back, it may send by itself what it was asked for."""
        device = self._devices[node]
        device.there = status == "online"
        if device.there:
            device.question, device.pause = None, ANSWER_SECONDS
            device.due = max(device.due, now + PATIENCE_SECONDS)

    def ask_due(self, now: float) -> None:
        """Ask every device for the first of what is due; where nothing can be asked, say what is missing."""
        for node, device in self._devices.items():
            device.wanted = [hole for hole in device.wanted if _endless(hole) or self._seen.missing(hole)]
            if not device.wanted or now < device.due:
                continue
            if self._ask is None:
                self._tell(device)
            elif device.there:
                if device.question is not None:
                    self._complain(device, f"{node} does not answer when asked for its history; it is asked again")
                hole = device.about = device.wanted[0]
                if hole in device.answered:  # what is neither in the history nor in the queue is lost
                    self._give_up(hole, 0, self._seen.queue_begins(hole.count) - 1)
                if _endless(hole) or self._seen.missing(hole):
                    device.places, device.lowest = _places(hole), sys.maxsize
                    self._send(node, device, now)

    def settle(self, reply: HistoryReply, events: Sequence[EventMessage], now: float) -> None:
        """Take an answer, after its events were taken: ask on, or give up what the device does not have."""
        device, hole = self._devices[reply.node], self._devices[reply.node].about
        if hole is None or reply.id != device.question:
            return
        if not reply.ok:
            self._complain(device, f"{reply.node} cannot give its history: {reply.error}")
            return
        device.complained = False
        offsets = [event.offset for event in events if event.stream == hole.count.name and event.offset is not None]
        device.lowest = min([*offsets, device.lowest])
        read, last = device.places.pop(0), events[-1] if events else None
        if reply.more and last is not None and (last.boot, last.seq) != read and not _passed(hole, last):
            device.places.insert(0, (last.boot, last.seq))
        elif _endless(hole) or not self._seen.missing(hole):
            device.places.clear()
        if device.places:
            self._send(reply.node, device, now)
            return
        device.question = None
        self._give_up(hole, device.lowest if self._seen.from_oldest and hole.count.of == "stream" else 0, hole.last)
        if self._seen.missing(hole):
            device.answered.add(hole)  # older than the history: the device may still have it in its queue
            return
        device.due, device.pause = now, ANSWER_SECONDS
        device.wanted = [wanted for wanted in device.wanted if wanted != hole]

    def _give_up(self, hole: Hole, first: int, last: int) -> None:
        if lost := self._seen.give_up(hole.count, max(first, hole.first), min(last, hole.last)):
            self._say(f"{_messages(hole, lost)} did not arrive, and the device does not have them")

    def finish(self) -> None:
        """Say what is still missing."""
        for device in self._devices.values():
            self._tell(device)

    def _send(self, node: str, device: _Device, now: float) -> None:
        assert self._ask is not None
        device.question, (boot, after) = secrets.token_hex(8), device.places[0]
        device.due, device.pause = now + device.pause, min(2 * device.pause, LONGEST_PAUSE_SECONDS)
        parameters: dict[str, str | int] = {"limit": LIMIT}
        if boot is not None:
            parameters |= {"boot": boot, "after": after}
        self._ask(node, RpcRequest(id=device.question, parameters=parameters))

    def _complain(self, device: _Device, sentence: str) -> None:
        if not device.complained:
            self._say(sentence)
        device.complained = True

    def _tell(self, device: _Device) -> None:
        for hole in device.wanted:
            if missing := self._seen.missing(hole):
                self._say(f"{_messages(hole, missing)} did not arrive")
        device.wanted.clear()


def all_since(node: str, boot: str | None, after: int = 0) -> Hole:
    """What a device has kept of a boot after a seq, and since; of no boot: all."""
    return Hole(Count(node, "", boot or "", "boot"), 1, 0, boot, after, boot)


def _endless(hole: Hole) -> bool:
    return hole.last < hole.first


def _places(hole: Hole) -> list[tuple[str | None, int]]:
    """Where to read: from the message before the hole; if that is not all, the boot behind it, then all there is.

    That message is asked for as well: if it comes, what does not come of the hole is not there.
    """
    places: list[tuple[str | None, int]] = [(hole.boot, hole.after if _endless(hole) else max(0, hole.after - 1))]
    if hole.boot is not None and hole.boot != hole.next_boot:
        places += [(hole.next_boot, 0), (None, 0)]
    return places


def _passed(hole: Hole, event: EventMessage) -> bool:
    return not _endless(hole) and event.stream == hole.count.name and (event.offset or 0) >= hole.last


def _messages(hole: Hole, number: int) -> str:
    return f"{hole.count.node}/{hole.count.source}: {number} event message{'s' * (number > 1)}"
