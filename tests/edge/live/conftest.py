"""What live tests share: shows to send, and sources that are closed in the end."""

from __future__ import annotations

import pytest
from brokers import free_port, until
from live_media import Sender, make_shows

from edge.live.source import LiveSource
from edge.manifest import ClipSpec

SPEC = ClipSpec(frames_per_second=5, width=32, height=32, sample_rate_hz=16_000)


@pytest.fixture(scope="session")
def shows(tmp_path_factory):
    return make_shows(tmp_path_factory.mktemp("shows"))


@pytest.fixture
def sender(shows):
    sender = Sender(shows, free_port())
    yield sender
    sender.close()


@pytest.fixture
def closing():
    """Things to close in the end."""
    things = []

    def add(thing):
        things.append(thing)
        return thing

    yield add
    for thing in reversed(things):
        thing.close()


@pytest.fixture
def live(closing):
    """Open a live source, and wait until it is online."""

    def open_(url, *, online=True, **options):
        source = closing(LiveSource(url, SPEC, **options))
        if online:
            assert until(lambda: source.health().state == "online", 20), source.health()
        return source

    return open_
