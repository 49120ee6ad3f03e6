"""The outbox: nothing acknowledged is lost, and every message is accounted for."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract import Accounting
from edge.outbox import Outbox, OutboxError


@pytest.fixture
def outbox(tmp_path):
    box = Outbox(tmp_path / "outbox.db")
    yield box
    box.close()


def put(box, count, kind="event", size=10):
    return [done.result(5) for done in [box.put("cam/event", b"x" * size, kind) for _ in range(count)]]


def test_messages_come_back_in_order_with_offsets_of_their_own(outbox):
    done = [outbox.put("cam/event", f"{i}".encode()) for i in range(5)]
    assert [future.result(5) for future in done] == [1, 2, 3, 4, 5]
    assert [(item.offset, item.payload) for item in outbox.after(1, 3)] == [(2, b"1"), (3, b"2"), (4, b"3")]
    assert [item.offset for item in outbox.after(0, 10, upto=2)] == [1, 2]
    assert outbox.last == 5


def test_what_is_settled_is_gone_and_counted(outbox):
    put(outbox, 6)
    outbox.delivered([2, 3, 2, 99])
    outbox.delivered_upto(4)
    outbox.dead(5, "too long")
    assert outbox.flush()
    hole, kept = outbox.after(0, 10)
    assert (hole.kind, json.loads(hole.payload)) == ("gap", {"first": 5, "last": 5, "dropped": {"event": 1}})
    assert kept.offset == 6
    assert outbox.accounting()["event"] == Accounting(produced=6, delivered=4, queued=1, dropped=0, dead=1)
    (letter,) = outbox.dead_letters()
    assert (letter.offset, letter.payload, letter.reason) == (5, b"x" * 10, "too long")


def test_offsets_go_on_after_a_new_start_even_when_all_was_settled(tmp_path):
    box = Outbox(tmp_path / "o.db")
    put(box, 3)
    box.delivered_upto(3)
    box.close()
    again = Outbox(tmp_path / "o.db")
    assert again.stream == box.stream
    assert put(again, 1) == [4]
    again.close()


def test_telemetry_goes_before_events_and_the_oldest_first(tmp_path):
    box = Outbox(tmp_path / "o.db", quota_bytes=1300)
    put(box, 6)
    put(box, 4, "telemetry")
    put(box, 14)
    accounts = box.accounting()
    assert accounts["telemetry"].dropped == 4
    assert accounts["event"].dropped > 0
    first, *rest = box.after(0, 100)
    hole = json.loads(first.payload)
    assert first.kind == "gap"
    assert hole["first"] == 1
    assert hole["dropped"] == {"event": accounts["event"].dropped, **({"telemetry": 4} if hole["last"] >= 10 else {})}
    kept = [item.offset for item in rest if item.kind == "event"]
    assert kept[-1] == 24
    assert box.bytes <= 1300
    box.close()


def test_history_gives_events_delivered_or_not(outbox):
    for seq in range(1, 6):
        outbox.put("cam/event", f"{seq}".encode(), boot="b1", seq=seq)
    outbox.put("cam/event", b"later", boot="b2", seq=1)
    outbox.delivered_upto(3)
    assert outbox.flush()
    assert outbox.history(("b1", 2), limit=2) == [(3, b"3"), (4, b"4")]
    assert outbox.history(("b1", 4)) == [(5, b"5"), (6, b"later")]
    assert outbox.history(("b2", 0)) == [(6, b"later")]
    assert outbox.history(limit=2) == outbox.history(("b0", 7), limit=2) == [(1, b"1"), (2, b"2")]


def test_a_second_process_is_refused_in_a_sentence(outbox):
    with pytest.raises(OutboxError, match=r"outbox\.db: another process uses this outbox; give each device"):
        Outbox(outbox.path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="cannot be made"):
        Outbox(tmp_path / "file" / "o.db")


def test_a_damaged_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "o.db"
    path.write_bytes(b"no database, by no means at all" * 100)
    box = Outbox(path)
    assert put(box, 1) == [1]
    box.close()
    assert "set aside as o.db.damaged-" in caplog.text
    (aside,) = tmp_path.glob("o.db.damaged-*")
    assert aside.read_bytes().startswith(b"no database")


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["event", "telemetry"]), st.integers(0, 300)),
        st.tuples(st.just("delivered"), st.lists(st.integers(1, 60), max_size=5)),
        st.tuples(st.just("upto"), st.integers(0, 60)),
        st.tuples(st.just("dead"), st.integers(1, 60)),
        st.just(("reopen",)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_every_message_is_accounted_for_whatever_happens(tmp_path_factory, operations):
    path = tmp_path_factory.mktemp("outbox") / "o.db"
    box = Outbox(path, quota_bytes=2500)
    produced = {"event": 0, "telemetry": 0}
    for name, *values in operations:
        if name == "put":
            kind, size = values
            box.put("cam/event", bytes(range(256)) + b"y" * size, kind)
            produced[kind] += 1
        elif name == "delivered":
            box.delivered(*values)
        elif name == "upto":
            box.delivered_upto(*values)
        elif name == "dead":
            box.dead(*values, "no")
        else:
            box.close()
            box = Outbox(path, quota_bytes=2500)
    assert box.flush()
    items = box.after(0, 1000)
    accounts = box.accounting()
    box.close()
    with sqlite3.connect(path) as db:
        rows = dict(db.execute("SELECT kind, count(*) FROM items GROUP BY kind").fetchall())
        size = db.execute("SELECT coalesce(sum(bytes), 0) FROM items").fetchone()[0]
    assert size <= 2500
    assert box.bytes == size
    for kind in ("event", "telemetry"):
        account = accounts[kind]
        assert account.produced == produced[kind]
        assert account.queued == rows.get(kind, 0)
        assert account.dead == sum(letter == kind for letter in _dead_kinds(path))
    holes = [json.loads(item.payload) for item in items if item.kind == "gap"]
    covered = [offset for hole in holes for offset in range(hole["first"], hole["last"] + 1)]
    assert len(covered) == len(set(covered)) == sum(sum(hole["dropped"].values()) for hole in holes)
    assert not set(covered) & {item.offset for item in items if item.kind != "gap"}
    assert all(one["last"] + 1 < two["first"] for one, two in pairwise(holes))


def _dead_kinds(path):
    with sqlite3.connect(path) as db:
        return [row[0] for row in db.execute("SELECT kind FROM dead")]


WRITER = """
import sys
from edge.outbox import Outbox
box = Outbox(sys.argv[1])
waiting = []
for i in range(10**6):
    waiting.append(box.put("cam/event", b"%d" % i))
    if len(waiting) == 50:
        for done in waiting:
            print(done.result(), flush=True)
        waiting = []
