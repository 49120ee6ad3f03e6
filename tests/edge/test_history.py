"""When devices are asked for what is missing, and what their answers settle."""

from __future__ import annotations

from dataclasses import replace

import made
import msgspec
import pytest

from edge.history import ANSWER_SECONDS, PATIENCE_SECONDS, History, HistoryReply, all_since
from edge.messages import encode
from edge.seen import Hole, Seen, stream


def message(offset, boot="b1", seq=None):
    return replace(made.event_message(offset if seq is None else seq), boot=boot, stream="s1", offset=offset)


class Asked:
    """A history with what it asked and said."""

    def __init__(self, *, asks=True, **kind):
        self.questions, self.said, self.seen = [], [], Seen(**kind)
        ask = (lambda node, request: self.questions.append((node, request))) if asks else None
        self.history = History(self.seen, ask, self.said.append)

    def take(self, *events, now=0.0):
        for event in events:
            hole = self.seen.add(event)
            if hole is not None:
                self.history.want(hole, now)

    def answer(self, *events, now=0.0, **fields):
        for event in events:
            if not self.seen.knows(event):
                self.take(event, now=now)
        node, question = self.questions[-1]
        raw = tuple(msgspec.Raw(encode(event)) for event in events)
        reply = HistoryReply(**{"id": question.id, "node": node, "ok": True, "events": raw, **fields})
        self.history.settle(reply, events, now)

    @property
    def parameters(self):
        return [question.parameters for _, question in self.questions]


def test_a_hole_may_fill_by_itself_before_it_is_asked_for():
    asked = Asked()
    asked.take(message(1), message(4))
    asked.history.ask_due(PATIENCE_SECONDS - 0.1)
    asked.take(message(2), now=1.9)
    asked.history.filling("truck1", 1.9)
    asked.history.ask_due(2.5)
    assert asked.questions == []
    asked.history.ask_due(1.9 + PATIENCE_SECONDS)
    assert asked.parameters == [{"boot": "b1", "after": 0, "limit": 100}]
    asked.answer(message(2), message(3), message(4), now=4.0)
    asked.history.ask_due(100.0)
    assert (len(asked.questions), asked.said) == (1, [])


def test_what_the_history_does_not_have_is_said_and_given_up():
    asked = Asked(from_oldest=True)
    asked.take(message(1), message(5))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.answer(message(1), message(3), message(5), now=3.0)
    assert asked.said == ["truck1/cam2: 2 event messages did not arrive, and the device does not have them"]
    asked.history.ask_due(100.0)
    assert len(asked.questions) == 1
    assert asked.seen.prefix(stream("truck1", "cam2", "s1")) == 5


def test_more_is_asked_for_until_the_hole_is_passed():
    asked = Asked()
    asked.take(message(1), message(9))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.answer(message(2), message(3), more=True)
    asked.answer(message(4), message(6), more=True)
    asked.answer(message(7), message(8), more=True)
    assert [(p["boot"], p["after"]) for p in asked.parameters] == [("b1", 0), ("b1", 3), ("b1", 6)]
    assert asked.said == ["truck1/cam2: 1 event message did not arrive, and the device does not have them"]


def test_a_hole_between_boots_is_looked_for_on_both_sides_and_everywhere():
    asked = Asked()
    asked.take(message(1), message(7, "b3", 2))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.answer(message(2))
    asked.answer(message(6, "b3", 1))
    asked.answer(message(4, "b2", 1), message(5, "b2", 2), message(3))
    expected = [{"boot": "b1", "after": 0}, {"boot": "b3", "after": 0}, {}]
    assert asked.parameters == [{"limit": 100, **where} for where in expected]
    assert asked.said == []


def test_an_answer_settles_only_what_was_asked():
    asked = Asked()
    asked.take(message(1), message(3), message(5))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.take(message(2))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.answer()
    assert asked.said == []
    asked.history.ask_due(PATIENCE_SECONDS + 1)
    assert asked.parameters[-1]["after"] == 2
    asked.answer(id="of somebody else")
    assert asked.said == []


def test_no_answer_is_said_once_and_asked_again_ever_more_slowly():
    asked = Asked()
    asked.history.want(all_since("truck1", "b1"), 0.0)
    at = []
    for tenths in range(3000):
        before = len(asked.questions)
        asked.history.ask_due(tenths / 10)
        at += [tenths / 10] * (len(asked.questions) - before)
    assert at == pytest.approx([0, 5, 15, 35, 75, 135, 195, 255])
    assert ANSWER_SECONDS == 5
    assert asked.said == ["truck1 does not answer when asked for its history; it is asked again"]
    asked.answer(message(1), now=300.0)
    asked.history.ask_due(1000.0)
    assert len(asked.questions) == 8


def test_a_device_that_is_away_is_not_asked_until_it_is_back():
    asked = Asked()
    asked.history.status("truck1", "offline", 0.0)
    asked.take(message(1), message(3))
    asked.history.ask_due(50.0)
    assert asked.questions == []
    asked.history.status("truck1", "online", 60.0)
    asked.history.ask_due(60.0)
    asked.history.ask_due(60.0 + PATIENCE_SECONDS)
    assert len(asked.questions) == 1


def test_a_refusal_is_said_and_asked_again():
    asked = Asked()
    asked.history.want(all_since("truck1", None), 0.0)
    asked.history.ask_due(0.0)
    asked.answer(ok=False, error="the disk is full")
    assert asked.said == ["truck1 cannot give its history: the disk is full"]
    asked.history.ask_due(ANSWER_SECONDS)
    assert len(asked.questions) == 2


def test_who_asks_nobody_is_told_what_is_missing():
    asked = Asked(asks=False)
    asked.take(message(1), message(4))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.history.ask_due(PATIENCE_SECONDS + 1)
    assert asked.said == ["truck1/cam2: 2 event messages did not arrive"]


def test_a_consumer_does_not_give_up_what_is_older_than_the_history():
    asked = Asked(from_oldest=True)
    asked.seen.commit("truck1", "cam2", "s1", 10)
    asked.take(message(900))
    asked.history.ask_due(PATIENCE_SECONDS)
    asked.answer(message(500), message(502), message(900), now=3.0)
    count = stream("truck1", "cam2", "s1")
    assert asked.said == ["truck1/cam2: 398 event messages did not arrive, and the device does not have them"]
    assert asked.seen.prefix(count) == 10
    asked.take(*map(message, range(11, 300)))

    def again(*begins):  # the device sends its queue again, from its first
        for begin in begins:
            for offset in (begin, begin + 1, 900):
                asked.seen.sent_again(message(offset))

    again(300, 300)
    asked.history.ask_due(100.0)
    assert asked.seen.prefix(count) == 299
    again(480)
    asked.history.ask_due(200.0)
    assert asked.seen.prefix(count) == 299  # it began at 300 of late: all from there on may still be in the queue
    again(480, 490)
    asked.history.ask_due(300.0)
    assert asked.seen.missing(Hole(count, 300, 899, None, 0)) == 500 - 480
    asked.take(*map(message, range(480, 500)))
    assert asked.seen.prefix(count) == 900
