"""What a node publishes itself, over one connection: retained state, anew at every connection, and what may be lost."""

from __future__ import annotations

import time

from paho.mqtt.properties import Properties

from .broker import Connection
from .messages import Message, Tick, encode
from .outgoing import expiring
from .retained import Retained, State


class Wire:
    """Publishes below `node`, in one thread; `unanswered` is how many states the broker has not taken yet."""

    def __init__(self, connection: Connection, node: str) -> None:
        self._connection, self._node = connection, node
        self._retained, self._flying = Retained(), set[int]()
        self._online = False

    @property
    def up(self) -> bool:
        """Whether what is published now goes out."""
        return self._online and self._connection.up

    @property
    def unanswered(self) -> int:
        """States that the broker has not taken yet."""
        return len(self._flying)

    def begin(self) -> None:
        """Publish all state on a new connection, before anything else."""
        self._online = True
        self._flying.clear()
        for topic, state in self._retained:
            self._publish(topic, state)

    def end(self) -> None:
        """Publish no more."""
        self._online = False

    def state(self, levels: str, payload: bytes | str, seconds: float | None = None) -> None:
        """Set retained state below the node, for good or for some seconds; published if it is news."""
        self.set(f"{self._node}/{levels}", payload, seconds)

    def set(self, topic: str, payload: bytes | str, seconds: float | None = None) -> None:
        """Set retained state anywhere."""
        state = self._retained.set(topic, payload, None if seconds is None else time.monotonic() + seconds)
        if state is not None:
            self._publish(topic, state)

    def again(self, topic: str) -> None:
        """Publish a state once more."""
        for known, state in self._retained:
            if known == topic:
                self._publish(topic, state)

    def expire(self, now: float) -> None:
        """Clear the states whose time is over; an MQTT 5 broker has done so by itself."""
        for topic in self._retained.expire(now):
            self._publish(topic, State(b""))

    def passing(self, levels: str, payload: bytes) -> None:
        """Publish what is lost while the broker is away."""
        if self.up:
            self._connection.publish(f"{self._node}/{levels}", payload)

    def answer(self, topic: str, payload: bytes, properties: Properties | None) -> None:
        """Publish an answer to who asked."""
        if self.up:
            self._connection.publish(topic, payload, qos=1, properties=properties)

    def replay(self, message: Message) -> None:
        """Publish a message of a recording played again, lost while the broker is away; its session is the boot."""
        kind, qos = ("tick", 0) if isinstance(message, Tick) else ("event", 1)
        topic = f"{self._node}/replay/{message.boot}/{message.source}/{kind}"
        if self.up:
            self._connection.publish(topic, encode(message), qos=qos)

    def answered(self, mid: int) -> bool:
        """The broker has taken a message; False for one that was not waited for."""
        known = mid in self._flying
        self._flying.discard(mid)
        return known

    def _publish(self, topic: str, state: State) -> None:
        if self.up:
            expires = state.until is not None and self._connection.speaks_5
            properties = expiring((state.until or 0) - time.monotonic()) if expires else None
            self._flying.add(self._connection.publish(topic, state.payload, qos=1, retain=True, properties=properties))
