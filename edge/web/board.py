"""What the page shows, bounded: seconds, events and standings of every source, handed on to whoever watches."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from edge.contract import Feedback, Health
from edge.messages import Info, Message, Tick

from .standing import Card, NodeStanding, SourceStanding

HISTORY_SECONDS = 60
MOST_EVENTS = 500
MOST_SOURCES = 64
"""Over MQTT anyone may invent sources; more than these are not shown."""
SERIOUS = ("error", "stale")
"""Levels that make the health endpoint say no."""
TOP = 5
"""Labels a second that the history keeps of each judge."""
WAITING = 32
"""Messages that wait for a slow watcher; older ones are dropped, and it is told how many."""
GATHER_SECONDS = 0.15
"""A second waits so long for the events that come of it, to travel in one message."""
QUIET_SECONDS = 1.5
"""Where no second comes, its source is told of so often."""


class Watcher:
    """One open stream: a bounded queue of messages, filled and emptied in the server's thread."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._over = False

    def put(self, message: bytes) -> bool:
        """Add a message; False where that drops the oldest."""
        full = len(self._waiting) == WAITING
        if full:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)
        self._filled.set()
        return not full

    def end(self) -> None:
        """Nothing more will come."""
        self._over = True
        self._filled.set()

    async def get(self) -> tuple[bytes, int] | None:
        """Wait for the next message, with how many were dropped before it; None at the end."""
        while not self._waiting:
            if self._over:
                return None
            self._filled.clear()
            await self._filled.wait()
        dropped, self.dropped = self.dropped, 0
        return self._waiting.popleft(), dropped


@dataclass
class _Source:
    node: str
    source: str
    history: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=HISTORY_SECONDS))
    tick: Tick | None = None
    standing: SourceStanding | None = None
    ticks: list[Tick] = field(default_factory=list)
    events: dict[str, Card] = field(default_factory=dict)
    due: float = 0.0
    """When the next message goes out."""


@dataclass
class _Node:
    info: Info | None = None
    rows: dict[str, str] = field(default_factory=dict)
    standing: NodeStanding = field(default_factory=NodeStanding)


