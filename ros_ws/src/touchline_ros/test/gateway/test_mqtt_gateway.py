"""A real gateway between real topics and a real broker."""

from __future__ import annotations

import json

import made
import pytest
import rclpy
import robot
from devices import NODE, SOURCE
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from robot import OK, latest
from touchline_msgs.msg import PolicyState
from touchline_ros import relay
from touchline_ros.mqtt_gateway import MqttGatewayNode
from touchline_ros.parameters import SettingError

from edge.messages import read_event


def test_seconds_and_events_go_out_with_their_own_stamps(person, gateway, broker):
    listener = broker.listen()
    person.labels.publish(robot.label_info())
    gateway(broker)
    person.until(lambda: latest(listener, f"{NODE}/info").get("classes"))
    for seq in range(1, 4):
        person.seconds.publish(robot.second(seq))
    for kind in ("new", "update", "end"):
        person.events.publish(robot.event(kind))
    person.until(
        lambda: len(listener.payloads(f"{SOURCE}/tick")) == 3 and len(listener.payloads(f"{SOURCE}/event")) == 3
    )
    ticks = [json.loads(payload) for payload in listener.payloads(f"{SOURCE}/tick")]
    assert [tick["start_ns"] - robot.START_NS for tick in ticks] == [0, 10**9, 2 * 10**9]
    assert [tick["media_start"] for tick in ticks] == [0, 1, 2]
    assert ticks[0]["model"] == {"bundle": "sports3-1.4.0", "sha256": robot.SHA256, "quant": "unknown"}
    events = [read_event(payload.encode()) for payload in listener.payloads(f"{SOURCE}/event")]
    assert [(event.type, event.seq, event.offset) for event in events] == [
        ("new", 1, 1),
        ("update", 2, 2),
        ("end", 3, 3),
    ]
    assert events[0].start_ns == robot.START_NS + 3 * 10**9
    assert events[0].boot == ticks[0]["boot"] == latest(listener, f"{NODE}/info")["boot"]
    person.until(lambda: listener.payloads(f"{SOURCE}/label") == ["none", "badminton", "none"])
    assert latest(listener, f"{NODE}/model/reported")["sha256"] == robot.SHA256
    person.until(lambda: listener.payloads(f"{SOURCE}/status/audio") == ["online"])


def test_what_is_played_again_is_told_apart_and_not_kept(person, gateway, broker):
    listener = broker.listen()
    gateway(broker)
    person.until(lambda: listener.payloads(f"{NODE}/status"))
    again = robot.second(1, mode="replay")
    person.seconds.publish(again)
    person.events.publish(robot.event("new", last=again))
    boot = latest(listener, f"{NODE}/info")["boot"]
    person.until(lambda: latest(listener, f"{NODE}/replay/{boot}/cam2/tick").get("replay"))
    said = person.until(lambda: latest(listener, f"{NODE}/replay/{boot}/cam2/event"))
    assert (said["replay"], said["replay_of"], said["seq"], said["offset"]) == (True, "cam2", 1, None)
    person.events.publish(robot.event())
    person.until(lambda: listener.payloads(f"{SOURCE}/event"))
    assert latest(listener, f"{SOURCE}/event")["seq"] == 1
    assert listener.payloads(f"{SOURCE}/tick") == []


def test_labels_that_never_come_and_labels_that_come_late_are_said(person, gateway, broker):
    listener = broker.listen()
    gateway(broker)
    person.seconds.publish(robot.second())
    trouble = "event_detector/label_info: nothing was heard; messages name no model"
    person.until(lambda: person.said("detector") == trouble)
    person.until(lambda: listener.payloads(f"{SOURCE}/tick"))
    assert latest(listener, f"{SOURCE}/tick")["model"]["bundle"] == ""
    assert latest(listener, f"{NODE}/info")["classes"] == []
    person.labels.publish(robot.label_info())
    person.until(lambda: person.said("detector") == "ok")
    person.seconds.publish(robot.second(2))
    person.until(lambda: latest(listener, f"{SOURCE}/tick")["model"]["bundle"] == "sports3-1.4.0")
    info = latest(listener, f"{NODE}/info")
    assert (info["classes"], info["rule"]) == (list(made.LABELS), "class_model_table")


