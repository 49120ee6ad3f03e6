"""The publisher against real brokers, read back by a stranger's client."""

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
from dataclasses import replace
from pathlib import Path

import made
import pytest
from brokers import free_port, mosquitto, until

from edge import mqtt
from edge.config import Mqtt
from edge.digest import Minutes, minute_id
from edge.messages import encode, read_event
from edge.mqtt import MqttError, MqttPublisher, MqttUrl

ROLES = ("rgb", "flow", "audio")
NODE = "touchline/truck1"
SOURCE = f"{NODE}/cam2"
AGAIN = "; detection goes on and the connection is retried"


@pytest.fixture
def publish(caplog):
    caplog.set_level(logging.INFO)
    opened = []

    def open_publisher(url, *, switches=None, self_test=None, roles=ROLES, **settings):
        mqtt = Mqtt(url=url, **settings)
        opened.append(MqttPublisher(mqtt, made.STAMP, made.INFO, roles, switches=switches, self_test=self_test))
        return opened[-1]

    yield open_publisher
    for publisher in opened:
        publisher.close()


@pytest.fixture
def silent_threads():
    """No thread may die with a traceback."""
    died, hook = [], threading.excepthook
    threading.excepthook = died.append
    yield
    threading.excepthook = hook
    assert died == []


def events(listener, topic=f"{SOURCE}/event"):
    return [read_event(payload.encode()) for payload in listener.payloads(topic)]


def as_made(listener):
    """The events that came, without what the outbox added; that has to be there, and in order."""
    came = events(listener)
    assert [event.offset for event in came] == sorted({event.offset for event in came})
    assert len({event.stream for event in came}) == 1
    return [replace(event, stream=None, offset=None, late=False) for event in came]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://broker", MqttUrl("broker")),
        ("mqtt://broker:1884/halls/north/", MqttUrl("broker", 1884, "halls/north")),
        ("mqtt://me:p%40ss%2Fword@[::1]:99", MqttUrl("::1", 99, "touchline", "me", "p@ss/word")),
        ("mqtt://me@10.0.0.1", MqttUrl("10.0.0.1", user="me")),
    ],
)
def test_addresses(text, expected):
    assert MqttUrl.parse(text) == expected


def test_the_password_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TOUCHLINE_MQTT_PASSWORD", "fr0m-env")
    assert MqttUrl.parse("mqtt://me@broker").password == "fr0m-env"
    assert MqttUrl.parse("mqtt://me:here@broker").password == "here"


def test_the_password_is_never_shown():
    url = MqttUrl.parse("mqtt://me:s3cret@broker/base")
    assert "s3cret" not in f"{url} {url!r}"
    assert str(url) == "broker:1883"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("http://me:s3cret@broker", "does not begin with mqtt://"),
        ("broker:1883", "does not begin with mqtt://"),
        ("mqtt://me:s3cret@broker:port", "port 1 to 65535"),
        ("mqtt://me:s3cret@broker:70000", "port 1 to 65535"),
        ("mqtt://me:s3cret@broker:0", "port 1 to 65535"),
        ("mqtt://me:s3cret/x@broker", "port 1 to 65535"),
        ("mqtt://me:s3cret#x@broker", "must look like mqtt://"),
        ("mqtt://me:12/s3cret@broker", "must look like mqtt://"),
        ("mqtt://", "no host"),
        ("mqtt://me:s3cret@/base", "no host"),
        (f"mqtt://{'x' * 70}.example", "is not a host name"),
        ("mqtt://broker/a/#", "must look like mqtt://"),
        ("mqtt://broker/a/+/b", "without [+] and #"),
        ("mqtt://broker/$SYS", "not beginning with"),
    ],
)
def test_bad_addresses_get_one_sentence_without_the_password(text, complaint):
    with pytest.raises(MqttError, match=complaint) as caught:
        MqttUrl.parse(text)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stranger_sees_birth_ticks_events_and_a_clean_end(broker, publish):
    listener = broker.listen()
    publisher = publish(broker.url)
    listener.wait(f"{SOURCE}/label", "none")
    sent = [made.event_message(1), made.event_message(2, "end")]
    [digest] = [*(minutes := Minutes()).push(made.tick(1)), *minutes.flush()]
    publisher(made.tick(1))
    publisher(sent[0])
    listener.wait(f"{SOURCE}/label", "badminton")
    publisher(sent[1])
    publisher.close()
    listener.wait(f"{NODE}/status", "stopped")
    assert listener.payloads(f"{NODE}/status") == ["online", "stopped"]
    assert json.loads(listener.wait(f"{NODE}/info"))["models"] == {"rgb.tflite": "00" * 32}
    for role in ROLES:
        assert listener.payloads(f"{SOURCE}/status/{role}") == ["online", "offline"]
    assert listener.payloads(f"{SOURCE}/tick") == [encode(made.tick(1)).decode()]
    assert as_made(listener) == sent
    assert not any(event.late for event in events(listener))
    assert listener.payloads(f"{SOURCE}/label") == ["none", "badminton", "none"]
    assert {topic for topic, _ in listener.got} == {
        *(f"{NODE}/{name}" for name in ("status", "info", "cam2/label", "cam2/tick", "cam2/event")),
        *(f"{NODE}/{name}" for name in ("model/reported", "policy/state", "health/outbox", "health/source")),
        *(f"{SOURCE}/status/{role}" for role in ROLES),
        *(f"{SOURCE}/{switch}/state" for switch in ("enabled", "publish_ticks", *ROLES)),
        f"{SOURCE}/digest/{minute_id(digest)}",
    }


