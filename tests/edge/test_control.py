"""A device is told something over real brokers, and says how it stands."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime

import made
import paho.mqtt.client as paho
import pytest
from brokers import program, until
from devices import NODE, SOURCE, events, said
from media import write_video

from edge import messages
from edge.clips import Clips
from edge.config import Config, Web
from edge.recorded import Recorded
from edge.showing import clip_finder
from edge.switches import Switches


def test_switches_are_turned_and_a_modality_that_is_off_is_disabled(broker, device, client):
    switches = Switches()
    listener = broker.listen()
    publisher = device(broker.url, switches=switches)
    listener.wait(f"{SOURCE}/rgb/state", "ON")
    teller = client(broker, "x")
    teller.tell(f"{SOURCE}/rgb/set", "OFF")
    listener.wait(f"{SOURCE}/rgb/state", "OFF")
    listener.wait(f"{SOURCE}/status/rgb", "disabled")
    assert switches.left_out == {"rgb"}
    teller.tell(f"{SOURCE}/publish_ticks/set", "OFF")
    listener.wait(f"{SOURCE}/publish_ticks/state", "OFF")
    publisher(made.tick(1))
    publisher(made.event_message(1))
    listener.wait(f"{SOURCE}/event")
    assert listener.payloads(f"{SOURCE}/tick") == []
    teller.tell(f"{SOURCE}/enabled/set", "OFF")
    listener.wait(f"{SOURCE}/status/audio", "disabled")


def test_bad_commands_are_counted_said_once_and_have_no_effect(broker, device, client, caplog):
    switches = Switches()
    listener = broker.listen()
    device(broker.url, switches=switches)
    listener.wait(f"{SOURCE}/rgb/state", "ON")
    teller = client(broker, "x")
    for payload in ("off", "", "x" * 70_000):
        teller.tell(f"{SOURCE}/rgb/set", payload)
    teller.tell(f"{NODE}/feedback", '{"schema":"feedback/9"}')
    teller.tell(f"{NODE}/policy/stop/set", "START")
    health = json.loads(listener.wait(f"{NODE}/health/commands"))
    assert (health["level"], health["message"]) == (
        "warn",
        "1 refused, the latest said: cam2/rgb/set: the payload must be ON or OFF",
    )
    assert len(said(caplog, "refused a command")) == 1
    assert switches.left_out == frozenset()
    assert json.loads(listener.wait(f"{NODE}/policy/state"))["state"] == "inactive"


def test_the_policy_stops_and_an_unsigned_model_is_refused(broker, device, client):
    listener = broker.listen()
    device(broker.url)
    assert json.loads(listener.wait(f"{NODE}/model/reported"))["state"] == "active"
    teller = client(broker, "x")
    teller.tell(f"{NODE}/policy/stop/set", "STOP")
    assert until(lambda: json.loads(listener.wait(f"{NODE}/policy/state"))["state"] == "stopped")
    wish = {"schema": "model-desired/1", "version": "2", "sha256": "00", "url": "https://x", "signature": ""}
    teller.tell(f"{NODE}/model/desired", wish, retain=True)
    assert until(lambda: json.loads(listener.wait(f"{NODE}/model/reported"))["state"] == "refused")
    assert json.loads(listener.wait(f"{NODE}/model/reported"))["reason"] == "it is not signed"


def test_feedback_is_stored_once(broker, device, client, state_home):
    listener = broker.listen()
    device(broker.url)
    listener.wait(f"{NODE}/status", "online")
    listener.wait(f"{SOURCE}/rgb/state")
    teller = client(broker, "x")
    what = {"schema": "feedback/1", "id": "b7f2-000001", "verdict": "label", "label": "golf", "by": "Ann"}
    for _ in range(3):
        teller.tell(f"{NODE}/feedback", what)
    teller.tell(f"{NODE}/feedback", {**what, "verdict": "wrong", "label": None})
    file = state_home / "touchline" / "feedback-truck1.jsonl"
    assert until(lambda: file.exists() and len(file.read_text().splitlines()) == 2)
    assert json.loads(file.read_text().splitlines()[0])["label"] == "golf"


def ask(teller, method, parameters, *, number):
    topic = f"{NODE}/rpc/{method}"
    question = {"schema": "rpc/1", "id": f"q{number}", "reply_to": f"{topic}/reply/me", "parameters": parameters}
    teller.tell(topic, question)
    assert until(lambda: len(teller.got) == number, 10), method
    return json.loads(teller.got[-1].payload)


@pytest.mark.parametrize("kind", ["broker", "old_broker"])
def test_questions_are_answered(kind, request, device, client):
    broker = request.getfixturevalue(kind)
    listener = broker.listen()
    publisher = device(broker.url, self_test=lambda: {"manifest": "ok", "files": "model.tflite has changed"})
    listener.wait(f"{SOURCE}/rgb/state")
    for seq in range(1, 6):
        publisher(made.event_message(seq))
    assert until(lambda: len(events(listener)) == 5)
    version = paho.MQTTv5 if kind == "broker" else paho.MQTTv311
    teller = client(broker, f"{NODE}/rpc/+/reply/me", protocol=version)
    reply = ask(teller, "history", {"boot": "b7f2", "after": 2, "limit": 2}, number=1)
    assert [(event["seq"], event["offset"]) for event in reply["events"]] == [(3, 3), (4, 4)]
    assert (reply["id"], reply["ok"], reply["more"]) == ("q1", True, True)
    assert len(ask(teller, "history", {}, number=2)["events"]) == 5
    assert ask(teller, "get_clip", {"event": "x"}, number=3)["error"] == "this node keeps no clips"
    tested = ask(teller, "self_test", {}, number=4)
    assert (tested["ok"], tested["error"]) == (False, "files: model.tflite has changed")
    assert tested["steps"]["manifest"] == "ok"


def test_the_clip_of_an_event_is_found_or_why_there_is_none(broker, device, client, tmp_path):
    web = Web(address="8080", clips=str(tmp_path / "clips"))
    clips, video = Clips(web), Recorded(str(write_video(tmp_path / "v.mp4", seconds=8, audio_rate=48000)), paced=False)
    publisher = device(broker.url, find_clip=clip_finder(Config(web=web)))
    for count, media in enumerate((video, video, Recorded("gone.mp4", paced=False)), 1):
        event = made.event("end", count=count)
        message = messages.event_message(event, made.STAMP, count, clips.keep(event, media, 8.0))
        for sink in (clips, publisher):
            sink(message)
    shutil.rmtree(tmp_path / "clips" / "b7f2-000002")
    listener = broker.listen()
    listener.wait(f"{SOURCE}/rgb/state")
    teller = client(broker, f"{NODE}/rpc/+/reply/me")
    answers = [
        ask(teller, "get_clip", {"event": id_} if id_ else {}, number=number)
        for number, id_ in enumerate(["b7f2-000001", "b7f2-000002", "b7f2-000003", "b7f2-000004", "../clips", ""], 1)
    ]
    found = answers[0]["clip"]
    assert found["media"] == {
        "clip": "/api/events/b7f2-000001/clip.mp4", "thumb": "/api/events/b7f2-000001/thumb.jpg", "pre_s": 3.0,
        "post_s": 2.0,
    }  # fmt: skip
    assert found["start"] == messages.utc(made.STAMP.epoch_ns)
    span = datetime.fromisoformat(found["end"][:-1]) - datetime.fromisoformat(found["start"][:-1])
    assert span.total_seconds() == pytest.approx(8, abs=0.1)
    assert [(answer["ok"], answer["error"]) for answer in answers] == [
        (True, None),
        (False, "the clip of this event had to make room for newer ones"),
        (False, "no clip of this event could be written"),
        (False, "no event of this id is known here"),
        (False, "parameters: event is the id of an event"),
        (False, "parameters: event is the id of an event"),
    ]


def test_an_answer_goes_only_below_its_question(broker, device, client, caplog):
    listener = broker.listen()
    device(broker.url)
    listener.wait(f"{SOURCE}/rgb/state")
    teller = client(broker, f"{NODE}/#")
    question = {"schema": "rpc/1", "id": "q", "reply_to": f"{NODE}/policy/stop/set"}
    teller.tell(f"{NODE}/rpc/history", question)
    assert until(lambda: said(caplog, "where below its own topic"))


def test_stats_account_for_every_event(broker, device, monkeypatch):
    monkeypatch.setattr("edge.vitals.STATS_SECONDS", 0.5)
    listener = broker.listen()
    publisher = device(broker.url)
    publisher(made.tick(1))
    publisher(made.event_message(1))
    listener.wait(f"{SOURCE}/event")
    stats = until(lambda: [s for s in map(json.loads, listener.payloads(f"{NODE}/stats")) if s["seconds_judged"]])[0]
    assert stats["latency_ms"] == {"p50": 21.3, "p95": 21.3, "p99": 21.3}
    assert stats["outbox"]["event"]["produced"] == 1
    assert (stats["mode"], stats["boot"]) == ("full", "b7f2")


def test_all_state_is_published_again_to_a_broker_that_forgot_it(stopped_broker, device, client):
    broker = stopped_broker.start()
    publisher = device(broker.url)
    listener = broker.listen()
    listener.wait(f"{SOURCE}/rgb/state", "ON")
    teller = client(broker, "x")
    teller.tell(f"{SOURCE}/rgb/set", "OFF")
    listener.wait(f"{SOURCE}/rgb/state", "OFF")
    publisher(made.tick(1))
    publisher(made.tick(2, 60.0))
    assert until(lambda: [topic for topic, _ in listener.got if "/digest/" in topic])
    listener.wait(f"{NODE}/health/source")
    states = {topic: payload for topic, payload in listener.got if not topic.endswith(("tick", "/stats", "/set"))}
    broker.stop()
    again = broker.start().listen()
    assert until(lambda: states.items() <= dict(again.got).items(), 10), states.items() - dict(again.got).items()


def test_envelopes_and_home_assistant_are_by_choice(broker, device):
    listener = broker.listen("-V", "mqttv5", "-F", "%t %P|%p")
    publisher = device(broker.url, envelope="cloudevents", home_assistant=True)
    publisher(made.event_message(1))
    event = listener.wait(f"{SOURCE}/event")
    assert "type:io.touchline.event.new" in event.partition("|")[0]
    found = json.loads(listener.wait("homeassistant/device/truck1/config").partition("|")[2])
    assert "cam2_rgb" in found["components"]


def test_the_pub_tool_of_a_stranger_may_turn_a_switch(broker, device):
    listener = broker.listen()
    device(broker.url)
    listener.wait(f"{SOURCE}/audio/state", "ON")
    command = [program("mosquitto_pub"), "-p", str(broker.port), "-t", f"{SOURCE}/audio/set", "-m", "OFF", "-q", "1"]
    subprocess.run(command, check=True)
    listener.wait(f"{SOURCE}/audio/state", "OFF")
