"""Ticks and events to an MQTT broker, with birth, last will and retained state."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from .broker import Connection, MqttError, MqttUrl
from .messages import Info, Message, Stamp, Tick, encode

__all__ = ["MqttError", "MqttPublisher", "MqttUrl"]

MAX_WAITING = 10_000
"""Messages of events kept in memory while the broker is away; later ones are dropped and counted."""
CLOSE_SECONDS = 5.0
NO_LABEL = "none"
"""The retained label while no event is on."""

log = logging.getLogger(__name__)


class MqttPublisher:
    """A sink that publishes under `{base}/{node}`; it connects in the background from the start.

    At every connection it publishes the retained state anew (status, info, each role's status, label), then
    the events that the broker has not acknowledged, in order. Ticks are lost while the broker is away;
    events wait in memory. The retained label is that of the event that is on, or `none`.
    """

    def __init__(self, url: str, stamp: Stamp, info: Info, roles: Sequence[str]) -> None:
        self._url = MqttUrl.parse(url)
        self._node = f"{self._url.base}/{stamp.node}"
        self._source = f"{self._node}/{stamp.source}"
        self._info, self._roles = encode(info), roles
        self._lock = threading.Lock()
        self._acknowledged: SimpleQueue[int] = SimpleQueue()
        self._waiting: deque[bytes] = deque()
        self._unacknowledged: dict[int, bytes | None] = {}  # None: state, which a new connection sends anew
        self._label, self._label_sent = NO_LABEL, ""
        self._dropped = 0
        self._announce = True
        self._connection = Connection(
            self._url,
            # The same at every start, so that a new process takes over from one that the broker has not
            # missed yet, and the old one's last will comes before the new one's birth.
            f"touchline-{stamp.node}-{stamp.source}",
            on_up=self._on_up,
            on_down=self._on_down,
            on_ack=self._acknowledged.put,
            will=(f"{self._node}/status", "offline"),
        )
        self._connection.open()

    def __call__(self, message: Message) -> None:
        """Publish a tick (QoS 0) or an event (QoS 1, then the label if it changed), without waiting."""
        payload = encode(message)
        with self._lock:
            self._settle()
            if isinstance(message, Tick):
                if self._connection.up:
                    self._connection.publish(f"{self._source}/tick", payload)
            else:
                self._label = NO_LABEL if message.type == "end" else message.label
                if len(self._waiting) + len(self._unacknowledged) < MAX_WAITING:
                    self._waiting.append(payload)
                else:
                    self._dropped += 1
            if self._connection.up:
                self._send()

    def close(self) -> None:
        """Wait up to 5 s for the broker to acknowledge, say `stopped`, disconnect; log what was lost.

        Where the connection is known to be down there is nothing to wait for.
        """
        deadline = time.monotonic() + CLOSE_SECONDS
        self._wait(deadline)
        with self._lock:
            if self._connection.up:
                for role in self._roles:
                    self._state(f"{self._source}/status/{role}", "offline")
                self._state(f"{self._node}/status", "stopped")
        self._wait(deadline)
        self._connection.close()
        with self._lock:
            lost = self._dropped + len(self._pending())
            self._dropped = 0
            self._waiting.clear()
            self._unacknowledged.clear()
        if lost:
            log.warning("mqtt broker %s: %d event messages were not delivered", self._url, lost)

    def _on_up(self) -> None:
        if self._announce:
            log.info("mqtt broker %s: connected, publishing under %s", self._url, self._node)
            self._announce = False
        with self._lock:
            self._connection.forget()
            self._settle()
            self._waiting, self._unacknowledged = deque(self._pending()), {}
            self._label_sent = ""
            self._state(f"{self._node}/status", "online")
            self._state(f"{self._node}/info", self._info)
            for role in self._roles:
                self._state(f"{self._source}/status/{role}", "online")
            self._send()

    def _on_down(self, sentence: str) -> None:
        retried = "" if self._connection.up else " and the connection is retried"
        log.warning("%s; detection goes on%s", sentence, retried)
        self._announce = True

    def _send(self) -> None:
        while self._waiting:
            payload = self._waiting.popleft()
            self._unacknowledged[self._connection.publish(f"{self._source}/event", payload, qos=1)] = payload
        if self._label != self._label_sent:
            self._state(f"{self._source}/label", self._label)
            self._label_sent = self._label

    def _state(self, topic: str, payload: bytes | str) -> None:
        self._unacknowledged[self._connection.publish(topic, payload, qos=1, retain=True)] = None

    def _settle(self) -> None:
        # Acknowledgements come while paho holds its locks; taking ours there could deadlock: hence the queue.
        try:
            while True:
                self._unacknowledged.pop(self._acknowledged.get_nowait(), None)
        except Empty:
            pass

    def _pending(self) -> list[bytes]:
        return [
            *(payload for payload in self._unacknowledged.values() if payload is not None),
            *self._waiting,
        ]

    def _wait(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            with self._lock:
                self._settle()
                if self._connection.up:
                    self._send()
                    if not self._unacknowledged:
                        return
                elif self._connection.failing:
                    return
            time.sleep(0.01)
