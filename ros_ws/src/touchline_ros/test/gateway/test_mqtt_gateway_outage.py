"""A broker that is gone, and a gateway that is: events wait, seconds go on, and it is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import robot
from brokers import until
from devices import NODE, SOURCE, said
from diagnostic_msgs.msg import DiagnosticStatus

from edge.messages import read_event

RUN = [sys.executable, "-c", "from touchline_ros.mqtt_gateway import main; raise SystemExit(main())", "--ros-args"]


def came(listener):
    return {
        (event.boot, event.seq): event
        for event in map(read_event, map(str.encode, listener.payloads(f"{SOURCE}/event")))
    }


def test_events_outlive_a_broker_that_comes_late_and_is_killed(person, gateway, stopped_broker, caplog):
    gateway(stopped_broker)
    for count in (1, 2):
        person.events.publish(robot.event(count=count))
    person.until(lambda: "connection refused" in person.said("broker"))
    person.until(lambda: person.figures("outbox").get("queued") == "2")
    listener = stopped_broker.start().listen()
    person.until(lambda: len(came(listener)) == 2)
    person.until(lambda: person.said("broker") == "ok")
    stopped_broker.process.send_signal(signal.SIGKILL)
    stopped_broker.process.wait(10)
    person.until(lambda: "connection lost" in person.said("broker"))
    assert person.parts["mqtt_gateway: broker"].level == DiagnosticStatus.ERROR
    person.seconds.publish(robot.second())
    for count in (3, 4, 5):
        person.events.publish(robot.event(count=count))
    person.until(lambda: person.figures("detector").get("events") == "5")
    again = stopped_broker.start().listen()
    person.until(lambda: len(came(again)) >= 3, 20)
    got = {**came(listener), **came(again)}
    assert sorted(seq for _, seq in got) == [1, 2, 3, 4, 5]
    person.until(lambda: person.said("broker") == "ok")
    assert len(said(caplog, "connection refused")) == 1
    assert len(said(caplog, "connection lost")) == 1


@pytest.fixture
def process(tmp_path, state_home):  # noqa: ARG001 - where its outbox is
    """Start the gateway as a robot's launch file does."""
    started = []

    def start(*parameters):
        given = [word for parameter in parameters for word in ("-p", parameter)]
        output = (tmp_path / f"gateway{len(started)}.log").open("w+")
        one = subprocess.Popen([*RUN, *given], stdout=output, stderr=subprocess.STDOUT, env=os.environ)
        started.append((one, output))
        return one

    def log(number=-1):
        return Path(started[number][1].name).read_text()

    start.log = log
    yield start
    for one, output in started:
        one.kill()
        one.wait(10)
        output.close()


def test_events_outlive_the_gateway_and_it_ends_with_a_word(person, process, stopped_broker):
    own = (f"url:={stopped_broker.url}", "node:=truck1", "source:=cam2", "autostart:=true")
    first = process(*own)
    person.until(person.events.get_subscription_count)
    person.events.publish(robot.event())
    person.until(lambda: "mqtt_gateway: outbox" in person.parts and person.figures("outbox").get("queued") == "1")
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0, process.log()
    assert "1 event messages wait for the next start" in process.log()
    listener = stopped_broker.start().listen()
    person.until(lambda: not person.events.get_subscription_count())
    second = process(*own)
    person.until(lambda: came(listener))
    (event,) = came(listener).values()
    assert (event.seq, event.late, event.id) == (1, True, "b7f2-000001")
    second.send_signal(signal.SIGINT)
    assert second.wait(20) == 0, process.log()
    assert until(lambda: listener.payloads(f"{NODE}/status")[-1] == "stopped")
    assert "Traceback" not in process.log(0) + process.log(1)


@pytest.mark.parametrize(
    ("parameters", "code", "sentence"),
    [
        (("url:=localhost",), 2, "url: MQTT address: must look like"),
        (("outbox_mb:=0",), 2, "outbox_mb"),
        (("ca:=/nowhere.pem", "url:=mqtts://localhost", "autostart:=true"), 1, "/nowhere.pem"),
    ],
)
def test_what_is_set_wrong_ends_the_process_with_a_sentence(process, parameters, code, sentence):
    assert process(*parameters).wait(20) == code, process.log()
    assert sentence in process.log()
    assert "Traceback" not in process.log()
