"""Nothing is lost: the outbox, drained over real brokers that are away, killed, silent, or refuse."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import made
import paho.mqtt.client as paho
import pytest
from brokers import mosquitto, program, until

from edge import mqtt
from edge.config import Mqtt
from edge.contract import Acknowledgement
from edge.messages import read_event
from edge.mqtt import MqttPublisher
from edge.outbox import Outbox, OutboxError
from edge.switches import Switches

NODE = "touchline/truck1"
SOURCE = f"{NODE}/cam2"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def publish(caplog):
    caplog.set_level(logging.INFO)
    opened = []

    def open_publisher(url, stamp=made.STAMP, *, switches=None, self_test=None, roles=("rgb", "audio"), **settings):
        settings = Mqtt(url=url, **settings)
        info = replace(made.INFO, boot=stamp.boot)
        opened.append(MqttPublisher(settings, stamp, info, roles, switches=switches, self_test=self_test))
        return opened[-1]

    yield open_publisher
    for publisher in opened:
        publisher.close()


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


@pytest.fixture
def client():
    clients = []

    def make(broker, *topics, **options):
        clients.append(Client(broker, *topics, **options))
        return clients[-1]

    yield make
    for one in clients:
        one.close()


def test_nothing_is_lost_over_restarts_while_the_broker_is_away(stopped_broker, publish, caplog, state_home):
    for start in range(3):
        publisher = publish(stopped_broker.url, replace(made.STAMP, boot=f"boot{start}"))
        for seq in range(1, 41):
            publisher(replace(made.event_message(seq), boot=f"boot{start}"))
        assert until(lambda: said(caplog, "connection refused"))
        publisher.close()
        assert said(caplog, "wait for the next start")[-1].endswith(
            f" {40 * (start + 1)} event messages wait for the next start"
        )
        assert caplog.text.count("not delivered") == 0
    listener = stopped_broker.start().listen()
    publisher = publish(stopped_broker.url, replace(made.STAMP, boot="boot3"))
    publisher(replace(made.event_message(1), boot="boot3"))
    assert until(lambda: len(events(listener)) >= 121)
    publisher.close()
    assert [event.offset for event in events(listener)] == list(range(1, 122))
    assert [(event.boot, event.seq) for event in events(listener)[:120]] == [
        (f"boot{start}", seq) for start in range(3) for seq in range(1, 41)
    ]
    assert [event.late for event in events(listener)] == [True] * 120 + [False]
    assert accounts(state_home).delivered == 121


def test_live_events_overtake_a_long_backlog_and_what_they_overtook_is_late(stopped_broker, publish, monkeypatch):
    monkeypatch.setattr("edge.drain.ORDER_SECONDS", 0.05)
    publisher = publish(stopped_broker.url)
    for seq in range(1, 3001):
        publisher(made.event_message(seq))
    assert until(lambda: publisher._outbox.last == 3000, 20)
    listener = stopped_broker.start().listen("-q", "1", topic=f"{SOURCE}/event")
    assert until(lambda: events(listener), 20)
    began = time.monotonic()
    publisher(made.event_message(3001))
    assert until(lambda: any(event.seq == 3001 for event in events(listener)[-500:]), 20)
    assert time.monotonic() - began < 2
    assert until(lambda: len(listener.got) >= 3001, 30)
    came = events(listener)
    order = [event.seq for event in came]
    assert sorted(order) == list(range(1, 3002))
    assert order.index(3001) < 3000
    assert [seq for seq in order if seq <= 3000] == list(range(1, 3001))
    assert all(event.late for event in came[order.index(3001) + 1 :])
    assert not came[order.index(3001)].late


def test_a_second_process_may_not_use_the_same_outbox(broker, publish):
    publish(broker.url)
    with pytest.raises(OutboxError, match="another process uses this outbox"):
        publish(broker.url)


class Silent:
    """A broker that accepts connections and acknowledges nothing; it notes what came."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.connections, self.data = 0, []
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.server.getsockname()[1]}"

    def accept(self):
        while True:
            try:
                caller, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            self.data.append(b"")
            threading.Thread(target=self.serve, args=(caller, len(self.data) - 1), daemon=True).start()

    def serve(self, caller, index):
        with caller:
            caller.recv(4096)
            caller.sendall(b"\x20\x02\x00\x00")  # CONNACK, MQTT 3.1.1
            heard = caller.recv(4096)
            assert heard[0] == 0x82
            count = heard.count(b"touchline/")
            caller.sendall(bytes([0x90, 2 + count]) + heard[2:4] + b"\x01" * count)
            while data := caller.recv(65536):
                self.data[index] += data

    def close(self):
        self.server.close()


