"""Commands are read strictly: what is wrong is refused soon, in a sentence, with no effect."""

from __future__ import annotations

import json
import random
import time

import made
import pytest

from edge.contract import Acknowledgement, Feedback
from edge.remote import Acknowledged, Question, RefusedError, StopPolicy, Turn, read_command

GOOD = {
    "feedback": {"schema": "feedback/1", "id": "b7f2-000001", "verdict": "wrong", "by": "Ann"},
    "rpc/history": {"schema": "rpc/1", "id": "q1", "reply_to": "a/b", "parameters": {"boot": "b7f2", "after": 3}},
    "rpc/self_test": {"schema": "rpc/1", "id": "q2"},
    "model/desired": {
        "schema": "model-desired/1", "version": "2", "sha256": "00", "url": "https://x", "signature": "",
    },
    "cam2/acknowledge/archive": {"schema": "ack/1", "stream": "8c1d02be", "upto": 17},
}  # fmt: skip


def read(levels, payload, *, retained=False):
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    return read_command(levels, payload, made.STAMP.source, retained=retained)


def test_commands_are_read():
    assert read("cam2/audio/set", b"OFF") == Turn("audio", on=False)
    assert read("policy/stop/set", b"STOP") == StopPolicy()
    assert read("feedback", GOOD["feedback"]) == Feedback(id="b7f2-000001", verdict="wrong", by="Ann")
    question = read("rpc/history", GOOD["rpc/history"])
    assert isinstance(question, Question)
    assert question.request.parameters == {"boot": "b7f2", "after": 3}
    assert read("cam2/acknowledge/archive", GOOD["cam2/acknowledge/archive"], retained=True) == Acknowledged(
        "archive", Acknowledgement(stream="8c1d02be", upto=17)
    )


def test_a_newer_sender_may_add_keys():
    assert read("feedback", {**GOOD["feedback"], "mood": {"x": [1, 2.5, None]}}) == read("feedback", GOOD["feedback"])


@pytest.mark.parametrize("levels", ["cam2/acknowledge/archive", "model/desired"])
def test_a_cleared_state_asks_for_nothing(levels):
    assert read(levels, b"", retained=True) is None