class Board:
    """Takes messages and standings, each with the time, and gives them to watchers: for one thread only.

    A source's message holds a second, the events that came of it, its standing and its node's. `turn(now)` sends what
    is due, at least every 0.1 s. `streams` watchers may watch at once.
    """

    def __init__(self, *, streams: int) -> None:
        self._streams = streams
        self.watchers: set[Watcher] = set()
        self.dropped = 0
        self.events: OrderedDict[str, Card] = OrderedDict()
        self.sources: dict[str, _Source] = {}
        self.nodes: dict[str, _Node] = {}

    def take(self, message: Message, now: float) -> None:
        """Take a second or an event."""
        source = self._source(message.node, message.source)
        if source is None:
            return
        if isinstance(message, Tick):
            source.tick = message
            source.history.append(brief(message))
            source.ticks.append(message)
            source.due = min(source.due, now + GATHER_SECONDS) if len(source.ticks) > 1 else now + GATHER_SECONDS
        else:
            self._show(Card(message, self._verdict(message.id)), source)

    def say(self, feedback: Feedback) -> Card | None:
        """Note what a person says of an event; None where it is not known."""
        known = self.events.get(feedback.id)
        if known is None:
            return None
        shown = replace(known, verdict=feedback)
        self.events[feedback.id] = shown
        source = self._source(shown.event.node, shown.event.source)
        if source is not None:
            source.events[feedback.id] = shown
        return shown

    def restore(self, shown: Card) -> None:
        """Show an event of an earlier start."""
        self.events[shown.event.id] = shown

    def introduce(self, info: Info, rows: dict[str, str] | None = None) -> None:
        """Note what a node is, and which modality its fusion trusts for which label."""
        if (node := self._node(info.node)) is not None:
            node.info, node.rows = info, rows or node.rows

    def look(self, name: str, standing: SourceStanding, now: float) -> None:
        """Note how a source, `node/source`, is."""
        node, _, source = name.partition("/")
        known = self._source(node, source)
        if known is not None:
            if known.standing is not None and (known.standing.level, known.standing.state) != (
                standing.level,
                standing.state,
            ):
                known.due = min(known.due, now)
            known.standing = standing

    def look_at_node(self, node: str, standing: NodeStanding) -> None:
        """Note how a node is."""
        if (known := self._node(node)) is not None:
            known.standing = standing

    def report(self, node: str, part: str, health: Health) -> None:
        """Note how one part of a node is."""
        if (known := self._node(node)) is not None and (part in known.standing.parts or len(known.standing.parts) < 32):
            known.standing = replace(known.standing, parts={**known.standing.parts, part: health})

    def turn(self, now: float) -> None:
        """Send what is due."""
        for name, source in self.sources.items():
            if now >= source.due:
                for message in self._messages(name, source):
                    self._send(message)
                source.ticks, source.events, source.due = [], {}, now + QUIET_SECONDS

    def watch(self) -> Watcher | None:
        """Open a stream; None when there are as many as may be."""
        if len(self.watchers) >= self._streams:
            return None
        watcher = Watcher()
        self.watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Close a stream."""
        self.watchers.discard(watcher)

    def end(self) -> None:
        """Send what is left, and end every stream."""
        self.turn(float("inf"))
        for watcher in self.watchers:
            watcher.end()

    def reasons(self) -> list[str]:
        """What is wrong, in words that anyone may read: no address and no file; nothing when all is well."""
        wrong = [
            f"{name}: {source.standing.state}"
            for name, source in self.sources.items()
            if source.standing is not None and source.standing.level in SERIOUS
        ]
        for name, node in self.nodes.items():
            parts = node.standing.parts.items()
            wrong += [f"{name}: {part} {health.level}" for part, health in parts if health.level in SERIOUS]
        return wrong

    def snapshot(self, clock: str, *, pictures: Sequence[str] = (), events: int = 100) -> bytes:
        """Write what a page needs to begin, as JSON, newest events first; `pictures` are the sources that have any."""
        shown = list(reversed(self.events.values()))[:events]
        return msgspec.json.encode(
            {
                "clock": clock,
                "pictures": pictures,
                "nodes": self.nodes,
                "sources": {
                    name: {
                        "node": source.node,
                        "source": source.source,
                        "tick": source.tick,
                        "history": list(source.history),
                        "standing": source.standing,
                    }
                    for name, source in self.sources.items()
                },
                "events": shown,
            }
        )

    def _messages(self, name: str, source: _Source) -> list[bytes]:
        """One message for each second; with none at all, one of how things stand."""
        ticks: Sequence[Tick | None] = source.ticks or [None]
        node = self.nodes.get(source.node)
        return [
            msgspec.json.encode(
                {
                    "source": name,
                    "tick": tick,
                    "events": list(source.events.values()) if tick is ticks[-1] else [],
                    "standing": source.standing,
                    "node": node.standing if node else None,
                }
            )
            for tick in ticks
        ]

    def _send(self, message: bytes) -> None:
        for watcher in self.watchers:
            if not watcher.put(message):
                self.dropped += 1

    def _show(self, shown: Card, source: _Source) -> None:
        self.events[shown.event.id] = shown
        source.events[shown.event.id] = shown
        while len(self.events) > MOST_EVENTS:
            self.events.popitem(last=False)

    def _verdict(self, event: str) -> Feedback | None:
        known = self.events.get(event)
        return known.verdict if known else None

    def _source(self, node: str, source: str) -> _Source | None:
        name = f"{node}/{source}"
        if name not in self.sources and len(self.sources) < MOST_SOURCES:
            self.sources[name] = _Source(node, source)
        return self.sources.get(name)

    def _node(self, node: str) -> _Node | None:
        if node not in self.nodes and len(self.nodes) < MOST_SOURCES:
            self.nodes[node] = _Node()
        return self.nodes.get(node)


def brief(tick: Tick) -> dict[str, Any]:
    """A second for the history: what was decided, and the likeliest labels of each judge as (index, probability)."""
    judges = {"fused": tick.probabilities}
    judges |= {name: vote.probabilities for name, vote in tick.fusion.votes.items() if vote.probabilities}
    return {
        "media_start": tick.media_start,
        "label": tick.label,
        "judges": {name: top(probabilities) for name, probabilities in judges.items()},
    }


def top(probabilities: Sequence[float]) -> list[tuple[int, float]]:
    """The likeliest, as (index, probability), likeliest first."""
    order = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])
    return [(index, probabilities[index]) for index in order[:TOP]]
