"""Stamps become media time: anchored, followed, begun anew; by how much sound has come to lag."""

from __future__ import annotations

import random

import pytest

from edge.live.clock import SETTLE_SECONDS, MediaClock


def play(clock, seconds, *, arrive=lambda _, at: at, stamp=lambda _, at: at, start=0.0):
    """Push 25 pictures and 20 runs of sound a second; gives (medium, real time, media time) of each."""
    due = sorted(
        [("video", start + k / 25) for k in range(round(25 * seconds))]
        + [("audio", start + k / 20) for k in range(round(20 * seconds))],
        key=lambda item: arrive(*item),
    )
    found = []
    for medium, at in due:
        now, stamped = arrive(medium, at), stamp(medium, at)
        items = clock.push(medium, stamped, now, (medium, now, stamped))
        found += [(name, came, shift + shown) for shift, (name, came, shown) in items]
    return found


def test_media_time_is_when_it_came_whatever_the_stamps_begin_with():
    found = play(MediaClock(), 5, arrive=lambda _, at: 100 + at, stamp=lambda _, at: 7000 + at)
    assert len(found) == 5 * 45
    assert all(shown == pytest.approx(came, abs=1e-6) for _, came, shown in found)


def test_what_a_server_had_kept_and_sends_at_once_is_not_taken_for_late():
    found = play(MediaClock(), 6, arrive=lambda _, at: max(1.0, at) + 50, stamp=lambda _, at: at)
    later = [shown - came for _, came, shown in found if came > 52]
    assert max(map(abs, later)) < 1e-6
    assert found[0][2] == pytest.approx(50, abs=0.05), "the first picture is a second old"


@pytest.mark.parametrize("off", [-100e-6, 100e-6])
def test_a_sender_whose_clock_is_off_is_followed_for_an_hour(off):
    chance = random.Random(1)
    clock = MediaClock()
    errors = []
    for k in range(3600 * 25):
        at = k / 25
        now = at * (1 + off) + chance.expovariate(1 / 0.004)
        errors += [abs(shift + item - at * (1 + off)) for shift, item in clock.push("video", at, now, at)]
    assert clock.jumps == 0
    assert max(errors[200:]) < 0.03


@pytest.mark.parametrize(("by", "words"), [(-20, "went back by 20.0 s"), (30, "went ahead by 30.0 s")])
def test_stamps_that_jump_begin_anew(by, words):
    clock = MediaClock()
    found = play(clock, 10, stamp=lambda _, at: at + (by if at >= 5 else 0))
    assert (clock.jumps, clock.jumped) == (1, f"time stamps {words}")
    assert all(abs(shown - came) < 0.1 for _, came, shown in found)
    assert found[-1][2] == pytest.approx(9.96, abs=0.1)


def test_a_network_that_stands_still_and_then_delivers_moves_nothing():
    clock = MediaClock()
    found = play(clock, 10, arrive=lambda _, at: 7.0 if 5 <= at < 7 else at)
    assert clock.jumps == 0
    assert all(shown == pytest.approx(came, abs=0.01) for _, came, shown in found if came < 5 or came > 7)
    assert sorted(shown for name, _, shown in found if name == "video") == pytest.approx(
        [k / 25 for k in range(250)], abs=0.01
    )


def test_a_stream_that_paused_goes_on_from_now():
    clock = MediaClock()
    found = play(clock, 20, arrive=lambda _, at: at + (5 if at >= 5 else 0))
    assert clock.jumps == 1
    assert clock.jumped.startswith("what comes is 5.0 s later")
    assert found[-1][2] == pytest.approx(24.96, abs=0.1)


@pytest.mark.parametrize("lag", [0.2, -0.2])
def test_sound_that_comes_to_lag_is_measured_within_two_seconds(lag):
    clock = MediaClock()
    play(clock, 8)
    assert clock.offset()[0] == pytest.approx(0, abs=0.005)
    play(clock, 2, start=8, stamp=lambda medium, at: at + (lag if medium == "audio" else 0))
    measured, uncertainty = clock.offset()
    assert measured == pytest.approx(lag, abs=max(0.005, uncertainty))
    assert uncertainty < 0.05
    play(clock, 2, start=10)
    assert clock.offset()[0] == pytest.approx(0, abs=0.005)


def test_nothing_is_lost_when_a_connection_ends_before_it_has_settled():
    clock = MediaClock()
    assert clock.push("audio", 3.0, 10.0, "a") == []
    assert clock.push("audio", 3.1, 10.0 + SETTLE_SECONDS / 2, "b") == []
    assert [item for _, item in clock.flush()] == ["a", "b"]
    assert clock.flush() == []
