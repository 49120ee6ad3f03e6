"""A simulated device: what it plays, which faults it makes, what it answers."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from brokers import free_port, until
from paho.mqtt.publish import multiple
from recordings import as_recorded, keyed, record

from edge.__main__ import main
from edge.contract import RpcRequest
from edge.messages import EventMessage, Tick
from edge.play import Playing, simulate
from edge.script import FAULTS, RecordingError, faults_in, read_recording, script
from edge.simulate import history

MATCH = Path(__file__).parents[2] / "examples" / "match.jsonl"
NODE, SOURCE = "touchline/truck1", "touchline/truck1/cam2"
FAST = Playing(speed=0, stay=0)


@pytest.fixture
def recorded(tmp_path):
    return record(tmp_path / "match.jsonl", 40, boots=2)


def test_the_shipped_recording_is_a_small_match():
    messages = read_recording(MATCH)
    labels = [m.label for m in messages if isinstance(m, EventMessage) and m.type == "end"]
    assert labels == ["tennis", "badminton", "rugby", "football", "swimming"]
    assert Counter(map(type, messages))[Tick] == 27
    assert MATCH.stat().st_size <= 200_000


def test_events_get_offsets_and_the_same_stream_each_time(tmp_path, recorded):
    once, again = (read_recording(tmp_path / "match.jsonl", node="n") for _ in range(2))
    events = [message for message in once if isinstance(message, EventMessage)]
    assert once == again
    assert [event.offset for event in events] == list(range(1, 41))
    assert {(event.node, event.source) for event in events} == {("n", "cam2")}
    assert [as_recorded(event) | {"node": "truck1"} for event in events] == list(map(as_recorded, recorded))


@pytest.mark.parametrize("seed", range(20))
def test_every_event_is_sent_or_held_or_dropped_once(tmp_path, recorded, seed):
    messages = read_recording(tmp_path / "match.jsonl")
    steps = script(messages, FAULTS, seed)
    made = [step.message for step in steps if step.deed in ("event", "hold", "drop")]
    assert made == [message for message in messages if isinstance(message, EventMessage)]
    assert [step.message for step in steps if step.deed == "tick"] == [m for m in messages if isinstance(m, Tick)]
    assert faults_in(steps) == {"reconnects": 3, "duplicates": 4, "late": 4, "gaps": 4, "drops": 4}
    assert steps == script(messages, FAULTS, seed) != script(messages, FAULTS, seed + 1)
    assert steps[-1].deed != "hold"
    at = [step.at for step in steps]
    assert at == sorted(at)
    assert len(recorded) == 40


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("hello\n", ", line 1: not a message: "),
        ('{"schema":"event/1","type":"new"}\n', ", line 1: not a message: object missing required field `id`"),
        ('\n{"schema":"info/1"}\n', ", line 2: not a message: schema is 'info/1', known are tick/1 and event/1"),
        ("", ": no event in it; record one with: touchline run VIDEO --jsonl "),
        (b"\xff\n", ", line 1: not a message: "),
    ],
)
def test_a_bad_recording_is_one_sentence_with_file_and_line(tmp_path, capsys, content, complaint):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["simulate-device", str(path), "--mqtt", "mqtt://127.0.0.1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"touchline: {path}{complaint}")
    assert err.count("\n") == 1


def test_two_devices_in_one_recording_are_refused(tmp_path, recorded):
    path = tmp_path / "match.jsonl"
    other = path.read_text().replace('"cam2"', '"cam3"')
    path.write_text(path.read_text() + other)
    with pytest.raises(RecordingError, match="more than one node or source"):
        read_recording(path)
    assert recorded


def test_no_recording_and_no_broker_are_one_sentence(tmp_path, capsys):
    assert main(["simulate-device", str(tmp_path / "no.jsonl"), "--mqtt", "mqtt://127.0.0.1"]) == 2
    assert capsys.readouterr().err == f"touchline: {tmp_path}/no.jsonl: cannot be read (no such file or directory)\n"
    port = free_port()
    assert main(["simulate-device", str(MATCH), "--mqtt", f"mqtt://127.0.0.1:{port}", "--fast"]) == 1
    assert capsys.readouterr().err == f"touchline: mqtt broker 127.0.0.1:{port}: connection refused\n"


@pytest.mark.parametrize("kind", ["broker", "old_broker"])
def test_it_looks_like_a_device(request, tmp_path, recorded, kind):
    broker = request.getfixturevalue(kind)
    listener = broker.listen()
    said = simulate(str(tmp_path / "match.jsonl"), broker.url, FAST)
    listener.wait(f"{NODE}/status", "stopped")
    assert said.endswith(f"40 ticks and 40 events sent to 127.0.0.1:{broker.port}; faults (seed 0): none")
    events = [json.loads(payload) for payload in listener.payloads(f"{SOURCE}/event")]
    assert [as_recorded(event) for event in events] == list(map(as_recorded, recorded))
    assert [event["offset"] for event in events] == list(range(1, 41))
    assert len(listener.payloads(f"{SOURCE}/tick")) == 40
    assert listener.payloads(f"{NODE}/status") == ["online", "online", "stopped"]
    assert [json.loads(info)["boot"] for info in listener.payloads(f"{NODE}/info")] == ["boot0", "boot1"]
    assert listener.payloads(f"{SOURCE}/status/audio")[-1] == "offline"
    assert listener.payloads(f"{SOURCE}/label")[0] == "none"


def test_a_reconnect_fires_the_last_will_and_brings_the_state_back(broker, tmp_path, recorded):
    listener = broker.listen()
    simulate(str(tmp_path / "match.jsonl"), broker.url, Playing(speed=0, faults=("reconnects",), seed=3))
    listener.wait(f"{NODE}/status", "stopped")
    statuses = listener.payloads(f"{NODE}/status")
    assert statuses.count("offline") == 3
    events = keyed(map(json.loads, listener.payloads(f"{SOURCE}/event")))
    assert list(events.values()) == list(map(as_recorded, recorded))
    assert any(json.loads(payload)["late"] for payload in listener.payloads(f"{SOURCE}/event"))


def test_faults_are_seen_on_the_wire(broker, tmp_path, recorded):
    listener = broker.listen()
    faults = ("duplicates", "late", "gaps", "drops")
    said = simulate(str(tmp_path / "match.jsonl"), broker.url, Playing(speed=0, faults=faults, seed=1, stay=0))
    listener.wait(f"{NODE}/status", "stopped")
    events = [json.loads(payload) for payload in listener.payloads(f"{SOURCE}/event")]
    offsets = [event["offset"] for event in events]
    assert sum(event["late"] for event in events) == 4
    assert offsets != sorted(offsets)
    assert len(offsets) - len(set(offsets)) == 4
    gaps = {json.loads(gap)["first"] for gap in listener.payloads(f"{SOURCE}/gap")}
    assert len(gaps) == 4
    missing = set(range(1, 41)) - set(offsets)
    assert len(missing) == 8
    assert gaps < missing
    assert "4 sent twice, 4 late, 4 left out (0 of them given from history), 4 dropped and explained" in said
    assert len(recorded) == 40


def test_it_plays_at_the_speed_of_the_match(broker, tmp_path):
    record(tmp_path / "short.jsonl", 3)
    began = time.monotonic()
    simulate(str(tmp_path / "short.jsonl"), broker.url, Playing(speed=2))
    assert 1.5 <= time.monotonic() - began < 4


def test_a_device_whose_broker_restarts_sends_everything(stopped_broker, tmp_path):
    recorded = record(tmp_path / "long.jsonl", 30, ticks=False)
    listener = stopped_broker.start().listen()
    playing = threading.Thread(
        target=simulate, args=(str(tmp_path / "long.jsonl"), stopped_broker.url, Playing(speed=10))
    )
    playing.start()
    assert until(lambda: len(listener.payloads(f"{SOURCE}/event")) >= 5)
    stopped_broker.stop()
    before = list(map(json.loads, listener.payloads(f"{SOURCE}/event")))
    again = stopped_broker.start().listen()
    playing.join(20)
    again.wait(f"{NODE}/status", "stopped")
    events = keyed([*before, *map(json.loads, again.payloads(f"{SOURCE}/event"))])
    assert events == keyed(recorded)


@pytest.mark.parametrize(
    ("parameters", "offsets", "more"),
    [
        ({}, list(range(1, 41)), False),
        ({"boot": "boot0", "after": 18, "limit": 4}, [19, 20, 21, 22], True),
        ({"boot": "boot1", "after": 0, "limit": 2}, [21, 22], True),
        ({"boot": "boot1", "after": 19}, [40], False),
        ({"boot": "boot1", "after": 20}, [], False),
        ({"boot": "gone", "limit": 1}, [1], True),
    ],
)
def test_history_goes_on_after_a_message(tmp_path, recorded, parameters, offsets, more):
    kept = [m for m in read_recording(tmp_path / "match.jsonl") if isinstance(m, EventMessage)]
    events, goes_on = history(kept, RpcRequest(id="q", parameters=parameters))
    assert ([event.offset for event in events], goes_on) == (offsets, more)
    assert len(recorded) == len(kept)


def test_a_question_must_say_where_its_answer_goes(broker, tmp_path, recorded, capsys):
    listener, status = broker.listen(topic="+/+/rpc/+/reply/#"), broker.listen(topic=f"{NODE}/status")
    rng = random.Random(7)
    playing = threading.Thread(
        target=simulate, args=(str(tmp_path / "match.jsonl"), broker.url, Playing(speed=0, stay=2))
    )
    playing.start()
    status.wait(f"{NODE}/status", "online")
    questions = [
        b"no json",
        b'{"schema":"rpc/2","id":"x"}',
        b'{"id":"x"}',
        b'{"id":"x","reply_to":"touchline/other/rpc/history/reply/me"}',
        rng.randbytes(100),
        b'{"id":"good","reply_to":"touchline/truck1/rpc/history/reply/me","parameters":{"limit":1}}',
    ]
    clip = b'{"id":"clip","reply_to":"touchline/truck1/rpc/get_clip/reply/me"}'
    asked = [(f"{NODE}/rpc/history", question, 1, False) for question in questions]
    multiple([*asked, (f"{NODE}/rpc/get_clip", clip, 1, False)], hostname="127.0.0.1", port=broker.port)
    reply = json.loads(listener.wait(f"{NODE}/rpc/history/reply/me"))
    assert (reply["id"], reply["ok"], reply["more"], len(reply["events"])) == ("good", True, True, 1)
    refused = json.loads(listener.wait(f"{NODE}/rpc/get_clip/reply/me"))
    assert (refused["ok"], refused["error"]) == (False, "a simulated device answers history only")
    playing.join(10)
    assert listener.payloads("touchline/other/rpc/history/reply/me") == []
    assert capsys.readouterr().err.count("\n") == 5
    assert recorded