@pytest.mark.parametrize(
    ("levels", "payload", "why"),
    [
        ("cam2/audio/set", b"on", "must be ON or OFF"),
        ("cam2/audio/set", b"", "must be ON or OFF"),
        ("cam2/volume/set", b"ON", "no command has this topic"),
        ("cam3/audio/set", b"ON", "no command has this topic"),
        ("policy/start/set", b"START", "no command has this topic"),
        ("policy/stop/set", b"START", "must be STOP"),
        ("rpc/reboot", GOOD["rpc/self_test"], "no command has this topic"),
        ("feedback", b"", "is not JSON"),
        ("feedback", b"\xff\xfe", "is not UTF-8"),
        ("feedback", b"[]", "must be a JSON object with the schema feedback/1"),
        ("feedback", {**GOOD["feedback"], "schema": "feedback/2"}, "with the schema feedback/1"),
        ("feedback", {"id": "x", "verdict": "ack"}, "with the schema feedback/1"),
        ("feedback", {**GOOD["feedback"], "id": "a b"}, "id: must be"),
        ("feedback", {**GOOD["feedback"], "id": 5}, "id: expected `str`, got `int`"),
        ("feedback", {**GOOD["feedback"], "verdict": "maybe"}, "verdict: is none of the values"),
        ("feedback", {**GOOD["feedback"], "verdict": "label"}, "label: belongs to"),
        ("feedback", {**GOOD["feedback"], "by": "\ud800"}, "half a surrogate"),
        ("feedback", {**GOOD["feedback"], "by": "x" * 5000}, "more than 4096 characters"),
        ("feedback", b'{"schema":"feedback/1","id":"a","id":"b","verdict":"ack"}', "a key twice"),
        ("feedback", b'{"schema":"feedback/1","id":"a","verdict":"ack","x":NaN}', "NaN"),
        ("feedback", b'{"schema":"feedback/1","id":"a","verdict":"ack","x":-Infinity}', "Infinity"),
        ("feedback", b'{"schema":"feedback/1","id":"a","verdict":"ack","x":1e999}', "a number beyond 64 bits"),
        ("feedback", b'{"x":9223372036854775808}', "an integer beyond 64 bits"),
        ("feedback", b'{"x":' + b"9" * 60_000 + b"}", "an integer beyond 64 bits"),
        ("feedback", b'{"x":' + b"[" * 20 + b"]" * 20 + b"}", "deeper than 16 levels"),
        ("feedback", b"[" * 60_000, "more than 1000 parts"),
        ("feedback", b"[" * 999, "deeper than 16 levels|is not JSON"),
        ("feedback", b" " * 65537, "has 65537 bytes"),
        ("cam2/acknowledge/archive", {"schema": "ack/1", "stream": "x", "upto": -1}, "upto: must not be negative"),
        ("cam2/acknowledge/archive", {"schema": "ack/1", "stream": "x", "upto": 1.5}, "upto: expected `int`"),
        ("rpc/history", {**GOOD["rpc/history"], "parameters": {"after": -1}}, "after must not be negative"),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(levels, payload, why):
    with pytest.raises(RefusedError, match=why) as caught:
        read(levels, payload)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("levels", ["feedback", "rpc/history", "rpc/self_test"])
def test_retained_commands_are_refused(levels):
    with pytest.raises(RefusedError, match="must not be retained"):
        read(levels, GOOD[levels], retained=True)
    with pytest.raises(RefusedError, match="must not be retained"):
        read("cam2/enabled/set", b"OFF", retained=True)


def nested(rng):
    depth = rng.choice([17, 18, 100, 900])
    return b'{"schema":"feedback/1","x":' + b"[" * depth + b"]" * depth + b"}"


def spoiled(rng, text):
    """Valid JSON with a few bytes changed, cut or doubled."""
    data = bytearray(text)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        data[at : at + rng.randint(0, 3)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
    return bytes(data)


def wrong(rng):
    """One payload that no command may be made of, or, rarely, may."""
    levels = rng.choice([*GOOD, "cam2/rgb/set", "policy/stop/set", "x/y", "feedback/" + "a" * 90])
    good = json.dumps(GOOD.get(levels, GOOD["feedback"])).encode()
    makes = (
        lambda: rng.randbytes(rng.choice([0, 1, 10, 1000, 65_536, 70_000])),
        lambda: nested(rng),
        lambda: spoiled(rng, good),
        lambda: good[:-1] + b',"id":"again"}',
        lambda: good[:-1] + rng.choice([b',"x":NaN}', b',"x":Infinity}', b',"x":-1e400}']),
        lambda: good[:-1] + b',"x":' + b"1" * rng.choice([20, 400, 5000, 60_000]) + b"}",
        lambda: good.replace(b"/1", rng.choice([b"/2", b"/99", b""])),
        lambda: b'["' + b'","' * 21_000 + b'"]',
        lambda: b'{"x":"' + b"\\u00e9" * 10_000 + b'"}',
        lambda: b'{"x":"' + rng.choice([b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800"]) + b'"}',
    )
    return levels, rng.choice(makes)()


def test_twenty_thousand_wrong_payloads_are_refused_within_5_ms():
    rng = random.Random(4)
    seconds, sentences = [], []
    for _ in range(20_000):
        levels, payload = wrong(rng)
        retained = rng.random() < 0.1
        began = time.perf_counter()
        try:
            read_command(levels, payload, "cam2", retained=retained)
        except RefusedError as error:
            seconds.append(time.perf_counter() - began)
            sentences.append(str(error))
    assert len(sentences) > 18_000
    assert all(sentences)
    assert sorted(seconds)[int(0.99 * len(seconds))] <= 0.005