def test_judging_is_switched_and_a_switch_says_what_became_of_it(person, gateway, broker, teller, monkeypatch):
    listener, client = broker.listen(), teller(broker)
    gateway(broker)
    person.until(lambda: listener.payloads(f"{SOURCE}/enabled/state") == ["ON"])
    client.tell(f"{SOURCE}/enabled/set", "OFF")
    person.until(lambda: listener.payloads(f"{SOURCE}/enabled/state") == ["ON", "OFF"])
    assert person.called("event_detector/enable") == [False]
    client.tell(f"{SOURCE}/enabled/set", "ON")
    person.until(lambda: "the guard has not said yet how it is" in person.said("commands"))
    person.say("guard", PolicyState.INACTIVE)
    person.until(lambda: latest(listener, f"{NODE}/policy/state")["reason"] == "not activated")
    person.refusing.add("event_detector/enable")
    client.tell(f"{SOURCE}/enabled/set", "ON")
    person.until(lambda: person.called("event_detector/enable") == [False, True])
    monkeypatch.setattr(relay, "SETTLE_SECONDS", 0.0)
    assert listener.payloads(f"{SOURCE}/enabled/state") == ["ON", "OFF"]
    person.seconds.publish(robot.second())  # somebody else turned it on
    person.until(lambda: listener.payloads(f"{SOURCE}/enabled/state") == ["ON", "OFF", "ON"])
    client.tell(f"{SOURCE}/publish_ticks/set", "OFF")
    person.until(lambda: listener.payloads(f"{SOURCE}/publish_ticks/state") == ["ON", "OFF"])


@pytest.mark.parametrize("state", [PolicyState.WAITING, PolicyState.ARMED, PolicyState.RAMPING])
def test_a_detector_is_not_enabled_for_a_guard_that_waits_for_it(person, gateway, broker, teller, state):
    listener, client = broker.listen(), teller(broker)
    gateway(broker)
    client.tell(f"{SOURCE}/enabled/set", "OFF")
    person.until(lambda: listener.payloads(f"{SOURCE}/enabled/state") == ["ON", "OFF"])
    person.say("guard", state)
    person.until(lambda: latest(listener, f"{NODE}/policy/state").get("state") == "active")
    client.tell(f"{SOURCE}/enabled/set", "ON")
    person.until(lambda: "event_detector/enable: not called, the guard is active" in person.said("commands"))
    assert person.called("event_detector/enable") == [False]
    assert listener.payloads(f"{SOURCE}/enabled/state")[-1] == "OFF"
    person.say("guard", PolicyState.STOPPED)
    person.until(lambda: latest(listener, f"{NODE}/policy/state").get("state") == "stopped")
    client.tell(f"{SOURCE}/enabled/set", "ON")
    person.until(lambda: person.called("event_detector/enable") == [False, True])


def test_a_stop_is_told_until_a_guard_has_heard_it(person, gateway, broker, teller):
    listener, client = broker.listen(), teller(broker)
    gateway(broker)
    person.until(lambda: listener.payloads(f"{NODE}/policy/state"))
    client.tell(f"{NODE}/policy/stop/set", "STOP")
    person.until(lambda: "told to stop" in latest(listener, f"{NODE}/policy/state")["reason"])
    person.until(lambda: "guard/stop: there is no such service" in person.said("policy"))
    person.offer_stop()
    person.until(lambda: person.called("guard/stop") == [True])
    person.say("guard", PolicyState.STOPPED, "told over MQTT")
    stopped = {"schema": "policy/1", "state": "stopped", "reason": "told over MQTT"}
    person.until(lambda: latest(listener, f"{NODE}/policy/state") == stopped)
    person.until(lambda: person.said("policy") == "ok")
    assert person.called("guard/stop") == [True]


def test_the_guard_speaks_for_what_moves_and_its_silence_is_said(person, gateway, broker, monkeypatch):
    listener = broker.listen()
    gateway(broker)

    def says(state, reason=""):
        return latest(listener, f"{NODE}/policy/state") == {"schema": "policy/1", "state": state, "reason": reason}

    person.until(lambda: says("inactive", "neither a guard nor a policy was heard"))
    person.say("policy", PolicyState.SHADOW, "beside a driver")
    person.until(lambda: says("shadow", "beside a driver"))
    person.say("guard", PolicyState.ARMED)
    person.until(lambda: says("active"))
    monkeypatch.setattr(relay, "SILENT_SECONDS", 0.1)
    person.until(lambda: says("active", "nothing was heard of the guard for 0 s, this is how it was"))


def test_feedback_reaches_the_detector_and_is_kept_here(person, gateway, broker, teller, state_home):
    listener, client = broker.listen(), teller(broker)
    gateway(broker)
    person.until(lambda: listener.payloads(f"{NODE}/status"))
    what = {"schema": "feedback/1", "id": "b7f2-000001", "verdict": "label", "label": "golf", "by": "Ann"}
    client.tell(f"{NODE}/feedback", what)
    person.until(lambda: person.called("event_detector/feedback") == [("b7f2-000001", "label", "golf")])
    file = state_home / "feedback-truck1.jsonl"
    person.until(lambda: file.exists() and file.read_text().endswith("\n"))
    kept = json.loads(file.read_text())
    assert (kept["id"], kept["by"]) == ("b7f2-000001", "Ann")


