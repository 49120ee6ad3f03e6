"""What a device publishes and keeps, and a stranger's client that tells it something."""

from __future__ import annotations

import json
import threading

import paho.mqtt.client as paho

from edge.messages import read_event
from edge.outbox import Outbox

NODE = "touchline/truck1"
SOURCE = f"{NODE}/cam2"


def events(listener):
    return [read_event(payload.encode()) for payload in listener.payloads(f"{SOURCE}/event")]


def said(caplog, words):
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def accounts(state_home):
    box = Outbox(state_home / "touchline" / "outbox-truck1-cam2.db")
    try:
        return box.accounting()["event"]
    finally:
        box.close()


class Client:
    """A stranger's client, with which to tell the device something."""

    def __init__(self, broker, *topics, protocol=paho.MQTTv5, **options):
        self.got = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol, **options)
        # amqtt sends whatever is retained, asked for or not.
        self.client.on_message = lambda *its: None if its[2].retain else self.got.append(its[2])
        self.ready = threading.Event()
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self.ready.wait(8)

    def tell(self, topic, payload, *, retain=False):
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.client.publish(topic, text, qos=1, retain=retain).wait_for_publish(8)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
