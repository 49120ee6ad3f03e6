"""The page of every device that publishes to a broker; without pictures, which MQTT does not carry."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

import msgspec
from paho.mqtt.client import MQTTMessage

from edge.address import MqttUrl
from edge.broker import Connection, Protocol
from edge.config import Web
from edge.contract import Feedback, Health, Level, Stats
from edge.envelope import unwrap
from edge.messages import Info, MessageError, Tick, encode, read_event, utc
from edge.tls import Security

from .serve import Page, Shop
from .standing import Card, NodeStanding, SourceStanding
from .token import token_of

TOPICS = ("+/status", "+/info", "+/stats", "+/health/+", "+/+/tick", "+/+/event")
STATUS: dict[str, tuple[Level, str]] = {
    "online": ("ok", "is there"),
    "stopped": ("warn", "was stopped"),
    "offline": ("error", "is gone without a word"),
}
QUIET_SECONDS = 2.5
"""A source whose seconds came, and come no more for so long, is stale."""
TURN_SECONDS = 0.25

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class _Heard:
    at: float
    mode: str
    since: str


class Fleet:
    """Reads what devices publish below `url` onto a page; feedback goes to the device that it concerns."""

    def __init__(self, url: MqttUrl, web: Web, *, security: Security | None, protocol: Protocol) -> None:
        self._url = url
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._sources: dict[str, _Heard] = {}
        self._said: set[str] = set()
        token, where = token_of(web)
        self.page = Page(web, token, Shop(say=self._say))
        log.info("the page is at %s; %s", self.page.address, where)
        self._connection = Connection(
            url,
            f"touchline-page-{time.time_ns():x}",
            topics=[f"{url.base}/{topic}" for topic in TOPICS],
            on_up=lambda: self._inbox.put(self._up),
            on_down=lambda sentence: self._inbox.put(partial(self._down, sentence)),
            on_message=lambda message: self._inbox.put(partial(self._heard, message)),
            security=security,
            protocol=protocol,
        )

    def run(self) -> None:
        """Show what comes until the process is told to end."""
        self._connection.open()
        try:
            while True:
                with suppress(Empty):
                    self._inbox.get(timeout=TURN_SECONDS)()
                self._look(time.monotonic())
        finally:
            self._connection.close()
            self.page.close()

    def _up(self) -> None:
        log.info("mqtt broker %s: connected", self._url)
        self._broker("ok", f"connected to mqtt broker {self._url}")

    def _down(self, sentence: str) -> None:
        log.warning("%s; the connection is retried", sentence)
        self._broker("error", sentence)

    def _broker(self, level: Level, sentence: str) -> None:
        health = Health(level=level, message=sentence, since=utc(time.time_ns()))
        self.page.later(partial(self.page.board.report, "page", "broker", health))

    def _heard(self, message: MQTTMessage) -> None:
        levels = message.topic[len(self._url.base) + 1 :].split("/")
        try:
            self._read(levels, bytes(message.payload))
        except (MessageError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if message.topic not in self._said and len(self._said) < 1000:
                self._said.add(message.topic)
                log.warning("%s: %s", message.topic, error)

    def _read(self, levels: list[str], payload: bytes) -> None:
        node, board, later = levels[0], self.page.board, self.page.later
        if levels[1:] == ["status"]:
            level, words = STATUS.get(payload.decode(), ("warn", "says something else"))
            health = Health(level=level, message=f"{node} {words}", since=utc(time.time_ns()))
            later(partial(board.report, node, "device", health))
        elif levels[1:] == ["info"]:
            later(partial(board.introduce, _decoded(payload, Info)))
        elif levels[1:] == ["stats"]:
            later(partial(self._stats, _decoded(payload, Stats)))
        elif levels[1] == "health":
            if payload:
                later(partial(board.report, node, levels[2], _decoded(payload, Health)))
        elif levels[2] == "tick":
            self._tick(_decoded(payload, Tick))
        else:
            self.page(replace(read_event(unwrap(payload)), media=None))

    def _tick(self, tick: Tick) -> None:
        name = f"{tick.node}/{tick.source}"
        known = self._sources.get(name)
        since = known.since if known and time.monotonic() - known.at < QUIET_SECONDS else utc(time.time_ns())
        self._sources[name] = _Heard(time.monotonic(), tick.mode, since)
        self.page(tick)

    def _stats(self, stats: Stats) -> None:
        known = self.page.board.nodes.get(stats.node)
        parts = known.standing.parts if known else {}
        standing = NodeStanding(parts=parts, outbox=stats.outbox, mode=stats.mode, uptime_seconds=stats.uptime_seconds)
        self.page.board.look_at_node(stats.node, standing)

    def _look(self, now: float) -> None:
        for name, heard in self._sources.items():
            quiet = now - heard.at
            standing = SourceStanding(level="ok", state="judged", since=heard.since, live=True, mode=heard.mode)
            if quiet > QUIET_SECONDS:
                standing = replace(
                    standing, level="stale", state="silent", message=f"nothing for {quiet:.0f} s", live=False
                )
            self.page.later(partial(self.page.board.look, name, standing, now))

    def _say(self, feedback: Feedback, card: Card) -> None:
        if not self._connection.up:
            msg = "the broker is away"
            raise OSError(msg)
        self._connection.publish(f"{self._url.base}/{card.event.node}/feedback", encode(feedback), qos=1)


def _decoded(payload: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(payload, type=kind)