@pytest.fixture
def silent():
    server = Silent()
    yield server
    server.close()


def test_a_broker_that_acknowledges_nothing_is_connected_anew_and_gets_20_at_a_time(
    silent, publish, caplog, monkeypatch, state_home
):
    monkeypatch.setattr(mqtt, "WATCHDOG_SECONDS", 1.0)
    monkeypatch.setattr(mqtt, "CLOSE_SECONDS", 1.0)
    publisher = publish(silent.url, protocol="3.1.1")
    for seq in range(1, 101):
        publisher(made.event_message(seq))
    assert until(lambda: silent.connections >= 2, 15)
    assert said(caplog, "has answered nothing for 1 s and is connected anew")
    assert max(data.count(b'"schema":"event/1"') for data in silent.data) <= 20
    publisher.close()
    assert accounts(state_home).queued == 100


def test_refused_events_are_dead_letters_and_the_others_go_on(tmp_path, publish, caplog, state_home):
    rules = tmp_path / "rules"
    rules.write_text("topic read #\ntopic write touchline/truck1/status\n")
    broker = mosquitto(tmp_path, "allow_anonymous true", f"acl_file {rules}").start()
    publisher = publish(broker.url)
    publisher(made.event_message(1))
    publisher(made.event_message(2))
    publisher.close()
    broker.close()
    assert len(said(caplog, "set aside as a dead letter: the broker refuses it (0x87)")) == 1
    assert (accounts(state_home).dead, accounts(state_home).queued) == (2, 0)


def test_what_is_over_the_brokers_limit_is_a_dead_letter(tmp_path, publish, caplog, state_home):
    broker = mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 4000").start()
    listener = broker.listen(topic=f"{SOURCE}/event")
    publisher = publish(broker.url)
    publisher(replace(made.event_message(1), faults=("x" * 5000,)))
    publisher(made.event_message(2))
    assert until(lambda: events(listener))
    publisher.close()
    broker.close()
    assert [event.seq for event in events(listener)] == [2]
    assert len(said(caplog, "the broker takes 4000")) == 1
    assert (accounts(state_home).dead, accounts(state_home).delivered) == (1, 1)


def test_a_stored_payload_that_cannot_be_read_is_a_dead_letter(broker, publish, state_home):
    box = Outbox(state_home / "touchline" / "outbox-truck1-cam2.db")
    box.put("cam2/event", b"{}").result(5)
    box.close()
    listener = broker.listen(topic=f"{SOURCE}/event")
    publisher = publish(broker.url)
    publisher(made.event_message(1))
    assert until(lambda: events(listener))
    publisher.close()
    assert accounts(state_home).dead == 1


def test_what_was_dropped_is_said_in_a_gap(stopped_broker, publish, state_home):
    publisher = publish(stopped_broker.url, outbox_mb=1)
    for seq in range(1, 4001):
        publisher(made.event_message(seq))
    assert until(lambda: publisher._outbox.last == 4000, 20)
    listener = stopped_broker.start().listen(topic=f"{SOURCE}/#")
    assert until(lambda: any(event.seq == 4000 for event in events(listener)[-1:]), 30)
    gap = json.loads(listener.wait(f"{SOURCE}/gap"))
    publisher.close()
    offsets = [event.offset for event in events(listener)]
    assert (gap["first"], gap["last"] + 1) == (1, offsets[0])
    assert offsets == list(range(offsets[0], 4001))
    account = accounts(state_home)
    assert gap["dropped"] == {"event": account.dropped}
    assert account.produced == account.delivered + account.dropped == 4000


