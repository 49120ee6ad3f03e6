"""Brokers that several tests need, each of its own test."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import made
import pytest
from brokers import Broker, amqtt, mosquitto, program
from devices import Client

from edge.config import Mqtt
from edge.mqtt import MqttPublisher


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory, monkeypatch):
    """Outboxes in a folder of the test's own, also those of its child processes."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def stopped_broker(tmp_path):
    """A Mosquitto for anyone that is not running yet."""
    broker = mosquitto(tmp_path, "allow_anonymous true")
    yield broker
    broker.close()


@pytest.fixture
def broker(stopped_broker):
    """A running Mosquitto for anyone."""
    return stopped_broker.start()


@pytest.fixture
def locked_broker(tmp_path):
    """A running Mosquitto for user `me` with password `s3cret`."""
    passwords = tmp_path / "passwords"
    made = subprocess.run(
        [program("mosquitto_passwd"), "-b", "-c", str(passwords), "me", "s3cret"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    broker = mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}").start()
    yield broker
    broker.close()


@pytest.fixture
def old_broker() -> Iterator[Broker]:
    """A running broker that does not speak MQTT 5."""
    broker = amqtt().start()
    yield broker
    broker.close()


@pytest.fixture
def device(caplog):
    """Opens publishers, and closes them."""
    caplog.set_level(logging.INFO)
    opened = []

    def open_publisher(
        url, stamp=made.STAMP, *, switches=None, self_test=None, find_clip=None, roles=("rgb", "audio"), **settings
    ):
        settings = Mqtt(url=url, **settings)
        info = replace(made.INFO, boot=stamp.boot)
        told = {"switches": switches, "self_test": self_test, "find_clip": find_clip}
        opened.append(MqttPublisher(settings, stamp, info, roles, **told))
        return opened[-1]

    yield open_publisher
    for publisher in opened:
        publisher.close()


@pytest.fixture
def client():
    """Connects strangers' clients."""
    clients = []

    def make(broker, *topics, **options):
        clients.append(Client(broker, *topics, **options))
        return clients[-1]

    yield make
    for one in clients:
        one.close()
