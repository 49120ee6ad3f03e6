"""The wall clock is set by an hour while a live source is judged: stamps follow, and nothing else happens."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from itertools import groupby, pairwise
from operator import itemgetter

import pytest
from brokers import until

from edge.config import Config, Mqtt, Source
from edge.live.service import Service
from edge.live.wall import SAID_SECONDS, WallClock

HOUR = 3600.0


class Clock:
    """The wall clock as this process reads it, which can be set."""

    def __init__(self, monkeypatch):
        self.ahead, now, now_ns = 0.0, time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: now() + self.ahead)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + round(self.ahead * 1e9))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize(("by", "words"), [(HOUR, "put ahead by 3600 s"), (-HOUR, "put back by 3600 s")])
def test_a_step_is_told_once_and_said_for_a_while(clock, monkeypatch, by, words):
    wall = WallClock()
    assert (wall.push(), wall.trouble) == (0.0, "")
    clock.ahead += by
    assert wall.push() == pytest.approx(by, abs=0.1)
    assert (wall.push(), wall.trouble) == (0.0, f"the wall clock was {words}")
    steady = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: steady() + SAID_SECONDS)
    clock.ahead -= SAID_SECONDS  # both go on
    assert wall.trouble == ""


def test_what_ntp_does_all_day_is_no_step(clock):
    wall = WallClock()
    for _ in range(100):
        clock.ahead += 0.004
        assert wall.push() == 0.0


@pytest.fixture
def judged(sender, broker):
    """Start to judge the sender's stream in this process; it ends with the test."""
    ending = threading.Event()

    def beat():
        if ending.is_set():
            raise SystemExit

    service = Service(
        Config(source=Source(url=sender.url, name="cam"), mqtt=Mqtt(url=broker.url, node="truck")), beat=beat
    )

    def run():
        with suppress(SystemExit):
            service.run()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    ending.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_decisions_and_events_go_on_and_their_stamps_follow(clock, client, broker, by):
    listener = client(broker, "touchline/#")

    def heard(levels):
        return [json.loads(m.payload) for m in list(listener.got) if m.topic.endswith(levels)]

    assert until(lambda: len(heard("/cam/tick")) >= 5 and heard("/cam/event"), 40)
    clock.ahead += by
    before = len(heard("/cam/tick"))
    assert until(lambda: heard("/health/clock")[-1]["level"] == "warn", 3)
    assert f"{'ahead' if by > 0 else 'back'} by 3600 s" in heard("/health/clock")[-1]["message"]
    assert until(lambda: len(heard("/cam/tick")) >= before + 6, 15)
    assert until(lambda: heard("/health/clock")[-1]["level"] == "ok", 5)
    ticks = heard("/cam/tick")
    pairs = list(pairwise(ticks))
    assert [later["seq"] - tick["seq"] for tick, later in pairs] == [1] * len(pairs)
    assert [later["media_start"] - tick["media_start"] for tick, later in pairs] == [1.0] * len(pairs)
    jumps = [round((later["start_ns"] - tick["start_ns"]) / 1e9 - 1) for tick, later in pairs]
    assert sorted(filter(None, jumps)) == [by]
    assert time.time() - ticks[-1]["start_ns"] / 1e9 == pytest.approx(1.5, abs=1.5), "what is said is the new time"
    assert max(tick["latency_ms"]["end_to_decision"] for tick in ticks[-6:]) < 3000
    judge_events(heard("/cam/event"), by)


def judge_events(events, by):
    """Each life is whole and in order; one that was on when the clock was set goes on, and says its start anew."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    crossed = 0
    for _, life in groupby(sorted(events, key=itemgetter("id", "seq")), key=itemgetter("id")):
        steps = list(life)
        assert len({step["media_start"] for step in steps}) == 1
        assert [step["seconds"] for step in steps] == sorted(step["seconds"] for step in steps)
        moved = (steps[-1]["start_ns"] - steps[0]["start_ns"]) / 1e9
        assert moved == pytest.approx(by if abs(moved) > 1 else 0, abs=0.5)
        crossed += abs(moved) > 1
    assert crossed <= 1
