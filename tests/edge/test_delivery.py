"""Nothing is lost: the outbox, drained over real brokers that are away, killed, silent, or refuse."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import made
import pytest
from brokers import mosquitto, until
from devices import SOURCE, accounts, events, said

from edge import mqtt
from edge.contract import Acknowledgement
from edge.outbox import Outbox, OutboxError


def test_nothing_is_lost_over_restarts_while_the_broker_is_away(stopped_broker, device, caplog, state_home):
    for start in range(3):
        publisher = device(stopped_broker.url, replace(made.STAMP, boot=f"boot{start}"))
        for seq in range(1, 41):
            publisher(replace(made.event_message(seq), boot=f"boot{start}"))
        assert until(lambda: said(caplog, "connection refused"))
        publisher.close()
        assert said(caplog, "wait for the next start")[-1].endswith(
            f" {40 * (start + 1)} event messages wait for the next start"
        )
        assert caplog.text.count("not delivered") == 0
    listener = stopped_broker.start().listen()
    publisher = device(stopped_broker.url, replace(made.STAMP, boot="boot3"))
    publisher(replace(made.event_message(1), boot="boot3"))
    assert until(lambda: len(events(listener)) >= 121)
    publisher.close()
    assert [event.offset for event in events(listener)] == list(range(1, 122))
    assert [(event.boot, event.seq) for event in events(listener)[:120]] == [
        (f"boot{start}", seq) for start in range(3) for seq in range(1, 41)
    ]
    assert [event.late for event in events(listener)] == [True] * 120 + [False]
    assert accounts(state_home).delivered == 121


def test_live_events_overtake_a_long_backlog_and_what_they_overtook_is_late(stopped_broker, device, monkeypatch):
    monkeypatch.setattr("edge.drain.ORDER_SECONDS", 0.05)
    publisher = device(stopped_broker.url)
    for seq in range(1, 3001):
        publisher(made.event_message(seq))
    assert until(lambda: publisher.outbox.last == 3000, 20)
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


def test_a_second_process_may_not_use_the_same_outbox(broker, device):
    device(broker.url)
    with pytest.raises(OutboxError, match="another process uses this outbox"):
        device(broker.url)


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
    silent, device, caplog, monkeypatch, state_home
):
    monkeypatch.setattr(mqtt, "WATCHDOG_SECONDS", 1.0)
    monkeypatch.setattr(mqtt, "CLOSE_SECONDS", 1.0)
    publisher = device(silent.url, protocol="3.1.1")
    for seq in range(1, 101):
        publisher(made.event_message(seq))
    assert until(lambda: silent.connections >= 2, 15)
    assert said(caplog, "has answered nothing for 1 s and is connected anew")
    assert max(data.count(b'"schema":"event/1"') for data in silent.data) <= 20
    publisher.close()
    assert accounts(state_home).queued == 100


def test_refused_events_are_dead_letters_and_the_others_go_on(tmp_path, device, caplog, state_home):
    rules = tmp_path / "rules"
    rules.write_text("topic read #\ntopic write touchline/truck1/status\n")
    broker = mosquitto(tmp_path, "allow_anonymous true", f"acl_file {rules}").start()
    publisher = device(broker.url)
    publisher(made.event_message(1))
    publisher(made.event_message(2))
    publisher.close()
    broker.close()
    assert len(said(caplog, "set aside as a dead letter: the broker refuses it (0x87)")) == 1
    assert (accounts(state_home).dead, accounts(state_home).queued) == (2, 0)


def test_what_is_over_the_brokers_limit_is_a_dead_letter(tmp_path, device, caplog, state_home):
    broker = mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 4000").start()
    listener = broker.listen(topic=f"{SOURCE}/event")
    publisher = device(broker.url)
    publisher(replace(made.event_message(1), faults=("x" * 5000,)))
    publisher(made.event_message(2))
    assert until(lambda: events(listener))
    publisher.close()
    broker.close()
    assert [event.seq for event in events(listener)] == [2]
    assert len(said(caplog, "the broker takes 4000")) == 1
    assert (accounts(state_home).dead, accounts(state_home).delivered) == (1, 1)


def test_a_stored_payload_that_cannot_be_read_is_a_dead_letter(broker, device, state_home):
    box = Outbox(state_home / "touchline" / "outbox-truck1-cam2.db")
    box.put("cam2/event", b"{}").result(5)
    box.close()
    listener = broker.listen(topic=f"{SOURCE}/event")
    publisher = device(broker.url)
    publisher(made.event_message(1))
    assert until(lambda: events(listener))
    publisher.close()
    assert accounts(state_home).dead == 1


def test_what_was_dropped_is_said_in_a_gap(stopped_broker, device, state_home):
    publisher = device(stopped_broker.url, outbox_mb=1)
    for seq in range(1, 4001):
        publisher(made.event_message(seq))
    assert until(lambda: publisher.outbox.last == 4000, 20)
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


def test_end_to_end_nothing_is_lost_when_the_broker_is_killed(tmp_path, device, state_home):
    data = tmp_path / "data"
    data.mkdir()
    broker = mosquitto(tmp_path, "allow_anonymous true", "persistence true", f"persistence_location {data}/").start()
    kept = tmp_path / "kept"
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(broker.port), str(kept)])
    publisher = device(broker.url, delivery="end-to-end", consumers=("archive",))
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


def test_end_to_end_keeps_what_nobody_acknowledged_and_sends_it_again(broker, device, client, state_home, caplog):
    settings = {"delivery": "end-to-end", "consumers": ("archive", "board")}
    listener = broker.listen("-q", "1", topic=f"{SOURCE}/event")
    publisher = device(broker.url, **settings)
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
