"""What nodes say, as the contract says it: the same words as a device without ROS would use."""

from __future__ import annotations

from dataclasses import replace

import made
import pytest
import robot
from diagnostic_msgs.msg import DiagnosticStatus
from touchline_msgs.msg import PolicyState
from touchline_ros import heard
from touchline_ros.said import label_info

from edge import messages
from edge.bundle import DEMO, Bundle
from edge.config import Config
from edge.messages import MessageError
from edge.runtime import make_stamp

STAMP = replace(made.STAMP, epoch_ns=robot.START_NS, quant="unknown")


@pytest.mark.parametrize("judged", [made.second(2.0, faults=("no sound",)), made.unknown(7.0)])
def test_a_second_is_said_as_a_device_says_it(judged):
    said = heard.tick(robot.second(1, judged), STAMP, 5)
    assert said == messages.tick(judged, STAMP, 5)


@pytest.mark.parametrize("kind", ["new", "update", "end"])
def test_an_event_is_said_as_a_device_says_it(kind):
    said = heard.event_message(robot.event(kind), STAMP, 5)
    assert said == messages.event_message(made.event(kind), STAMP, 5)


def test_a_stamp_is_kept_to_the_nanosecond_however_long_the_node_has_run():
    years_ago = replace(STAMP, epoch_ns=1_000_000_007)
    said = heard.tick(robot.second(), years_ago, 1)
    assert said.start_ns == robot.START_NS
    ended = heard.event_message(robot.event("end"), years_ago, 1)
    assert (ended.start_ns, ended.start, ended.end) == (
        robot.START_NS + 3 * 10**9,
        "2026-11-23T10:15:45.123Z",
        "2026-11-23T10:15:48.123Z",
    )


def test_a_bundle_is_named_as_a_device_names_it():
    bundle = Bundle.load(DEMO)
    device = make_stamp(Config(), bundle)
    gateway = heard.described(STAMP, label_info(bundle))
    assert (gateway.model, gateway.sha256, gateway.table) == (device.model, device.sha256, device.table)
    assert heard.described(STAMP, robot.label_info(bundle="my court 1.4.0")).model == "my court-1.4.0"


def test_a_modality_that_judged_nothing_has_no_vote():
    message = robot.second()
    message.votes[0].valid = False
    assert set(heard.tick(message, STAMP, 1).fusion.votes) == {"flow", "audio"}


def test_an_event_of_another_bundle_is_not_ascribed_to_the_one_that_is_known():
    said = heard.event_message(robot.event(model_sha256="00" * 32), STAMP, 1)
    assert said.model == messages.Model("", "00" * 32, "unknown")


def test_what_is_played_again_says_so():
    assert heard.tick(robot.second(mode="replay"), STAMP, 1).replay
    said = heard.event_message(robot.event(last=robot.second(mode="replay")), STAMP, 1)
    assert (said.replay, said.replay_of) == (True, "cam2")


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (robot.second(score=float("nan")), "score: expected `float`, got `null`"),
        (robot.second(latency_ms=float("inf")), "latency_ms"),
        (robot.event(type=7), "type: is 7 and ended False; it must be 0, 1, or 2 with an end"),
        (robot.event("new", ended=True), "type: is 0 and ended True"),
        (robot.event(id=""), "id: is empty"),
        (robot.event(score=float("nan")), "score: expected `float`, got `null`"),
    ],
)
def test_what_cannot_be_said_is_refused_by_the_name_of_the_field(message, sentence):
    read = heard.event_message if hasattr(message, "ended") else heard.tick
    with pytest.raises(MessageError, match=f"^{sentence}"):
        read(message, STAMP, 1)


def test_a_vote_of_an_unknown_modality_is_refused():
    message = robot.second()
    message.votes[1].modality = "smell"
    with pytest.raises(MessageError, match="fusion"):
        heard.tick(message, STAMP, 1)


def test_every_state_of_a_policy_has_a_word():
    words = [heard.policy_state(PolicyState(state=state)).state for state in range(6)]
    assert words == ["inactive", "active", "active", "active", "stopped", "shadow"]
    numbers = (
        PolicyState.INACTIVE,
        PolicyState.WAITING,
        PolicyState.ARMED,
        PolicyState.RAMPING,
        PolicyState.STOPPED,
        PolicyState.SHADOW,
    )
    assert numbers == (
        heard.INACTIVE,
        heard.WAITING,
        heard.ARMED,
        heard.RAMPING,
        heard.STOPPED,
        heard.SHADOW,
    )
    assert heard.policy_state(PolicyState(state=4, reason="e-stop")).reason == "e-stop"
    with pytest.raises(MessageError, match="state: is 9; it must be 0 to 5"):
        heard.policy_state(PolicyState(state=9))


def test_a_diagnosis_is_named_as_a_topic_can_be():
    status = DiagnosticStatus(name="court7/event_detector: camera rate", level=DiagnosticStatus.WARN, message="slow")
    assert heard.health(status) == ("court7-event_detector-camera-rate", "warn", "slow")
    assert heard.health(DiagnosticStatus(name="outbox", level=DiagnosticStatus.STALE))[:2] == ("ros-outbox", "stale")
