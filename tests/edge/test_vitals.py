"""Digests, figures, health, switches and feedback of a device."""

from __future__ import annotations

import json
from dataclasses import replace

import made

from edge.contract import Feedback
from edge.digest import Minutes, minute_id
from edge.feedback import FeedbackFile
from edge.health import Components, Figures, temperatures
from edge.switches import Switches

RECEIVED = "2026-11-23T10:16:00.000Z"


def test_a_minute_is_summed_up_when_the_next_begins():
    minutes = Minutes()
    first = [
        replace(made.tick(seq, float(seq)), label="golf" if seq < 5 else "tennis") for seq in range(18) if seq != 7
    ]
    assert [minutes.push(tick) for tick in first] == [[]] * 17
    assert minutes.push(made.event_message(1)) == []
    [digest] = minutes.push(made.tick(19, 18.0))
    assert digest.minute == "2026-11-23T10:15:00.000Z"
    assert minute_id(digest) == "20261123T1015"
    assert (digest.seconds, digest.labels, digest.missing) == (17, {"golf": 5, "tennis": 12}, 1)
    assert (digest.events_begun, digest.score) == (1, 0.83)
    [last] = minutes.flush()
    assert (last.seconds, last.events_begun, last.missing) == (1, 0, 0)
    assert minutes.flush() == []


def test_latencies_are_percentiles_of_the_last_minute():
    figures = Figures()
    assert figures.latency_ms() == {}
    for seq in range(100):
        figures.push(replace(made.tick(seq, float(2 * seq)), latency_ms={"clip_to_decision": float(seq)}))
    assert figures.latency_ms() == {"p50": 69.0, "p95": 96.0, "p99": 99.0}
    assert (figures.seconds_judged, figures.seconds_dropped) == (100, 99)


def test_health_is_news_only_when_it_changes():
    components = Components()
    first = components.report("outbox", "ok", "keeps every event")
    assert components.report("outbox", "ok", "keeps every event") is None
    again = components.report("outbox", "ok", "is empty")
    assert again.since == first.since
    assert components.report("outbox", "error", "cannot be written").level == "error"


def test_temperatures_are_those_of_the_kernel(tmp_path):
    for number, (name, text) in enumerate([("cpu", "41250"), ("cpu", "40000"), ("gpu", "broken")]):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(f"{name}\n")
        (zone / "temp").write_text(f"{text}\n")
    assert temperatures(tmp_path) == {"cpu": 41.2, "cpu-1": 40.0}
    assert temperatures(tmp_path / "none") == {}


def test_switches_are_on_until_turned():
    switches = Switches(off=("publish_ticks",))
    switches.turn("flow", on=False)
    assert (switches["flow"], switches["rgb"], switches["publish_ticks"]) == (False, True, False)
    assert switches.left_out == {"flow"}
    switches.turn("flow", on=True)
    assert switches.left_out == frozenset()


def test_feedback_is_kept_once_over_restarts_and_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "state" / "feedback-truck1.jsonl"
    said = Feedback(id="b7f2-000001", verdict="label", label="golf", by="Ann")
    file = FeedbackFile(path)
    assert file.add(said, RECEIVED)
    assert not file.add(said, "2026-11-23T10:16:07.000Z")
    file.close()
    with path.open("ab") as torn:
        torn.write(b'{"schema":"feedb')
    file = FeedbackFile(path)
    assert not file.add(said, RECEIVED)
    assert file.add(replace(said, verdict="wrong", label=None), RECEIVED)
    file.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["label", "wrong"]
    assert lines[0]["received"] == RECEIVED
