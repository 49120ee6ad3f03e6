"""Puts the outbox's messages on the wire, and sets aside what can never be sent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from .broker import Connection
from .config import Mqtt
from .drain import Flight
from .messages import EventMessage, MessageError, Stamp, read_event
from .outbox import Outbox, OutboxError
from .outgoing import Form, outgoing, outgoing_event

log = logging.getLogger(__name__)


class Sender:
    """Publishes below `node` in a form, as `name` in the log.

    `dropped` counts events that no disk holds and no broker takes.
    """

    def __init__(
        self, name: str, connection: Connection, stamp: Stamp, *, node: str, outbox: Outbox | None, form: Form
    ) -> None:
        self._name = name
        self._connection, self._node, self._stamp, self._outbox, self._form = connection, node, stamp, outbox, form
        self._said: set[str] = set()
        self.dropped = 0

    def send(self, flight: Flight, late: bool) -> int | None:  # noqa: FBT001 - the drain calls it so
        """Publish a message and return its id; None for one that can never be sent, which is set aside."""
        mqtt5 = self._connection.speaks_5
        try:
            if flight.item is not None and self._outbox is not None:
                stream = self._outbox.stream
                out = outgoing(flight.item, self._stamp, stream, late=late, mqtt5=mqtt5, form=self._form)
            else:
                event, levels = read_event(flight.loose or b""), f"{self._stamp.source}/event"
                out = outgoing_event(event, levels, mqtt5=mqtt5, form=self._form)
        except MessageError as error:
            self.bury(flight, str(error))
            return None
        most = self._connection.most_bytes
        if most is not None and out.bytes + len(self._node) > most:
            self.bury(flight, f"it has {out.bytes} bytes, the broker takes {most}")
            return None
        return self._connection.publish(f"{self._node}/{out.levels}", out.payload, qos=1, properties=out.properties)

    def bury(self, flight: Flight, why: str) -> None:
        """Set aside what can never be sent; said once for each topic."""
        if flight.item is None or self._outbox is None:
            self.dropped += 1
            return
        self._outbox.dead(flight.item.offset, why)
        if flight.item.topic not in self._said:
            self._said.add(flight.item.topic)
            log.warning("%s: a message on %s is set aside as a dead letter: %s", self._name, flight.item.topic, why)


def open_outbox(mqtt: Mqtt, stamp: Stamp) -> Outbox | None:
    """Open the outbox of a node's source; None where events are kept in memory only."""
    if mqtt.folder is None:
        return None
    file = mqtt.folder / f"outbox-{stamp.node}-{stamp.source}.db"
    return Outbox(file, quota_bytes=mqtt.outbox_mb * 2**20)


def past(
    outboxes: Sequence[Outbox], after: tuple[str, int] | None, limit: int
) -> tuple[tuple[EventMessage, ...], bool]:
    """Events that the outboxes keep, as they are sent after an outage, and whether there are more.

    Those after an event are asked of the outbox that knows its boot: each source has one of its own.
    """
    if not outboxes:
        msg = "this node keeps no history"
        raise OutboxError(msg)
    asked = outboxes if after is None else [next((box for box in outboxes if box.knows(after[0])), outboxes[0])]
    found = [(box.stream, *row) for box in asked for row in box.history(after, limit + 1)]
    events = []
    for stream, offset, payload in found[:limit]:
        with suppress(MessageError):  # a damaged row must not hide the others
            events.append(replace(read_event(payload), stream=stream, offset=offset, late=True))
    return tuple(events), len(found) > limit
