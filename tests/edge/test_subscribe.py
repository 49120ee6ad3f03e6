"""The subscriber: typed events, each once, and plain words for what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import made
import pytest
from brokers import free_port, until
from paho.mqtt.publish import multiple

from edge.listen import run_subscribe
from edge.messages import encode
from edge.mqtt import MqttError, MqttPublisher
from edge.subscribe import subscribe

EVENT = "touchline/truck1/cam2/event"


def send(broker, *payloads, topic=EVENT):
    multiple([(topic, payload, 1, False) for payload in payloads], hostname="127.0.0.1", port=broker.port)


class Subscription:
    """`subscribe` in a thread, and what it called back."""

    def __init__(self, url, **limits):
        self.events, self.statuses, self.notes, self.counted = [], [], [], []
        self.thread = threading.Thread(target=self._run, args=(url,), kwargs={"timeout_seconds": 20, **limits})
        self.thread.start()

    def _run(self, url, **limits):
        self.counted.append(
            subscribe(
                url,
                on_event=lambda event, _: self.events.append(event),
                on_status=lambda *status: self.statuses.append(status),
                on_note=self.notes.append,
                **limits,
            )
        )


@pytest.fixture
def ready(broker):
    """Leave a retained status, by which a subscriber shows that it is subscribed."""
    multiple([("touchline/truck1/status", "online", 1, True)], hostname="127.0.0.1", port=broker.port)

    def ready(**limits):
        subscription = Subscription(broker.url, **limits)
        assert until(lambda: subscription.statuses)
        return subscription

    return ready


def test_events_come_typed_and_once(broker, ready):
    subscription = ready(count=3)
    sent = [made.event_message(seq) for seq in (1, 2, 5)]
    once, twice, later = map(encode, sent)
    send(broker, once, twice, once, twice, twice, b"not an event", later)
    subscription.thread.join(10)
    assert subscription.counted == [3]
    assert subscription.events == sent
    assert subscription.statuses == [("truck1", "online")]
    assert subscription.notes[0].startswith(f"{EVENT}: not an event/1 message")
    assert subscription.notes[1] == "truck1/cam2: 2 event messages did not arrive"


def test_it_hears_the_publisher_on_a_311_broker(old_broker):
    subscription = Subscription(old_broker.url, count=2)
    publisher = MqttPublisher(old_broker.url, made.STAMP, made.INFO, ["rgb"])
    assert until(lambda: ("truck1", "online") in subscription.statuses)
    publisher(made.event_message(1))
    publisher(made.event_message(2, "end"))
    subscription.thread.join(10)
    publisher.close()
    assert [event.type for event in subscription.events] == ["new", "end"]
    assert subscription.notes == []


def test_a_lost_broker_is_said_once_and_found_again(broker, ready):
    subscription = ready(count=1)
    broker.stop()
    assert until(lambda: subscription.notes)
    broker.start()
    assert until(lambda: len(subscription.notes) >= 2)
    assert until(lambda: send(broker, encode(made.event_message(1))) or subscription.events, 5)
    subscription.thread.join(10)
    lost, back = subscription.notes
    assert lost.startswith(f"mqtt broker 127.0.0.1:{broker.port}: connection lost")
    assert back == f"mqtt broker 127.0.0.1:{broker.port}: connected again"


def test_events_sent_while_the_connection_is_lost_arrive_later(broker, ready):
    subscription = ready(count=2)
    send(broker, encode(made.event_message(1)))
    assert until(lambda: subscription.events)
    thread = next(t for t in threading.enumerate() if t.name.startswith("paho-mqtt-client-touchline-subscribe"))
    client = thread._target.__self__
    client._sock.shutdown(2)
    send(broker, encode(made.event_message(2)))
    subscription.thread.join(10)
    assert [event.seq for event in subscription.events] == [1, 2]


@pytest.mark.parametrize(
    ("host", "complaint"), [("127.0.0.1", "connection refused"), ("no-such-host.invalid", "unknown host")]
)
def test_a_broker_that_is_not_there_is_one_sentence_and_code_1(capsys, host, complaint):
    port = free_port()
    assert run_subscribe(f"mqtt://{host}:{port}", timeout_seconds=10) == 1
    assert capsys.readouterr() == ("", f"touchline: mqtt broker {host}:{port}: {complaint}\n")


def test_a_wrong_password_is_one_sentence_and_code_1(locked_broker, capsys):
    assert run_subscribe(f"mqtt://me:wrong@127.0.0.1:{locked_broker.port}", timeout_seconds=10) == 1
    assert capsys.readouterr().err == (
        f"touchline: mqtt broker 127.0.0.1:{locked_broker.port}: wrong user name or password\n"
    )


def test_a_bad_address_is_left_to_the_command_line():
    with pytest.raises(MqttError, match="does not begin with mqtt://"):
        run_subscribe("localhost")


def test_too_few_events_in_time_are_code_1(broker, capsys):
    assert run_subscribe(broker.url, count=2, timeout_seconds=0.5) == 1
    assert "0 of 2 events came within 0.5 s" in capsys.readouterr().err


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from edge.listen import run_subscribe
sys.exit(run_subscribe(sys.argv[2], json_lines=sys.argv[3] == "json"))
"""


@pytest.mark.parametrize("form", ["json", "lines"])
def test_it_prints_events_and_ends_with_ctrl_c(broker, form):
    multiple([("touchline/truck1/status", "online", 1, True)], hostname="127.0.0.1", port=broker.port)
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[2]), broker.url, form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        status = (process.stderr if form == "json" else process.stdout).readline()
        newer = {**json.loads(encode(made.event_message(1, "end"))), "severity": "alert"}
        send(broker, json.dumps(newer, indent=2))
        line = process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")
    assert status == "truck1 is online\n"
    if form == "json":
        assert json.loads(line) == newer
    else:
        expected = "2026-11-23 10:15:45  truck1/cam2  # END  badminton  00:03-00:06 (3 s)  0.81\n"
        assert line == expected