KEEPER = """
import json, sys
from pathlib import Path
import paho.mqtt.client as paho
port, file = int(sys.argv[1]), Path(sys.argv[2])
have = set(map(int, file.read_text().split())) if file.exists() else set()
upto = 0
def take(client, _data, message):
    global upto
    event = json.loads(message.payload)
    if event["offset"] not in have:
        with file.open("a") as lines:
            lines.write(f"{event['offset']}\\n")
        have.add(event["offset"])
    while upto + 1 in have:
        upto += 1
    text = json.dumps({"schema": "ack/1", "stream": event["stream"], "upto": upto})
    client.publish("touchline/truck1/cam2/acknowledge/archive", text, qos=1, retain=True)
client = paho.Client(paho.CallbackAPIVersion.VERSION2)
client.on_connect = lambda client, *_: client.subscribe("touchline/truck1/cam2/event", 1)
client.on_message = take
client.reconnect_delay_set(1, 1)
client.connect("127.0.0.1", port)
client.loop_forever()
"""


def test_end_to_end_nothing_is_lost_when_the_broker_is_killed(tmp_path, publish, state_home):
    data = tmp_path / "data"
    data.mkdir()
    broker = mosquitto(tmp_path, "allow_anonymous true", "persistence true", f"persistence_location {data}/").start()
    kept = tmp_path / "kept"
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(broker.port), str(kept)])
    publisher = publish(broker.url, delivery="end-to-end", consumers=("archive",))
    try:
        for burst in range(3):
            for seq in range(1, 101):
                publisher(made.event_message(100 * burst + seq))
                time.sleep(0.002)
            os.kill(broker.process.pid, signal.SIGKILL)
            broker.process.wait(10)
            broker.start()
        assert until(lambda: kept.exists() and len(set(kept.read_text().split())) == 300, 30)
        assert until(lambda: publisher._drain.settled, 15)
        publisher.close()
    finally:
        keeper.terminate()
        keeper.wait(10)
        broker.close()
    assert {int(line) for line in kept.read_text().split()} == set(range(1, 301))
    account = accounts(state_home)
    assert (account.produced, account.delivered, account.queued) == (300, 300, 0)


def test_end_to_end_keeps_what_nobody_acknowledged_and_sends_it_again(broker, publish, client, state_home, caplog):
    settings = {"delivery": "end-to-end", "consumers": ("archive", "board")}
    listener = broker.listen("-q", "1", topic=f"{SOURCE}/event")
    publisher = publish(broker.url, **settings)
    for seq in (1, 2, 3):
        publisher(made.event_message(seq))
    assert until(lambda: len(events(listener)) >= 6, 8)  # again after 2 s
    assert [event.offset for event in events(listener)[:6]] == [1, 2, 3, 1, 2, 3]
    stream = events(listener)[0].stream
    teller = client(broker, "x")
    for consumer, upto in (("archive", 3), ("board", 2)):
        what = asdict(Acknowledgement(stream=stream, upto=upto))
        teller.tell(f"{SOURCE}/acknowledge/{consumer}", what, retain=True)
    assert until(lambda: publisher._drain._settled == 2)
    teller.tell(f"{SOURCE}/acknowledge/board", {"schema": "ack/1", "stream": stream, "upto": 99}, retain=True)
    assert until(lambda: said(caplog, "upto: is beyond all that was ever sent"))
    publisher.close()
    assert said(caplog, "1 event messages wait for the next start")
    assert accounts(state_home).queued == 1


