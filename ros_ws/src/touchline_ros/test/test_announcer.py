"""A real announcer with the real espeak-ng: events that begin become WAV files, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import wave

import numpy as np
import polly
import pytest
import robot
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from touchline_ros.announcer import AnnouncerNode
from touchline_ros.parameters import SettingError

OK, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def person(world):
    return robot.Robot(world)


@pytest.fixture
def announcer(world, person, tmp_path):
    nodes = []

    def start(**parameters):
        given = {"folder": str(tmp_path / "said"), "rate_hz": 8_000, **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = world.add(AnnouncerNode(context=world.context, parameter_overrides=overrides))
        nodes.append(node)
        assert node.trigger_configure() == OK
        assert node.trigger_activate() == OK
        world.until(lambda: person.events.get_subscription_count() and person.labels.get_subscription_count())
        return node

    yield start
    for node in nodes:
        node.trigger_shutdown()


def files(tmp_path):
    return sorted((tmp_path / "said").glob("*"))


def test_an_event_that_begins_is_said(person, announcer, tmp_path):
    announcer(labels="badminton,golf", minimum_seconds_between=0.0)
    for kind in ("new", "update", "end"):
        person.events.publish(robot.event(kind))
    person.events.publish(robot.event("new", 2, label="golf", score=0.3, start=robot.time(robot.START_NS)))
    person.until(lambda: len(files(tmp_path)) == 2)
    names = [file.name for file in files(tmp_path)]
    assert names == ["20261123T101542123Z-golf.wav", "20261123T101545123Z-badminton.wav"]
    for file in files(tmp_path):
        with wave.open(str(file)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8_000, 1, 2)
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        assert 0.5 < len(samples) / 8_000 < 4
        assert np.abs(samples.astype(int)).max() > 3000
    person.until(lambda: person.said("voice", "announcer") and person.figures("voice", "announcer")["said"] == "2")


def test_labels_come_from_the_detector_and_what_comes_too_soon_is_not_said(person, announcer, tmp_path):
    announcer(minimum_seconds_between=3600.0)
    person.until(lambda: "event_detector/label_info: nothing was heard yet" in person.said("voice", "announcer"))
    person.labels.publish(robot.label_info())
    person.until(lambda: person.said("voice", "announcer") == "ok")
    for count in (1, 2, 3):
        person.events.publish(robot.event("new", count))
    person.until(lambda: person.figures("voice", "announcer").get("suppressed") == "2")
    assert len(files(tmp_path)) == 1


def test_the_distance_may_change_while_it_speaks(person, announcer, tmp_path):
    node = announcer(labels="badminton", minimum_seconds_between=3600.0)
    person.events.publish(robot.event("new", 1))
    person.until(lambda: files(tmp_path))
    (result,) = node.set_parameters([Parameter("minimum_seconds_between", value=0.0)])
    assert result.successful
    (result,) = node.set_parameters([Parameter("language", value="de")])
    assert result.reason == "language: cannot change while the node is active; deactivate it first"
    person.events.publish(robot.event("new", 2, start=robot.time(robot.START_NS + 60 * 10**9)))
    person.until(lambda: len(files(tmp_path)) == 2)


def test_what_was_rendered_needs_no_program(person, announcer, tmp_path, monkeypatch):
    announcer(labels="badminton")
    monkeypatch.setenv("PATH", str(tmp_path))
    person.events.publish(robot.event())
    person.until(lambda: files(tmp_path))


def test_polly_is_asked_at_the_start_and_not_needed_later(person, announcer, tmp_path, monkeypatch):
    with polly.running() as server:
        polly.configure(server, tmp_path, monkeypatch)
        announcer(labels="badminton", voice="Joanna", engine="neural")
        texts = {"ready, high confidence", "badminton, high confidence"}
        assert texts <= set(server.texts)
        assert {asked["VoiceId"] for asked in server.requests} == {"Joanna"}
    person.events.publish(robot.event())
    person.until(lambda: files(tmp_path))


def test_the_fallback_is_reported(person, announcer, tmp_path, monkeypatch):
    with polly.running() as server:
        polly.configure(server, tmp_path, monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    announcer(labels="badminton", voice="Joanna", fallback=True)
    person.until(lambda: "the offline voice speaks; Polly: no usable" in person.said("voice", "announcer"))
    person.events.publish(robot.event())
    person.until(lambda: files(tmp_path))


def test_labels_that_the_detector_does_not_know_and_events_of_others_are_said(person, announcer):
    announcer(labels="badminton,chess")
    person.labels.publish(robot.label_info())
    person.until(lambda: person.said("voice", "announcer") == "labels: chess: not among the detector's")
    person.labels.publish(robot.label_info(labels=["badminton", "chess"]))
    person.until(lambda: person.said("voice", "announcer") == "ok")


def test_a_folder_that_is_gone_is_said_and_the_node_goes_on(person, announcer, tmp_path):
    announcer(labels="badminton", minimum_seconds_between=0.0)
    (tmp_path / "said").rmdir()
    person.events.publish(robot.event())
    person.until(lambda: "cannot be written" in person.said("outlet", "announcer"))
    (tmp_path / "said").mkdir()
    person.events.publish(robot.event("new", 2))
    person.until(lambda: person.said("outlet", "announcer") == "ok")
    assert len(files(tmp_path)) == 1


def test_an_announcer_lives_through_every_transition(person, announcer, tmp_path):
    node = announcer(labels="badminton")
    assert node.trigger_deactivate() == OK
    person.events.publish(robot.event())
    assert node.trigger_cleanup() == OK
    assert files(tmp_path) == []
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    person.until(person.events.get_subscription_count)
    person.events.publish(robot.event())
    person.until(lambda: files(tmp_path))


def test_without_a_voice_it_is_not_configured(world, tmp_path, monkeypatch):
    folder = Parameter("folder", value=str(tmp_path))
    node = world.add(AnnouncerNode(context=world.context, parameter_overrides=[folder]))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert node.trigger_configure() == FAILURE


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"language": "xx"}, "language: 'xx' has no wording; there are de, en, es, fr"),
        ({"wordings": "/nowhere.toml"}, "wordings: /nowhere.toml: cannot be read"),
        ({"rate_hz": 1}, ".*rate_hz"),
    ],
)
def test_wrong_settings_are_refused_by_name(world, parameters, sentence):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    with pytest.raises(SettingError, match=sentence):
        AnnouncerNode(context=world.context, parameter_overrides=overrides)


def test_a_process_that_cannot_be_heard_ends_with_a_sentence():
    run = [sys.executable, "-c", "from touchline_ros.announcer import main; raise SystemExit(main())", "--ros-args"]
    nowhere = ["-p", "autostart:=true", "-p", "folder:=/proc/nowhere"]
    ended = subprocess.run([*run, *nowhere], env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "folder /proc/nowhere: cannot be made" in ended.stderr
    assert "Traceback" not in ended.stderr