"""


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    path = tmp_path / "o.db"
    acknowledged = 0
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
            lines = [process.stdout.readline() for _ in range(120)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        acknowledged = int([line for line in lines if line.endswith("\n")][-1])
        box = Outbox(path)
        offsets = [item.offset for item in box.after(0, 10**6)]
        assert offsets == list(range(1, len(offsets) + 1))
        assert len(offsets) >= acknowledged
        assert box.accounting()["event"].queued == len(offsets)
        box.close()
    assert acknowledged > 500


def test_a_full_disk_is_said_and_nothing_is_acknowledged(tmp_path, caplog):
    box = Outbox(tmp_path / "o.db")
    put(box, 3)
    box._writer.execute("PRAGMA max_page_count = 1")  # SQLite's own "disk is full"
    refused = [box.put("cam/event", bytes(range(256)) * 64) for _ in range(30)]
    outcomes = [future.exception(20) for future in refused]
    assert any(isinstance(outcome, OutboxError) for outcome in outcomes)
    assert "o.db: cannot be written (database or disk is full); it is tried again" in caplog.text
    box._writer.execute("PRAGMA max_page_count = 1000000")
    deadline = time.monotonic() + 20
    while not box.flush() and time.monotonic() < deadline:
        pass
    stored = sum(outcome is None for outcome in outcomes)
    assert box.accounting()["event"].queued == 3 + stored == len(box.after(0, 100))
    assert box.failure == ""
    box.close()


def test_a_damaged_row_hides_no_other(tmp_path):
    box = Outbox(tmp_path / "o.db")
    put(box, 3)
    with sqlite3.connect(box.path) as db:
        db.execute("UPDATE items SET payload = CAST('rubbish' AS BLOB) WHERE offset = 2")
    assert [item.payload for item in box.after(0, 10)] == [b"x" * 10, b"", b"x" * 10]
    box.close()
