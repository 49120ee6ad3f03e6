"""CloudEvents, read by the project's own SDK, before and after a real broker."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from queue import SimpleQueue

import made
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.envelope import PLAIN, STRUCTURED, attributes, envelope, unwrap
from edge.messages import encode, read_event

TOPIC = "touchline/truck1/cam2/event"


def same(read: CloudEvent, event) -> None:
    assert read.get_type() == f"io.touchline.event.{event.type}"
    assert (read.get_id(), read.get_source(), read.get_subject()) == ("b7f2-7", "/truck1/cam2", "b7f2-000001")
    assert read.get_dataschema() == "urn:touchline:event/1"
    assert read.get_datacontenttype() == PLAIN
    assert read.get_data() == json.loads(encode(event))


@pytest.mark.parametrize("kind", ["new", "update", "end"])
def test_the_sdk_reads_a_structured_event(kind):
    event = made.event_message(7, kind)
    wrapped = envelope(event, binary=False)
    assert (wrapped.content_type, wrapped.user_properties) == (STRUCTURED, ())
    same(JSONFormat().read(CloudEvent, wrapped.payload), event)


def test_time_is_the_start_until_the_end_is_known():
    times = [JSONFormat().read(None, envelope(made.event_message(1, kind), binary=False).payload).get_time()
             for kind in ("new", "end")]  # fmt: skip
    assert times == [datetime(2026, 11, 23, 10, 15, second, tzinfo=timezone.utc) for second in (45, 48)]


def test_the_binary_mode_passes_through_a_broker_as_user_properties(broker):
    event = made.event_message(7, "end")
    wrapped = envelope(event, binary=True)
    inbox, ready = SimpleQueue(), SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _userdata, message: inbox.put(message)
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", broker.port)
    client.subscribe(TOPIC, 1)
    client.loop_start()
    ready.get(timeout=8)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType, properties.UserProperty = wrapped.content_type, list(wrapped.user_properties)
    client.publish(TOPIC, wrapped.payload, 1, properties=properties)
    got = inbox.get(timeout=8)
    client.disconnect()
    client.loop_stop()
    described = dict(got.properties.UserProperty)
    described["time"] = datetime.fromisoformat(described["time"].replace("Z", "+00:00"))
    described["datacontenttype"] = got.properties.ContentType
    same(CloudEvent(described, json.loads(got.payload)), event)
    assert read_event(got.payload) == event


def test_source_and_id_name_one_message():
    kinds = [attributes(made.event_message(seq, "update")) for seq in (1, 2)]
    assert len({(kind["source"], kind["id"]) for kind in kinds}) == 2


def test_what_has_no_envelope_comes_back_as_it_is():
    event = made.event_message(3)
    assert unwrap(encode(event)) == encode(event)
    assert read_event(unwrap(envelope(event, binary=False).payload)) == event
    assert unwrap(b'{"specversion"') == b'{"specversion"'
    assert unwrap(b'\xff"specversion"') == b'\xff"specversion"'