def test_state_is_retained_and_events_are_not(broker, publish):
    publisher = publish(broker.url)
    publisher(made.tick(1))
    publisher(made.event_message(1))
    publisher.close()
    late = broker.listen()
    late.wait(f"{NODE}/status", "stopped")
    late.wait(f"{SOURCE}/label", "badminton")
    late.wait(f"{NODE}/info")
    assert late.payloads(f"{SOURCE}/event") == late.payloads(f"{SOURCE}/tick") == []


CHILD = """
import sys, time
sys.path[:0] = sys.argv[2:]
import made
from edge.mqtt import MqttPublisher
publisher = MqttPublisher(sys.argv[1], made.STAMP, made.INFO, ["rgb"])
for seq in range(1, 1000):
    publisher(made.event_message(seq))
    time.sleep(0.05)
"""


def test_a_killed_process_leaves_its_last_will(broker):
    listener = broker.listen()
    root = Path(__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", CHILD, broker.url, str(root), str(root / "tests")])
    try:
        listener.wait(f"{SOURCE}/event", seconds=15)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    listener.wait(f"{NODE}/status", "offline")
    broker.listen().wait(f"{NODE}/status", "offline")


def test_a_new_process_takes_over_from_a_lost_one(broker, publish):
    listener = broker.listen()
    publish(broker.url)
    listener.wait(f"{NODE}/status", "online")
    again = MqttPublisher(Mqtt(url=broker.url, outbox="none"), made.STAMP, made.INFO, ROLES)
    assert until(lambda: listener.payloads(f"{NODE}/status")[:3] == ["online", "offline", "online"])
    again.close()


def test_connects_once_it_is_let_in(locked_broker, publish, caplog):
    listener = locked_broker.listen("-u", "me", "-P", "s3cret")
    publisher = publish(f"mqtt://me:s3cret@127.0.0.1:{locked_broker.port}/halls/north")
    publisher(made.event_message())
    listener.wait("halls/north/truck1/cam2/event")
    assert warnings(caplog) == []
    assert f"mqtt broker 127.0.0.1:{locked_broker.port}: connected" in caplog.text
    assert "s3cret" not in caplog.text


def test_what_the_access_list_forbids_is_said_once(tmp_path, publish, caplog):
    rules = tmp_path / "rules"
    rules.write_text("topic read #\n")
    broker = mosquitto(tmp_path, "allow_anonymous true", f"acl_file {rules}").start()
    publisher = publish(broker.url)
    publisher(made.event_message())
    publisher.close()
    broker.close()
    address = f"mqtt broker 127.0.0.1:{broker.port}"
    assert warnings(caplog) == [
        f"{address}: does not let us publish (check its access list); detection goes on",
        "mqtt broker: a message on cam2/event is set aside as a dead letter: the broker refuses it (0x87)",
    ]


@pytest.mark.parametrize("user", ["me:wrong@", ""])
def test_a_wrong_password_is_said_once(locked_broker, publish, caplog, user):
    publisher = publish(f"mqtt://{user}127.0.0.1:{locked_broker.port}")
    for seq in range(16):
        publisher(made.tick(seq))
        publisher(made.event_message(seq))
        time.sleep(0.1)
    address = f"mqtt broker 127.0.0.1:{locked_broker.port}"
    assert warnings(caplog) == [f"{address}: wrong user name or password{AGAIN}"]
    publisher.close()
    assert warnings(caplog)[1:] == [f"{address}: 16 event messages wait for the next start"]
    assert "wrong@" not in caplog.text


@pytest.mark.parametrize(
    ("host", "complaint"), [("no-such-host.invalid", "unknown host"), ("127.0.0.1", "connection refused")]
)
@pytest.mark.usefixtures("silent_threads")
def test_a_broker_that_is_not_there_is_said_once(publish, caplog, host, complaint):
    port = free_port()
    publisher = publish(f"mqtt://{host}:{port}")
    slowest = 0.0
    for seq in range(16):
        began = time.perf_counter()
        publisher(made.tick(seq))
        publisher(made.event_message(seq))
        slowest = max(slowest, time.perf_counter() - began)
        time.sleep(0.1)
    assert until(lambda: warnings(caplog))
    assert warnings(caplog) == [f"mqtt broker {host}:{port}: {complaint}{AGAIN}"]
    assert slowest < 0.1
    began = time.perf_counter()
    publisher.close()
    assert time.perf_counter() - began < 3


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", bytes(range(256)), b"\x20\x02\x00\x01"])
@pytest.mark.usefixtures("silent_threads")
def test_what_is_no_broker_is_said_once(publish, caplog, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        publisher = publish(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        deadline = time.monotonic() + 1.7
        while time.monotonic() < deadline:
            try:
                caller, _ = server.accept()
            except TimeoutError:
                continue
            with caller:
                caller.recv(1000)
                caller.sendall(answer)
        publisher(made.tick())
        publisher.close()
    assert len(warnings(caplog)) == 1
    assert "MQTT answer" in caplog.text or "unsupported protocol version" in caplog.text


def test_events_wait_for_a_broker_that_starts_late(stopped_broker, publish, caplog):
    publisher = publish(stopped_broker.url)
    sent = [made.event_message(seq) for seq in range(1, 101)]
    for message in sent:
        publisher(message)
    assert until(lambda: warnings(caplog))
    listener = stopped_broker.start().listen()
    assert until(lambda: len(listener.payloads(f"{SOURCE}/event")) >= 100)
    assert as_made(listener) == sent
    publisher.close()
    assert len(warnings(caplog)) == 1


def test_a_restarted_broker_gets_the_birth_again_and_no_stale_label(stopped_broker, publish, caplog):
    broker = stopped_broker.start()
    publisher = publish(broker.url)
    publisher(made.event_message(1))
    broker.listen().wait(f"{SOURCE}/label", "badminton")
    broker.stop()
    assert until(lambda: warnings(caplog))
    publisher(made.event_message(2, "end"))
    publisher(made.event_message(3, label="golf", count=2))
    listener = broker.start().listen()
    listener.wait(f"{NODE}/status", "online")
    listener.wait(f"{NODE}/info")
    listener.wait(f"{SOURCE}/status/audio", "online")
    assert until(lambda: len(listener.payloads(f"{SOURCE}/event")) >= 2)
    assert [event.seq for event in events(listener)] == [2, 3]
    publisher.close()
    listener.wait(f"{NODE}/status", "stopped")
    assert listener.payloads(f"{SOURCE}/label") == ["golf"]
    assert ": connection lost" in warnings(caplog)[0]
    assert caplog.text.count(": connected") == 2


def test_what_a_dead_broker_did_not_acknowledge_is_sent_again_but_no_stale_state(stopped_broker, publish, caplog):
    broker = stopped_broker.start()
    publisher = publish(broker.url)
    broker.listen().wait(f"{SOURCE}/label", "none")
    os.kill(broker.process.pid, signal.SIGSTOP)
    publisher(made.event_message(1))
    time.sleep(0.2)
    broker.process.kill()
    assert until(lambda: warnings(caplog))
    publisher(made.event_message(2, label="golf", count=2))
    broker.stop()
    listener = broker.start().listen()
    assert until(lambda: len(listener.payloads(f"{SOURCE}/event")) >= 2)
    publisher.close()
    listener.wait(f"{NODE}/status", "stopped")
    assert [event.seq for event in events(listener)] == [1, 2]
    assert listener.payloads(f"{SOURCE}/label") == ["golf"]


def test_falls_back_to_311(old_broker, publish, caplog):
    listener = old_broker.listen()
    publisher = publish(old_broker.url)
    publisher(made.event_message(1))
    listener.wait(f"{SOURCE}/event")
    listener.wait(f"{NODE}/status", "online")
    publisher(made.tick(1))
    listener.wait(f"{SOURCE}/tick")
    publisher.close()
    listener.wait(f"{NODE}/status", "stopped")
    assert warnings(caplog) == []


def test_what_waits_is_bounded_and_counted(publish, caplog, monkeypatch):
    monkeypatch.setattr(mqtt, "MAX_WAITING", 10)
    publisher = publish(f"mqtt://127.0.0.1:{free_port()}", outbox="none")
    for seq in range(15):
        publisher(made.event_message(seq))
    assert until(lambda: warnings(caplog))
    publisher.close()
    publisher.close()
    assert len(warnings(caplog)) == 2
    assert "15 event messages were not delivered" in warnings(caplog)[1]


def test_a_short_run_is_delivered_before_the_end(broker, publish):
    listener = broker.listen()
    publisher = publish(broker.url)
    for seq in range(500):
        publisher(made.event_message(seq))
    publisher.close()
    listener.wait(f"{NODE}/status", "stopped")
    seqs = [event.seq for event in events(listener)]
    assert seqs == list(range(500))
