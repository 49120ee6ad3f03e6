"""The wire messages: the names others rely on, and reading them back."""

from __future__ import annotations

import json
import re

import made
import pytest

from edge import messages
from edge.events import SegmenterConfig
from edge.messages import MessageError, encode, read_event, topic_id, utc


def test_an_event_has_the_promised_names_and_values():
    got = json.loads(encode(made.event_message(1842, "end")))
    assert got.pop("model") == {"bundle": "sports3-1.4.0", "sha256": "9c1e" * 16, "quant": "int8"}
    votes = got["fusion"].pop("votes")
    assert votes["rgb"] == {"label": "tennis", "score": 0.71, "frames": 5, "probabilities": None}
    assert list(votes) == ["rgb", "flow", "audio"]
    assert got == {
        "schema": "event/1",
        "type": "end",
        "id": "b7f2-000001",
        "node": "truck1",
        "source": "cam2",
        "boot": "b7f2",
        "seq": 1842,
        "stream": None,
        "offset": None,
        "replay": False,
        "replay_of": None,
        "late": False,
        "label": "badminton",
        "class_index": 1,
        "score": 0.81,
        "unknown": False,
        "start": "2026-11-23T10:15:45.000Z",
        "end": "2026-11-23T10:15:48.000Z",
        "start_ns": 1_795_428_945_000_000_000,
        "media_start": 3.0,
        "media_end": 6.0,
        "seconds": 3,
        "fusion": {
            "rule": "class_model_table",
            "table": "t-0007",
            "winner": "audio",
            "row": "badminton",
            "agree": 1,
        },
        "latency_ms": {"clip_to_decision": 21.3},
        "faults": [],
        "media": None,
    }


def test_an_event_that_is_on_has_no_end():
    got = json.loads(encode(made.event_message(1, "new")))
    assert got["end"] is None
    assert got["media_end"] is None


def test_end_repeats_every_field():
    kinds = [json.loads(encode(made.event_message(1, kind))) for kind in ("new", "update", "end")]
    assert kinds[0].keys() == kinds[1].keys() == kinds[2].keys()


def test_a_tick_carries_the_probabilities_in_four_decimals():
    got = json.loads(encode(made.tick(7, 2.0)))
    assert (got["schema"], got["seq"], got["start"]) == ("tick/1", 7, "2026-11-23T10:15:44.000Z")
    assert got["probabilities"] == [0.085, 0.83, 0.085]
    assert got["fusion"]["votes"]["flow"]["probabilities"] == [0.3333, 0.3333, 0.3333]
    assert got["fusion"]["agree"] == 1


def test_an_unknown_second_says_so():
    got = json.loads(encode(messages.tick(made.unknown(), made.STAMP, 1)))
    assert (got["label"], got["class_index"], got["unknown"], got["fusion"]["row"]) == (
        "unknown",
        -1,
        True,
        None,
    )


def test_the_birth_says_what_the_node_is():
    got = json.loads(encode(made.INFO))
    assert got["schemas"][:3] == ["tick/1", "event/1", "info/1"]
    assert got["events"] == json.loads(json.dumps(SegmenterConfig().__dict__))
    assert (got["classes"], got["sources"]) == (list(made.LABELS), ["cam2"])


def test_an_event_reads_back_and_newer_keys_do_no_harm():
    sent = made.event_message(3, "end")
    newer = {**json.loads(encode(sent)), "severity": "alert", "robot": {"x": 1}}
    assert read_event(encode(sent)) == sent
    assert read_event(json.dumps(newer).encode()) == sent


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": "event/2"}, "$.schema"),
        ({"seq": "7"}, "$.seq"),
        ({"label": None}, "$.label"),
        ({"end": 3}, "$.end"),
    ],
)
def test_what_does_not_fit_is_named(change, where):
    with pytest.raises(MessageError, match=r"not an event/1 message: .*") as caught:
        read_event(json.dumps({**json.loads(encode(made.event_message())), **change}).encode())
    assert where in str(caught.value)


@pytest.mark.parametrize("payload", [b"", b"no json", b"[]", b"{}", b'{"schema": "event/1"}', b'"\xff"'])
def test_what_is_no_event_is_refused(payload):
    with pytest.raises(MessageError, match="not an event/1 message"):
        read_event(payload)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cam2", "cam2"),
        ("Final 2026 (cut).v2", "Final-2026-cut-v2"),
        ("Zürich/Hall #1+", "Zurich-Hall-1"),
        ("x" * 200, "x" * 64),
    ],
)
def test_topic_ids(text, expected):
    assert topic_id(text) == expected


def test_names_without_a_latin_letter_stay_apart():
    assert re.fullmatch(r"id-[0-9a-f]{8}", topic_id("дворец"))
    assert topic_id("дворец") != topic_id("стадион")


def test_utc_is_cut_to_milliseconds():
    assert utc(1_795_428_942_999_999_999) == "2026-11-23T10:15:42.999Z"
