"""What is left out under load, in which order, and when it comes back."""

from __future__ import annotations

import pytest

from edge.clip import MODES, Clip
from edge.live.inbox import Inbox
from edge.live.load import Load, look

FINE = {"waited": 0.01, "took": 0.1, "dropped": 0, "busy": 0.3}


def run(load, start, seconds, **cost):
    """A second's cost, again and again; gives when the mode changed and to what."""
    return [(start + k, load.mode) for k in range(seconds) if load.push(float(start + k), **{**FINE, **cost})]


@pytest.mark.parametrize("sign", [{"waited": 1.0}, {"dropped": 1}, {"busy": 0.99}])
def test_overload_leaves_out_motion_then_pictures_then_their_size(sign):
    assert run(Load(), 0, 12, **sign) == [(0, "no_flow"), (3, "fewer_pictures"), (6, "smaller_pictures")]


def test_calm_takes_up_again_what_was_left_out():
    load = Load()
    run(load, 0, 7, dropped=1)
    found = run(load, 7, 60)
    assert [mode for _, mode in found] == ["fewer_pictures", "no_flow", "full"]


def test_what_turns_out_too_much_again_is_tried_less_and_less_often():
    load, tries = Load(), []
    for now in range(1200):
        # Everything is too much, and without motion the judge has time.
        cost = {"dropped": 1} if load.mode == "full" else {}
        if load.push(float(now), **{**FINE, **cost}) and load.mode == "full":
            tries.append(now)
    pauses = [later - before for before, later in zip(tries, tries[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 150
    assert 5 <= len(tries) <= 12


def test_a_judge_that_is_just_about_busy_stays_as_it_is():
    load = Load()
    run(load, 0, 1, dropped=1)
    assert run(load, 1, 100, took=0.6) == []
    assert load.mode == "no_flow"


def test_a_mode_looks_at_less_than_the_one_before():
    looks = [look(mode, 5) for mode in MODES]
    assert [each.frames_per_second for each in looks] == [5, 5, 2, 1]
    assert [each.size for each in looks] == [1.0, 1.0, 1.0, 0.5]


def test_the_oldest_second_of_a_source_makes_room_and_is_counted():
    inbox = Inbox(room=2)
    for start in range(4):
        inbox.put("a", Clip(float(start)))
    inbox.put("b", Clip(9.0))
    taken = [inbox.get(0.1) for _ in range(3)]
    assert [(name, clip.start) for name, _, clip in taken] == [("a", 2.0), ("a", 3.0), ("b", 9.0)]
    assert inbox.dropped == {"a": 2}
    assert inbox.get(0.01) is None
    inbox.close()
    assert inbox.get() is None