def test_switches_are_turned_and_a_modality_that_is_off_is_disabled(broker, publish, client):
    switches = Switches()
    listener = broker.listen()
    publisher = publish(broker.url, switches=switches)
    listener.wait(f"{SOURCE}/rgb/state", "ON")
    teller = client(broker, "x")
    teller.tell(f"{SOURCE}/rgb/set", "OFF")
    listener.wait(f"{SOURCE}/rgb/state", "OFF")
    listener.wait(f"{SOURCE}/status/rgb", "disabled")
    assert switches.left_out == {"rgb"}
    teller.tell(f"{SOURCE}/publish_ticks/set", "OFF")
    listener.wait(f"{SOURCE}/publish_ticks/state", "OFF")
    publisher(made.tick(1))
    publisher(made.event_message(1))
    listener.wait(f"{SOURCE}/event")
    assert listener.payloads(f"{SOURCE}/tick") == []
    teller.tell(f"{SOURCE}/enabled/set", "OFF")
    listener.wait(f"{SOURCE}/status/audio", "disabled")


def test_bad_commands_are_counted_said_once_and_have_no_effect(broker, publish, client, caplog):
    switches = Switches()
    listener = broker.listen()
    publish(broker.url, switches=switches)
    listener.wait(f"{SOURCE}/rgb/state", "ON")
    teller = client(broker, "x")
    for payload in ("off", "", "x" * 70_000):
        teller.tell(f"{SOURCE}/rgb/set", payload)
    teller.tell(f"{NODE}/feedback", '{"schema":"feedback/9"}')
    teller.tell(f"{NODE}/policy/stop/set", "START")
    health = json.loads(listener.wait(f"{NODE}/health/commands"))
    assert (health["level"], health["message"]) == (
        "warn",
        "1 refused, the latest said: cam2/rgb/set: the payload must be ON or OFF",
    )
    assert len(said(caplog, "refused a command")) == 1
    assert switches.left_out == frozenset()
    assert json.loads(listener.wait(f"{NODE}/policy/state"))["state"] == "inactive"


def test_the_policy_stops_and_an_unsigned_model_is_refused(broker, publish, client):
    listener = broker.listen()
    publish(broker.url)
    assert json.loads(listener.wait(f"{NODE}/model/reported"))["state"] == "active"
    teller = client(broker, "x")
    teller.tell(f"{NODE}/policy/stop/set", "STOP")
    assert until(lambda: json.loads(listener.wait(f"{NODE}/policy/state"))["state"] == "stopped")
    wish = {"schema": "model-desired/1", "version": "2", "sha256": "00", "url": "https://x", "signature": ""}
    teller.tell(f"{NODE}/model/desired", wish, retain=True)
    assert until(lambda: json.loads(listener.wait(f"{NODE}/model/reported"))["state"] == "refused")
    assert json.loads(listener.wait(f"{NODE}/model/reported"))["reason"] == "it is not signed"


def test_feedback_is_stored_once(broker, publish, client, state_home):
    listener = broker.listen()
    publish(broker.url)
    listener.wait(f"{NODE}/status", "online")
    listener.wait(f"{SOURCE}/rgb/state")
    teller = client(broker, "x")
    what = {"schema": "feedback/1", "id": "b7f2-000001", "verdict": "label", "label": "golf", "by": "Ann"}
    for _ in range(3):
        teller.tell(f"{NODE}/feedback", what)
    teller.tell(f"{NODE}/feedback", {**what, "verdict": "wrong", "label": None})
    file = state_home / "touchline" / "feedback-truck1.jsonl"
    assert until(lambda: file.exists() and len(file.read_text().splitlines()) == 2)
    assert json.loads(file.read_text().splitlines()[0])["label"] == "golf"


def ask(teller, method, parameters, *, number):
    topic = f"{NODE}/rpc/{method}"
    question = {"schema": "rpc/1", "id": f"q{number}", "reply_to": f"{topic}/reply/me", "parameters": parameters}
    teller.tell(topic, question)
    assert until(lambda: len(teller.got) == number, 10), method
    return json.loads(teller.got[-1].payload)


