"""Asking devices for what has not come: which hole is asked for when, and what an answer settles."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable
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
    """What is wanted from one device: holes, and where to read on; at most one question is open at a time."""

    wanted: list[Hole] = field(default_factory=list)
    due: float = 0.0
    pause: float = ANSWER_SECONDS
    question: str | None = None
    asked: tuple[str | None, int] = (None, 0)
    complained: bool = False


class History:
    """The holes of every device: `want` takes one, `ask_due` asks for what is due, `settle` takes an answer.

    `ask(node, request)` sends a question; without it holes are only told. `say` gets a sentence about what is lost.
    """

    def __init__(self, seen: Seen, ask: Callable[[str, RpcRequest], None] | None, say: Callable[[str], None]) -> None:
        self._seen, self._ask, self._say = seen, ask, say
        self._devices: defaultdict[str, _Device] = defaultdict(_Device)

    def want(self, hole: Hole, now: float) -> None:
        """Wait for a hole to fill by itself for a while, then ask; a hole without an end is asked for at once."""
        device = self._devices[hole.count.node]
        device.wanted.append(hole)
        if device.question is None:
            device.due = now if _endless(hole) else now + PATIENCE_SECONDS

    def filling(self, node: str, now: float) -> None:
        """Something late came by itself: more may follow."""
        device = self._devices.get(node)
        if device is not None and device.question is None:
            device.due = max(device.due, now + PATIENCE_SECONDS)

    def back(self, node: str, now: float) -> None:
        """The device is there again: a question that got no answer may be asked anew, soon."""
        device = self._devices.get(node)
        if device is not None:
            device.question, device.pause, device.due = None, ANSWER_SECONDS, now + PATIENCE_SECONDS

    def ask_due(self, now: float) -> None:
        """Ask every device for the first of what is due; where nothing can be asked, say what is missing."""
        for node, device in self._devices.items():
            device.wanted = [hole for hole in device.wanted if _endless(hole) or self._seen.missing(hole)]
            if not device.wanted or now < device.due:
                continue
            if self._ask is None:
                self._tell(device)
                continue
            if device.question is not None and not device.complained:
                self._say(f"{node} does not answer when asked for its history; it is asked again")
                device.complained = True
            hole = device.wanted[0]
            self._send(node, device, hole.boot, hole.after, now)

    def settle(self, reply: HistoryReply, last: EventMessage | None, now: float) -> None:
        """Take an answer, after its events were taken, the `last` of them given: ask on, or give up what is missing."""
        device = self._devices[reply.node]
        if reply.id != device.question or not device.wanted:
            return
        if not reply.ok:
            if not device.complained:
                self._say(f"{reply.node} cannot give its history: {reply.error}")
                device.complained = True
            return
        device.complained = False
        hole = device.wanted[0]
        device.pause = ANSWER_SECONDS
        if reply.more and last is not None and (last.boot, last.seq) != device.asked and not _passed(hole, last):
            self._send(reply.node, device, last.boot, last.seq, now)
            return
        device.wanted.pop(0)
        device.question, device.due = None, now
        if self._seen.missing(hole):
            self._say(f"{_missing(self._seen, hole)}, and the device's history does not have them")
            self._seen.give_up(hole)

    def finish(self) -> None:
        """Say what is still missing."""
        for device in self._devices.values():
            self._tell(device)

    def _send(self, node: str, device: _Device, boot: str | None, after: int, now: float) -> None:
        assert self._ask is not None
        device.question, device.asked = secrets.token_hex(8), (boot, after)
        device.due, device.pause = now + device.pause, min(2 * device.pause, LONGEST_PAUSE_SECONDS)
        parameters: dict[str, str | int] = {"limit": LIMIT}
        if boot is not None:
            parameters |= {"boot": boot, "after": after}
        self._ask(node, RpcRequest(id=device.question, parameters=parameters))

    def _tell(self, device: _Device) -> None:
        for hole in device.wanted:
            if self._seen.missing(hole):
                self._say(_missing(self._seen, hole))
        device.wanted.clear()


def all_since(node: str, boot: str | None) -> Hole:
    """What a device has kept of a boot and since; of no boot: all."""
    return Hole(Count(node, "", boot or "", "boot"), 1, 0, boot, 0)


def _endless(hole: Hole) -> bool:
    return hole.last < hole.first


def _passed(hole: Hole, event: EventMessage) -> bool:
    return not _endless(hole) and event.stream == hole.count.name and (event.offset or 0) >= hole.last


def _missing(seen: Seen, hole: Hole) -> str:
    number = seen.missing(hole)
    return f"{hole.count.node}/{hole.count.source}: {number} event message{'s' * (number > 1)} did not arrive"
