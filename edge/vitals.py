"""How a node is doing, as it publishes it: label, minute digests, stats every ten seconds, health of each part."""

from __future__ import annotations

import time
from typing import Protocol

import msgspec

from .contract import Digest, Level, Stats
from .digest import Minutes, minute_id
from .health import Components, Figures, temperatures
from .messages import Message, Stamp, Tick, utc
from .outbox import Outbox
from .switches import Switches

STATS_SECONDS = 10.0
STALE_SECONDS = 10.0
"""A source from which nothing was judged for so long is stale."""
DIGEST_SECONDS = 3600.0
OF_EACH_SOURCE = ("source", "outbox", "commands")
"""Components that there are as often as sources."""
NO_LABEL = "none"
"""The retained label while no event is on."""


class Post(Protocol):
    """Publishes below the node."""

    def state(self, levels: str, payload: bytes | str, seconds: float | None = None) -> None:
        """Publish retained state, which may hold for some seconds only."""

    def passing(self, levels: str, payload: bytes) -> None:
        """Publish what is lost while the broker is away."""


class Vitals:
    """Takes every message and the time, and publishes what follows from them; in the publisher's thread only.

    A live source tells itself how it is; of a recording it is enough that it is judged. `suffix` is added to the names
    of the components that each source of a node has.
    """

    def __init__(
        self, post: Post, stamp: Stamp, switches: Switches, outbox: Outbox | None, *, suffix: str = ""
    ) -> None:
        self._suffix, self._mode, self._told = suffix, "full", False
        self._post, self._stamp, self._switches, self._outbox = post, stamp, switches, outbox
        self._figures, self._minutes, self._components = Figures(), Minutes(), Components()
        self._began = time.monotonic()
        self._stats_due, self._tick_at = self._began + STATS_SECONDS, 0.0

    def begin(self) -> None:
        """Publish the label that a start has."""
        self._post.state(f"{self._stamp.source}/label", NO_LABEL)

    def take(self, message: Message) -> None:
        """Take a tick or an event, now."""
        self._figures.push(message)
        if isinstance(message, Tick):
            self._tick_at = time.monotonic()
            self._mode = message.mode
            if not self._told:
                self.report("source", "ok", "is judged")
            if self._switches["publish_ticks"]:
                self._post.passing(f"{self._stamp.source}/tick", msgspec.json.encode(message))
        else:
            label = NO_LABEL if message.type == "end" else message.label
            self._post.state(f"{self._stamp.source}/label", label)
        self._publish_minutes(over=self._minutes.push(message))

    def look(self, now: float, *, memory: int = 0) -> None:
        """Publish what is due; `memory` events are held by no disk."""
        if now >= self._stats_due:
            self._stats_due = now + STATS_SECONDS
            self._post.passing("stats", msgspec.json.encode(self._stats(now)))
        self.report("outbox", *self.outbox_health(memory))
        if self._tick_at and now - self._tick_at > STALE_SECONDS and self._switches["enabled"] and not self._told:
            self.report("source", "stale", f"nothing was judged for {STALE_SECONDS:.0f} s")

    def refused(self, count: int, latest: str) -> None:
        """Commands were refused."""
        self.report("commands", "warn", f"{count} refused, the latest said: {latest}")

    def report(self, component: str, level: Level, message: str, state: str = "") -> None:
        """Publish how a component is, if that is news; with a `state` a live source tells it itself."""
        self._told = self._told or (component == "source" and bool(state))
        if component in OF_EACH_SOURCE:
            component += self._suffix
        health = self._components.report(component, level, message, state)
        if health is not None:
            self._post.state(f"health/{component}", msgspec.json.encode(health))

    def end(self) -> None:
        """Publish the minute that is going on."""
        self._publish_minutes(over=self._minutes.flush())

    def outbox_health(self, memory: int) -> tuple[Level, str]:
        """Say how the outbox is; in any thread."""
        if self._outbox is None:
            return "ok", "events wait in memory only, as configured"
        if self._outbox.failure:
            return "error", f"{self._outbox.failure}; {memory} events wait in memory"
        accounts = self._outbox.accounting()
        dropped, dead = (sum(getattr(account, what) for account in accounts.values()) for what in ("dropped", "dead"))
        if dropped or dead:
            return "warn", f"{dropped} messages were dropped as it was full, {dead} are dead letters"
        return "ok", "keeps every event"

    def _publish_minutes(self, over: list[Digest]) -> None:
        for digest in over:
            levels = f"{self._stamp.source}/digest/{minute_id(digest)}"
            self._post.state(levels, msgspec.json.encode(digest), DIGEST_SECONDS)

    def _stats(self, now: float) -> Stats:
        return Stats(
            node=self._stamp.node,
            source=self._stamp.source,
            boot=self._stamp.boot,
            time=utc(time.time_ns()),
            uptime_seconds=round(now - self._began, 1),
            seconds_judged=self._figures.seconds_judged,
            seconds_dropped=self._figures.seconds_dropped,
            latency_ms=self._figures.latency_ms(),
            outbox=self._outbox.accounting() if self._outbox else {},
            outbox_bytes=self._outbox.bytes if self._outbox else 0,
            temperatures=temperatures(),
            mode="reduced" if self._switches.left_out or self._mode != "full" else "full",
        )