@pytest.mark.parametrize("kind", ["broker", "old_broker"])
def test_questions_are_answered(kind, request, publish, client):
    broker = request.getfixturevalue(kind)
    listener = broker.listen()
    publisher = publish(broker.url, self_test=lambda: {"manifest": "ok", "files": "model.tflite has changed"})
    listener.wait(f"{SOURCE}/rgb/state")
    for seq in range(1, 6):
        publisher(made.event_message(seq))
    assert until(lambda: len(events(listener)) == 5)
    version = paho.MQTTv5 if kind == "broker" else paho.MQTTv311
    teller = client(broker, f"{NODE}/rpc/+/reply/me", protocol=version)
    reply = ask(teller, "history", {"boot": "b7f2", "after": 2, "limit": 2}, number=1)
    assert [(event["seq"], event["offset"]) for event in reply["events"]] == [(3, 3), (4, 4)]
    assert (reply["id"], reply["ok"], reply["more"]) == ("q1", True, True)
    assert len(ask(teller, "history", {}, number=2)["events"]) == 5
    assert ask(teller, "get_clip", {"event": "x"}, number=3)["error"] == "this node keeps no clips"
    tested = ask(teller, "self_test", {}, number=4)
    assert (tested["ok"], tested["error"]) == (False, "files: model.tflite has changed")
    assert tested["steps"]["manifest"] == "ok"


def test_an_answer_goes_only_below_its_question(broker, publish, client, caplog):
    listener = broker.listen()
    publish(broker.url)
    listener.wait(f"{SOURCE}/rgb/state")
    teller = client(broker, f"{NODE}/#")
    question = {"schema": "rpc/1", "id": "q", "reply_to": f"{NODE}/policy/stop/set"}
    teller.tell(f"{NODE}/rpc/history", question)
    assert until(lambda: said(caplog, "where below its own topic"))


def test_stats_account_for_every_event(broker, publish, monkeypatch):
    monkeypatch.setattr("edge.vitals.STATS_SECONDS", 0.5)
    listener = broker.listen()
    publisher = publish(broker.url)
    publisher(made.tick(1))
    publisher(made.event_message(1))
    listener.wait(f"{SOURCE}/event")
    stats = until(lambda: [s for s in map(json.loads, listener.payloads(f"{NODE}/stats")) if s["seconds_judged"]])[0]
    assert stats["latency_ms"] == {"p50": 21.3, "p95": 21.3, "p99": 21.3}
    assert stats["outbox"]["event"]["produced"] == 1
    assert (stats["mode"], stats["boot"]) == ("full", "b7f2")


def test_all_state_is_published_again_to_a_broker_that_forgot_it(stopped_broker, publish, client):
    broker = stopped_broker.start()
    publisher = publish(broker.url)
    listener = broker.listen()
    listener.wait(f"{SOURCE}/rgb/state", "ON")
    teller = client(broker, "x")
    teller.tell(f"{SOURCE}/rgb/set", "OFF")
    listener.wait(f"{SOURCE}/rgb/state", "OFF")
    publisher(made.tick(1))
    publisher(made.tick(2, 60.0))
    assert until(lambda: [topic for topic, _ in listener.got if "/digest/" in topic])
    listener.wait(f"{NODE}/health/source")
    states = {topic: payload for topic, payload in listener.got if not topic.endswith(("tick", "/stats", "/set"))}
    broker.stop()
    again = broker.start().listen()
    assert until(lambda: states.items() <= dict(again.got).items(), 10), states.items() - dict(again.got).items()


def test_envelopes_and_home_assistant_are_by_choice(broker, publish):
    listener = broker.listen("-V", "mqttv5", "-F", "%t %P|%p")
    publisher = publish(broker.url, envelope="cloudevents", home_assistant=True)
    publisher(made.event_message(1))
    event = listener.wait(f"{SOURCE}/event")
    assert "type:io.touchline.event.new" in event.partition("|")[0]
    found = json.loads(listener.wait("homeassistant/device/truck1/config").partition("|")[2])
    assert "cam2_rgb" in found["components"]


def test_the_pub_tool_of_a_stranger_may_turn_a_switch(broker, publish):
    listener = broker.listen()
    publish(broker.url)
    listener.wait(f"{SOURCE}/audio/state", "ON")
    command = [program("mosquitto_pub"), "-p", str(broker.port), "-t", f"{SOURCE}/audio/set", "-m", "OFF", "-q", "1"]
    subprocess.run(command, check=True)
    listener.wait(f"{SOURCE}/audio/state", "OFF")