def test_what_cannot_be_used_is_refused_in_a_sentence_and_the_rest_goes_on(person, gateway, broker):
    listener = broker.listen()
    person.labels.publish(robot.label_info())
    gateway(broker)
    person.until(lambda: latest(listener, f"{NODE}/info").get("classes"))
    person.seconds.publish(robot.second(1, source="cam9"))
    person.until(lambda: "source: is 'cam9', this gateway's is 'cam2'" in person.said("detector"))
    person.events.publish(robot.event(score=float("nan")))
    person.events.publish(robot.event(type=9))
    person.events.publish(robot.event())
    person.until(lambda: listener.payloads(f"{SOURCE}/event"))
    assert latest(listener, f"{SOURCE}/event")["seq"] == 1
    person.until(lambda: person.figures("detector").get("refused") == "3")


def test_diagnostics_become_health(person, gateway, broker, monkeypatch):
    monkeypatch.setattr(relay, "MOST_COMPONENTS", 12)
    listener = broker.listen()
    gateway(broker)
    person.until(lambda: listener.payloads(f"{NODE}/health/mqtt_gateway-detector"))
    person.report("base: motor", DiagnosticStatus.ERROR, "too hot")
    person.until(lambda: latest(listener, f"{NODE}/health/base-motor").get("message") == "too hot")
    assert latest(listener, f"{NODE}/health/base-motor")["level"] == "error"
    for number in range(20):
        person.report(f"base: part {number}", DiagnosticStatus.OK, "ok")
        person.world.executor.spin_once(timeout_sec=0.01)
    person.until(
        lambda: latest(listener, f"{NODE}/health/mqtt_gateway-detector").get("message", "").startswith("/diagnostics")
    )
    topics = {topic for topic, _ in listener.got if "/health/" in topic}
    assert len(topics) <= 12 + 3


def test_a_part_that_falls_silent_is_stale(person, gateway, broker, monkeypatch):
    listener = broker.listen()
    gateway(broker)
    person.report("base: motor", DiagnosticStatus.OK, "ok")
    person.until(lambda: latest(listener, f"{NODE}/health/base-motor").get("level") == "ok")
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0.1)
    person.until(lambda: latest(listener, f"{NODE}/health/base-motor").get("level") == "stale")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"on_score": 0.7, "off_score": 0.2, "update_seconds": 9}, {"on_score": 0.7, "update_seconds": 9}),
        ({"on_score": "high"}, {"on_score": 0.5, "update_seconds": 5}),
    ],
)
def test_how_seconds_become_events_is_asked_of_the_detector(person, gateway, broker, declared, said):
    listener = broker.listen()
    detector = person.world.add(rclpy.create_node("event_detector", context=person.context))
    for name, value in declared.items():
        detector.declare_parameter(name, value)
    gateway(broker)
    person.until(lambda: detector.count_clients("event_detector/get_parameters"))
    person.labels.publish(robot.label_info())
    person.until(lambda: said.items() <= latest(listener, f"{NODE}/info").get("events", {}).items())
    person.until(lambda: latest(listener, f"{NODE}/info")["classes"])


def test_a_gateway_lives_through_every_transition_twice(person, gateway, broker):
    listener = broker.listen()
    person.labels.publish(robot.label_info())
    node = gateway(broker)
    person.until(lambda: latest(listener, f"{NODE}/info").get("classes"))
    assert node.trigger_deactivate() == OK
    person.until(lambda: listener.payloads(f"{NODE}/status")[-1] == "stopped")
    assert node.trigger_activate() == OK  # the labels that it heard once are still known
    person.until(lambda: listener.payloads(f"{NODE}/status")[-1] == "online")
    person.until(lambda: latest(listener, f"{NODE}/info")["classes"] == list(made.LABELS))
    assert node.trigger_deactivate() == OK
    assert node.trigger_cleanup() == OK
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    person.until(lambda: person.seconds.get_subscription_count() and not node._publisher.trouble)
    person.seconds.publish(robot.second())
    person.until(lambda: listener.payloads(f"{SOURCE}/tick"))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"url": "localhost"}, "url: MQTT address: must look like"),
        ({"delivery": "end-to-end"}, "consumers: name who acknowledges"),
        ({"source": "a/b"}, "source: is 'a/b'; it must be 1 to 64 letters"),
        ({"protocol": "4"}, "protocol: is '4'; it must be one of 'auto', '5', '3.1.1'"),
    ],
)
def test_wrong_settings_are_refused_by_name(world, parameters, sentence):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    with pytest.raises(SettingError, match=f"^{sentence}"):
        MqttGatewayNode(context=world.context, parameter_overrides=overrides)
