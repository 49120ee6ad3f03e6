"""Runs of numbers, and which messages are new, missing, explained or committed."""

from __future__ import annotations

from dataclasses import replace

import made
from hypothesis import given
from hypothesis import strategies as st

from edge.contract import Gap
from edge.seen import Hole, Runs, Seen, stream

STREAM = stream("truck1", "cam2", "s1")
SMALL = st.integers(1, 30)


def message(offset: int, boot: str = "b7f2", seq: int | None = None):
    event = made.event_message(offset if seq is None else seq)
    return replace(event, boot=boot, stream="s1", offset=offset)


def gap(first: int, last: int) -> Gap:
    dropped = {"event": last - first + 1}
    return Gap(node="truck1", source="cam2", stream="s1", first=first, last=last, dropped=dropped, reason="full")


@given(st.lists(st.tuples(SMALL, SMALL), max_size=12), SMALL, SMALL)
def test_runs_are_a_set(added, first, last):
    runs, plain = Runs(), set()
    for begin, end in added:
        runs.add(begin, end)
        plain |= set(range(begin, end + 1))
    assert [number in runs for number in range(32)] == [number in plain for number in range(32)]
    assert runs.missing(first, last) == len(set(range(first, last + 1)) - plain)
    assert runs.end(first) == next(number for number in range(first, 40) if number not in plain) - 1
    assert len(runs._firsts) <= len(added)


@given(st.lists(st.integers(1, 12), max_size=30))
def test_each_message_is_new_once_and_what_is_missing_is_known(seqs):
    seen, new = Seen(from_oldest=True), []
    for seq in seqs:
        if not seen.knows(message(seq)):
            seen.add(message(seq))
            new.append(seq)
    assert sorted(new) == sorted(set(seqs))
    assert seen.missing(Hole(STREAM, 1, 12, None, 0)) == 12 - len(new)
    assert seen.prefix(STREAM) == next(number for number in range(1, 14) if number not in seqs) - 1


def test_a_hole_names_the_message_before_it():
    seen = Seen()
    assert seen.add(message(5)) is None
    assert seen.add(message(8)) == Hole(STREAM, 6, 7, "b7f2", 5, "b7f2")
    assert seen.add(message(7)) is None
    assert seen.add(message(2)) is None
    assert seen.missing(Hole(STREAM, 6, 7, "b7f2", 5, "b7f2")) == 1


def test_offsets_show_what_is_missing_across_boots():
    seen = Seen()
    seen.add(message(5, "b7f2", 5))
    assert seen.add(message(6, "c001", 1)) is None
    assert seen.add(message(9, "d002", 1)) == Hole(STREAM, 7, 8, "c001", 1, "d002")


def test_without_an_outbox_the_seqs_of_a_boot_count():
    seen = Seen()
    assert seen.add(made.event_message(1)) is None
    hole = seen.add(made.event_message(50_000))
    assert seen.missing(hole) == 49_998
    assert seen.add(replace(made.event_message(7), boot="c001")) is None
    assert seen.add(replace(made.event_message(7), node="truck2")) is None
    assert seen.give_up(hole.count, hole.first, hole.last) == 49_998
    assert not seen.knows(made.event_message(2))
    assert seen.knows(made.event_message(50_000))


def test_who_wants_all_misses_what_is_before_the_first():
    seen = Seen(from_oldest=True)
    assert seen.add(message(4)) == Hole(STREAM, 1, 3, None, 0, "b7f2")
    assert Seen(from_oldest=True).add(message(1)) is None


def test_a_gap_explains_a_hole_and_what_comes_nonetheless_is_taken():
    seen = Seen(from_oldest=True)
    seen.add(message(1))
    hole = seen.add(message(5))
    assert seen.explain(gap(2, 4)) == 3
    assert seen.explain(gap(2, 4)) == 0
    assert seen.missing(hole) == 0
    assert seen.prefix(STREAM) == 5
    assert not seen.knows(message(3))


def test_what_was_acknowledged_is_known():
    seen = Seen(from_oldest=True)
    seen.commit("truck1", "cam2", "s1", 10)
    assert seen.knows(message(10))
    assert not seen.knows(message(11))
    assert not seen.knows(replace(message(10), stream="s2"))
    assert seen.add(message(13)) == Hole(STREAM, 11, 12, None, 0, "b7f2")
    assert seen.prefix(STREAM) == 10
