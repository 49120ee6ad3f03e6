"""Brokers that several tests need, each of its own test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from brokers import Broker, amqtt, mosquitto, program


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
