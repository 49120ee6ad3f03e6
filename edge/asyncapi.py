"""The contract as an AsyncAPI 3.0 document, seen from the device: it sends what goes from it and receives the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from . import __version__
from .contract import HOME_ASSISTANT, PARAMETERS, TOPICS, Topic
from .envelope import STRUCTURED, envelope
from .samples import END, SAMPLES
from .schemas import Schema, components, schema_id

BINDING = "0.2.0"
KEEPALIVE_SECONDS = 15
ALL: Mapping[str, Topic] = {**TOPICS, **HOME_ASSISTANT}
DESCRIPTION = "Ticks, events and state of a Touchline device over MQTT 3.1.1 or 5, and the commands that it takes."
ENVELOPE = {
    "description": "an event in a CloudEvents 1.0 envelope: structured JSON where the connection speaks MQTT 3.1.1",
    "type": "object",
    "properties": {
        "specversion": {"enum": ["1.0"]},
        "type": {"enum": [f"io.touchline.event.{kind}" for kind in ("end", "new", "update")]},
        "source": {"description": "`/{node}/{source}`", "type": "string"},
        "id": {"description": "`{boot}-{seq}`: names the message within its source", "type": "string"},
        "subject": {"description": "id of the event", "type": "string"},
        "time": {"description": "end of the event, or its start while it is on", "type": "string"},
        "dataschema": {"enum": ["urn:touchline:event/1"]},
        "datacontenttype": {"enum": ["application/json"]},
        "data": {"$ref": "#/components/schemas/EventMessage"},
    },
    "required": ["specversion", "type", "source", "id", "data"],
}


def asyncapi() -> dict[str, Any]:
    """Describe every topic of the contract, with an example of each message."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:touchline:mqtt",
        "info": {"title": "Touchline over MQTT", "version": __version__, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "plain": _server("mqtt", 1883, "without encryption, for one's own network"),
            "tls": _server("secure-mqtt", 8883, "TLS 1.2 or 1.3, with a client certificate where the broker asks"),
        },
        "channels": {name: _channel(name, topic) for name, topic in ALL.items()},
        "operations": {name: _operation(name, topic) for name, topic in ALL.items()},
        "components": {
            "schemas": components("#/components/schemas/{name}"),
            "messages": {
                **{name: _message(name, topic) for name, topic in ALL.items()},
                "event_in_envelope": _enveloped(),
            },
        },
    }


def example(name: str) -> Any:  # noqa: ANN401 - whatever JSON can be
    """Give a topic's example as JSON data; a plain text as a string."""
    sample = SAMPLES[name]
    if isinstance(sample, str):
        return sample
    return msgspec.json.decode(sample if isinstance(sample, bytes) else msgspec.json.encode(sample))


def _server(protocol: str, port: int, summary: str) -> dict[str, Any]:
    will = {"topic": TOPICS["status"].address, "qos": 1, "retain": True, "message": "offline"}
    mqtt = {"cleanSession": True, "keepAlive": KEEPALIVE_SECONDS, "lastWill": will, "bindingVersion": BINDING}
    return {
        "host": f"{{broker}}:{port}",
        "protocol": protocol,
        "summary": summary,
        "variables": {"broker": {"description": "host name or address of the broker", "default": "localhost"}},
        "bindings": {"mqtt": mqtt},
    }


def _channel(name: str, topic: Topic) -> dict[str, Any]:
    levels = re.findall(r"\{(\w+)\}", topic.address)
    parameters = {level: _parameter(level) for level in levels}
    names = [name, "event_in_envelope"] if name == "event" else [name]
    return {
        "address": topic.address,
        "summary": topic.summary,
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in names},
        **({"parameters": parameters} if parameters else {}),
    }


def _parameter(level: str) -> dict[str, Any]:
    parameter = PARAMETERS[level]
    values = {"enum": list(parameter.values)} if parameter.values else {}
    return {"description": parameter.summary, "examples": [parameter.example], **values}


def _operation(name: str, topic: Topic) -> dict[str, Any]:
    expiry = {} if topic.expiry_seconds is None else {"messageExpiryInterval": topic.expiry_seconds}
    mqtt = {"qos": topic.qos, "retain": topic.kind == "state", **expiry, "bindingVersion": BINDING}
    reply = {
        "address": {"description": "or MQTT 5's response topic", "location": "$message.payload#/reply_to"},
        "channel": {"$ref": "#/channels/rpc_reply"},
        "messages": [{"$ref": "#/channels/rpc_reply/messages/rpc_reply"}],
    }
    return {
        "action": "send" if topic.direction == "from device" else "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": topic.summary,
        "bindings": {"mqtt": mqtt},
        **({"reply": reply} if name == "rpc" else {}),
    }


def _message(name: str, topic: Topic) -> dict[str, Any]:
    plain = isinstance(topic.payload, tuple)
    return {
        "name": name,
        "title": title(topic),
        "summary": topic.summary,
        "contentType": "text/plain" if plain else "application/json",
        "payload": _payload(topic),
        "examples": [{"name": name, "payload": example(name)}],
    }


def _payload(topic: Topic) -> Schema:
    if isinstance(topic.payload, tuple):
        return {"type": "string", **({"enum": list(topic.payload)} if topic.payload else {})}
    if topic.payload is dict:
        return {"type": "object", "description": "in the form that Home Assistant documents"}
    return {"$ref": f"#/components/schemas/{topic.payload.__name__}"}


def title(topic: Topic) -> str:
    """Name a topic's payload: the record's schema, or the texts that it may be."""
    if isinstance(topic.payload, tuple):
        return " or ".join(topic.payload) or "a label"
    return "JSON object" if topic.payload is dict else schema_id(topic.payload)


def _enveloped() -> dict[str, Any]:
    return {
        "name": "event_in_envelope",
        "title": "CloudEvent",
        "summary": 'the same event where the device is told `envelope = "cloudevents"`',
        "contentType": STRUCTURED.partition(";")[0],
        "payload": ENVELOPE,
        "examples": [{"name": "structured", "payload": msgspec.json.decode(envelope(END, binary=False).payload)}],
    }
