"""A site with its authority, and connections that write down what they say."""

from __future__ import annotations

import contextlib
import time

import pytest
from authority import Authority
from brokers import Broker, until

from edge.address import MqttUrl
from edge.broker import Connection
from edge.tls import Security


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """An authority with a server, two devices and two consumers."""
    authority = Authority(tmp_path_factory.mktemp("home") / "certificates")
    people = ["--consumer", "archive", "--consumer", "operator"]
    authority.make(
        "--server", "localhost", "--server", "127.0.0.1", "--device", "truck1", "--device", "truck2", *people
    )
    return authority


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """Another authority, of which nobody at the site has heard."""
    authority = Authority(tmp_path_factory.mktemp("stranger") / "certificates")
    authority.make("--server", "localhost", "--device", "truck1")
    return authority


@pytest.fixture
def start():
    """Start brokers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(broker: Broker) -> Broker:
            stack.callback(broker.close)
            return broker.start()

        yield start


class Seen:
    """A connection, and what it says."""

    def __init__(self, url: str, security: Security | None = None, *, password_file="", **options) -> None:
        self.ups, self.downs = [], []
        self.connection = Connection(
            MqttUrl.parse(url, password_file=password_file),
            "touchline-truck1-cam2",
            on_up=lambda: self.ups.append(time.monotonic()),
            on_down=self.downs.append,
            security=security,
            **options,
        )
        self.connection.open()

    def complaint(self) -> str:
        """What was said, which must be one sentence."""
        assert until(lambda: self.downs), "nothing was said"
        assert self.ups == []
        assert self.connection.failing
        assert not self.connection.up
        (sentence,) = self.downs
        assert "\n" not in sentence
        return sentence.partition(": ")[2]


@pytest.fixture
def connect():
    with contextlib.ExitStack() as stack:

        def connect(*arguments, **options) -> Seen:
            seen = Seen(*arguments, **options)
            stack.callback(seen.connection.close)
            return seen

        yield connect
