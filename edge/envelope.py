"""Events as CloudEvents 1.0: the same record, under attributes that any CloudEvents reader knows.

After the MQTT protocol binding 1.0.2: structured JSON where the connection speaks MQTT 3.1.1; in MQTT 5 the plain
record, with the attributes as user properties (binary mode).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .messages import EventMessage, encode

STRUCTURED = "application/cloudevents+json; charset=utf-8"
PLAIN = "application/json"


@dataclass(frozen=True)
class Envelope:
    """What to publish: the payload and, for MQTT 5, its content type and user properties."""

    payload: bytes
    content_type: str
    user_properties: tuple[tuple[str, str], ...] = ()


class _Structured(msgspec.Struct):
    data: msgspec.Raw


_STRUCTURED = msgspec.json.Decoder(_Structured)


def attributes(event: EventMessage) -> dict[str, str]:
    """Give an event's CloudEvents attributes; `source` and `id` together name the message.

    `time` is when the event ended, or, until then, when it began. `subject` is the event whose step this is.
    """
    return {
        "specversion": "1.0",
        "type": f"io.touchline.event.{event.type}",
        "source": f"/{event.node}/{event.source}",
        "id": f"{event.boot}-{event.seq}",
        "subject": event.id,
        "time": event.end or event.start,
        "dataschema": f"urn:touchline:{event.schema}",
    }


def envelope(event: EventMessage, *, binary: bool) -> Envelope:
    """Wrap an event; `binary` needs MQTT 5, structured JSON goes with any version."""
    described = attributes(event)
    if binary:
        return Envelope(encode(event), PLAIN, tuple(described.items()))
    return Envelope(msgspec.json.encode({**described, "datacontenttype": PLAIN, "data": event}), STRUCTURED)


def unwrap(payload: bytes) -> bytes:
    """Take a structured envelope off; a payload without one, or in binary mode, comes back as it is."""
    if b'"specversion"' not in payload:
        return payload
    try:
        return bytes(_STRUCTURED.decode(payload).data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return payload
