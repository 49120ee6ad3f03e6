"""A stored message as it goes out: its place in the stream filled in, its envelope and properties put on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .contract import Gap
from .envelope import Envelope, envelope
from .messages import EventMessage, Stamp, read_event
from .outbox import Hole, Item

Form = Literal["plain", "cloudevents"]
PACKET_BYTES = 64
"""What a packet holds besides topic, payload and user properties, rounded up."""


@dataclass(frozen=True)
class Outgoing:
    """A message ready for the wire; `levels` of its topic below the node."""

    levels: str
    payload: bytes
    properties: Properties | None = None
    bytes: int = 0


def outgoing(item: Item, stamp: Stamp, stream: str, *, late: bool, mqtt5: bool, form: Form) -> Outgoing:
    """Prepare an item of the outbox; MessageError says why a stored payload cannot be read."""
    if item.kind == "gap":
        hole = msgspec.json.decode(item.payload, type=Hole)
        gap = Gap(
            node=stamp.node,
            source=stamp.source,
            stream=stream,
            first=hole.first,
            last=hole.last,
            dropped=hole.dropped,
            reason="the outbox was full, or it could not be sent",
        )
        return Outgoing(f"{stamp.source}/gap", msgspec.json.encode(gap))
    event = replace(read_event(item.payload), stream=stream, offset=item.offset, late=late)
    return outgoing_event(event, item.topic, mqtt5=mqtt5, form=form)


def outgoing_event(event: EventMessage, levels: str, *, mqtt5: bool, form: Form) -> Outgoing:
    """Prepare an event."""
    if form == "plain":
        payload = msgspec.json.encode(event)
        return Outgoing(levels, payload, None, PACKET_BYTES + len(levels) + len(payload))
    wrapped = envelope(event, binary=mqtt5)
    extra = sum(len(name) + len(value) + 5 for name, value in wrapped.user_properties)
    size = PACKET_BYTES + len(levels) + len(wrapped.payload) + len(wrapped.content_type) + extra
    return Outgoing(levels, wrapped.payload, _wrapping(wrapped) if mqtt5 else None, size)


def expiring(seconds: float) -> Properties:
    """Properties of a message that an MQTT 5 broker shall forget after so many seconds."""
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, round(seconds))
    return properties  # type: ignore[no-any-return]


def _wrapping(wrapped: Envelope) -> Properties:
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = wrapped.content_type
    properties.UserProperty = list(wrapped.user_properties)
    return properties  # type: ignore[no-any-return]
