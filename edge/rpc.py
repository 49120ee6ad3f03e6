"""Questions over MQTT: where an answer goes, in MQTT 5 by properties, in 3.1.1 by the question itself."""

from __future__ import annotations

from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def request_properties(response_topic: str, correlation: str) -> Properties:
    """The properties of a question: where the answer shall go, and the data that it shall bring back."""
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = response_topic
    properties.CorrelationData = correlation.encode()
    return properties  # type: ignore[no-any-return]


def answer_address(message: MQTTMessage, reply_to: str | None) -> tuple[str | None, Properties | None]:
    """Where the answer to a question goes, and its properties; the response topic goes before `reply_to`."""
    topic = getattr(message.properties, "ResponseTopic", None)
    if topic is None:
        return reply_to, None
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    data = getattr(message.properties, "CorrelationData", None)
    if data is not None:
        properties.CorrelationData = data
    return topic, properties
