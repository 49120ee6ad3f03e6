"""The Python client against a simulated device with every fault: all of the recording, each message once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from brokers import until
from paho.mqtt import publish
from recordings import as_recorded, keyed, record

from edge.messages import EventMessage, encode
from edge.play import Playing, simulate
from edge.script import FAULTS, read_recording, script
from edge.subscribe import subscribe

ROOT = Path(__file__).parents[2]
ACKNOWLEDGED = "touchline/truck1/cam2/acknowledge/archive"
UNEXPLAINED = ("reconnects", "duplicates", "late", "gaps")


class Client:
    """`subscribe` in a thread, and what it called back."""

    def __init__(self, url, *, on_event=None, **options):
        self.events, self.notes, self.statuses, self.raised = [], [], [], []
        self._on_event = on_event or (lambda _: None)
        self.thread = threading.Thread(target=self._run, args=(url,), kwargs={"timeout_seconds": 60, **options})
        # A state that is there before says when the subscription stands: nothing must be sent sooner.
        address = urlsplit(url)
        publish.single("touchline/probe/status", "stopped", 1, True, address.hostname, address.port)
        self.thread.start()
        assert until(lambda: ("probe", "stopped") in self.statuses)

    def _take(self, event, payload):
        assert json.loads(payload)["seq"] == event.seq
        self._on_event(event)
        self.events.append(event)

    def _run(self, url, **options):
        try:
            subscribe(
                url,
                on_event=self._take,
                on_status=lambda *status: self.statuses.append(status),
                on_note=self.notes.append,
                **options,
            )
        except ZeroDivisionError as error:
            self.raised.append(error)


def dropped(path, seed, faults) -> set[int]:
    steps = script(read_recording(path), faults, seed)
    return {step.message.offset for step in steps if step.deed == "drop"}


@pytest.mark.parametrize(("kind", "seed"), [("broker", 1), ("broker", 2), ("old_broker", 3)])
def test_every_event_comes_once_whatever_happens(request, tmp_path, kind, seed):
    broker = request.getfixturevalue(kind)
    path = tmp_path / "match.jsonl"
    recorded = record(path, 60, boots=3, ticks=False)
    client = Client(broker.url, history=True, count=len(recorded))
    said = simulate(str(path), broker.url, Playing(speed=0, faults=UNEXPLAINED, seed=seed, stay=3.5))
    client.thread.join(30)
    assert [as_recorded(event) for event in client.events] != list(map(as_recorded, recorded))  # not in order, but
    assert len(client.events) == len(recorded)
    assert keyed(json.loads(encode(event)) for event in client.events) == keyed(recorded)
    assert not any("did not arrive" in note for note in client.notes)
    assert "6 left out (6 of them given from history)" in said


def test_what_a_device_dropped_is_explained_and_not_asked_for(broker, tmp_path):
    path = tmp_path / "match.jsonl"
    recorded = record(path, 60, boots=3, ticks=False)
    lost = dropped(path, 5, FAULTS)
    client = Client(broker.url, history=True, count=len(recorded) - len(lost))
    simulate(str(path), broker.url, Playing(speed=0, faults=FAULTS, seed=5, stay=3.5))
    client.thread.join(30)
    expected = [event for offset, event in enumerate(recorded, 1) if offset not in lost]
    assert keyed(json.loads(encode(event)) for event in client.events) == keyed(expected)
    explained = [note for note in client.notes if "the device dropped" in note]
    assert len(explained) == len(lost) == 6
    assert not any("did not arrive" in note for note in client.notes)


def test_who_comes_late_gets_the_boot_so_far_from_history(broker, tmp_path):
    path = tmp_path / "match.jsonl"
    recorded = record(path, 250, ticks=False)
    playing = threading.Thread(target=simulate, args=(str(path), broker.url, Playing(speed=0, stay=3)))
    listener = broker.listen()
    playing.start()
    assert until(lambda: len(listener.payloads("touchline/truck1/cam2/event")) == 250)
    client = Client(broker.url, history=True, count=250)
    client.thread.join(20)
    playing.join(20)
    assert keyed(json.loads(encode(event)) for event in client.events) == keyed(recorded)
    assert client.notes == []


def test_without_history_a_gap_is_only_told(broker, tmp_path):
    path = tmp_path / "match.jsonl"
    record(path, 30, ticks=False)
    client = Client(broker.url)
    playing = Playing(speed=0, faults=("gaps",), seed=1, stay=4)
    said = simulate(str(path), broker.url, playing)
    assert until(lambda: client.notes)
    missing = 30 - len(client.events)
    assert missing == 3
    assert sum(int(note.split()[1]) for note in client.notes if "did not arrive" in note) == 3
    assert "(0 of them given" in said
    client.thread.join(0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["broker", "old_broker"])
def test_a_consumer_acknowledges_what_it_has_committed_and_goes_on_from_there(request, tmp_path, kind):
    broker = request.getfixturevalue(kind)
    path = tmp_path / "match.jsonl"
    recorded = record(path, 60, boots=2, ticks=False)
    lost = dropped(path, 4, FAULTS)
    played = []
    playing = Playing(speed=0, faults=FAULTS, seed=4, consumer="archive", stay=0)
    device = threading.Thread(target=lambda: played.append(simulate(str(path), broker.url, playing)))
    first = Client(broker.url, consumer="archive", count=20)
    device.start()
    first.thread.join(30)
    second = Client(broker.url, consumer="archive", timeout_seconds=10)
    device.join(60)
    assert "acknowledged" not in played[0]
    second.thread.join(30)
    expected = [event for offset, event in enumerate(recorded, 1) if offset not in lost]
    stored = keyed(json.loads(encode(event)) for event in [*first.events, *second.events])
    assert stored == keyed(expected)
    retained = json.loads(broker.listen(topic=ACKNOWLEDGED).wait(ACKNOWLEDGED))
    assert (retained["schema"], retained["upto"]) == ("ack/1", 60)


def test_what_could_not_be_committed_is_not_acknowledged(broker, tmp_path):
    path = tmp_path / "match.jsonl"
    record(path, 10, ticks=False)

    def fail(event: EventMessage):
        if event.offset == 6:
            raise ZeroDivisionError

    client = Client(broker.url, consumer="archive", on_event=fail)
    simulate(str(path), broker.url, Playing(speed=0, stay=1))
    client.thread.join(10)
    assert len(client.raised) == 1
    retained = json.loads(broker.listen(topic=ACKNOWLEDGED).wait(ACKNOWLEDGED))
    assert retained["upto"] == 5


PROGRAM = """
import sqlite3, sys
sys.path.insert(0, sys.argv[1])
from edge.messages import encode
from edge.subscribe import subscribe
store = sqlite3.connect(sys.argv[3])
store.execute("CREATE TABLE IF NOT EXISTS events (key TEXT PRIMARY KEY, payload BLOB)")
def commit(event, payload):
    with store:
        key = f"{event.node} {event.source} {event.boot} {event.seq}"
        store.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", (key, payload))
subscribe(sys.argv[2], on_event=commit, consumer="archive")
"""


@pytest.mark.slow
def test_a_consumer_that_is_killed_again_and_again_loses_nothing(broker, tmp_path):
    path, store = tmp_path / "match.jsonl", tmp_path / "store.db"
    recorded = record(path, 400, ticks=False)
    played = []
    playing = Playing(speed=100, faults=UNEXPLAINED, seed=4, consumer="archive", stay=0)
    device = threading.Thread(target=lambda: played.append(simulate(str(path), broker.url, playing)))
    device.start()
    command = [sys.executable, "-c", PROGRAM, str(ROOT), broker.url, str(store)]
    kills = 0
    while True:
        with subprocess.Popen(command) as consumer:
            device.join(1.5 if kills < 5 else 40)
            consumer.kill()
        kills += 1
        if not device.is_alive():
            break
    assert kills > 5
    assert "not everything" not in played[0]
    with sqlite3.connect(store) as connection:
        stored = [json.loads(payload) for (payload,) in connection.execute("SELECT payload FROM events")]
    connection.close()
    assert keyed(stored) == keyed(recorded)
    assert len(stored) == len(recorded)
