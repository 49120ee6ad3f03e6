import asyncio
import json
from dataclasses import replace

import made
import pytest

from edge.contract import Feedback, Health
from edge.web.board import GATHER_SECONDS, HISTORY_SECONDS, MOST_EVENTS, MOST_SOURCES, QUIET_SECONDS, WAITING, Board
from edge.web.standing import Card, NodeStanding, SourceStanding

OK = SourceStanding(level="ok", state="online")
NAME = "truck1/cam2"


def tick(seq=1, **changes):
    return replace(made.tick(seq, float(seq - 1)), **changes)


@pytest.fixture
def board():
    return Board(streams=2)


def drained(watcher) -> list[dict]:
    async def read():
        found = []
        while watcher._waiting:
            found.append(json.loads((await watcher.get())[0]))
        return found

    return asyncio.run(read())


class TestMessages:
    def test_is_one_a_second_with_its_events(self, board):
        watcher = board.watch()
        board.take(tick(1), 10.0)
        board.take(made.event_message(), 10.0)
        board.turn(10.0)
        assert drained(watcher) == []
        board.turn(10.0 + GATHER_SECONDS)
        (message,) = drained(watcher)
        assert message["source"] == NAME
        assert message["tick"]["seq"] == 1
        assert [shown["event"]["id"] for shown in message["events"]] == ["b7f2-000001"]

    def test_of_a_burst_are_as_many_as_its_seconds(self, board):
        watcher = board.watch()
        for seq in range(1, 6):
            board.take(tick(seq), 10.0)
        board.turn(10.0 + GATHER_SECONDS)
        assert [message["tick"]["seq"] for message in drained(watcher)] == [1, 2, 3, 4, 5]

    def test_comes_without_a_second_where_none_is(self, board):
        board.look(NAME, OK, 10.0)
        board.turn(10.0)
        watcher = board.watch()
        board.turn(10.0 + QUIET_SECONDS)
        (message,) = drained(watcher)
        assert message["tick"] is None
        assert message["standing"]["state"] == "online"

    def test_comes_at_once_when_a_source_fails(self, board):
        board.look(NAME, OK, 10.0)
        board.turn(10.0)
        watcher = board.watch()
        board.look(NAME, replace(OK, level="error", state="stalled"), 10.2)
        board.turn(10.2)
        assert drained(watcher)[0]["standing"]["level"] == "error"


class TestWatcher:
    def test_that_is_slow_loses_the_oldest_and_is_told(self, board):
        watcher = board.watch()
        for seq in range(1, WAITING + 8):
            board.take(tick(seq), 10.0)
        board.turn(11.0)
        message, dropped = asyncio.run(watcher.get())
        assert (json.loads(message)["tick"]["seq"], dropped, board.dropped) == (8, 7, 7)
        assert asyncio.run(watcher.get())[1] == 0

    def test_is_refused_when_there_are_enough(self, board):
        first = board.watch()
        assert board.watch() is not None
        assert board.watch() is None
        board.leave(first)
        assert board.watch() is not None

    def test_ends(self, board):
        watcher = board.watch()
        board.end()
        assert asyncio.run(watcher.get()) is None


class TestBounds:
    def test_hold_for_events(self, board):
        for count in range(MOST_EVENTS + 5):
            board.take(made.event_message(count=count), 0.0)
        assert len(board.events) == MOST_EVENTS
        assert next(iter(board.events)) == "b7f2-000005"

    def test_hold_for_the_history(self, board):
        for seq in range(1, 2 * HISTORY_SECONDS):
            board.take(tick(seq), 0.0)
        state = json.loads(board.snapshot("now"))
        assert len(state["sources"][NAME]["history"]) == HISTORY_SECONDS

    def test_hold_for_sources_and_nodes(self, board):
        for number in range(MOST_SOURCES + 5):
            board.take(tick(1, node=f"n{number}"), 0.0)
            board.look_at_node(f"n{number}", NodeStanding())
        assert len(board.sources) == len(board.nodes) == MOST_SOURCES


class TestSnapshot:
    def test_holds_what_a_page_begins_with(self, board):
        board.introduce(made.INFO, {"golf": "rgb"})
        board.take(tick(1), 0.0)
        board.take(made.event_message(), 0.0)
        state = json.loads(board.snapshot("now", pictures=[NAME]))
        assert state["nodes"]["truck1"]["info"]["classes"] == list(made.LABELS)
        assert state["nodes"]["truck1"]["rows"] == {"golf": "rgb"}
        assert state["sources"][NAME]["history"][0]["judges"]["fused"][0] == [1, 0.83]
        assert state["events"][0]["event"]["label"] == "badminton"
        assert state["pictures"] == [NAME]


class TestSay:
    def test_shows_the_verdict_and_keeps_it_at_the_next_message(self, board):
        board.take(made.event_message(1), 0.0)
        verdict = Feedback(id="b7f2-000001", verdict="wrong")
        assert board.say(verdict) == Card(made.event_message(1), verdict)
        board.take(made.event_message(2, "end"), 1.0)
        assert board.events["b7f2-000001"].verdict == verdict

    def test_of_what_is_not_known_is_none(self, board):
        assert board.say(Feedback(id="no", verdict="ack")) is None


class TestReasons:
    def test_are_none_when_all_is_well(self, board):
        board.look(NAME, OK, 0.0)
        board.report("truck1", "broker", Health(level="warn", message="not yet", since=""))
        assert board.reasons() == []

    def test_name_sources_and_parts_without_addresses(self, board):
        board.look(NAME, replace(OK, level="error", state="offline", message="rtsp://me@host is away"), 0.0)
        board.report("truck1", "broker", Health(level="error", message="mqtt broker 10.0.0.1: gone", since=""))
        assert board.reasons() == ["truck1/cam2: offline", "truck1: broker error"]
