"""A robot with an independent DDS implementation, in a process of its own, understands us and we understand it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from touchline_msgs.msg import Event, Second, Vote

FOREIGN = Path(__file__).with_name("foreign_robot.py")


@pytest.fixture
def foreign(tmp_path):
    """Start the foreign robot; each call returns its process and the file that it prints to."""
    running = []

    def start(*arguments: str):
        output = tmp_path / "heard.jsonl"
        with output.open("w") as file:
            process = subprocess.Popen([sys.executable, FOREIGN, *arguments], stdout=file, env=dict(os.environ))
        running.append(process)
        return process, output

    yield start
    for process in running:
        process.kill()
        process.wait()


def heard(output: Path, kind: str) -> list[dict]:
    whole = output.read_text(encoding="utf-8").rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line[kind] for line in lines if kind in line]


def test_it_reads_every_field_of_our_messages_and_we_read_its_pictures(world, foreign):
    node = world.add(rclpy.create_node("event_detector", context=world.context))
    seconds = node.create_publisher(Second, "~/second", 10)
    events = node.create_publisher(Event, "~/event", 10)
    pictures = []
    node.create_subscription(Image, "image", pictures.append, qos_profile_sensor_data)
    vote = Vote(modality="rgb", label="rugby", score=0.75, frames=25, valid=True, probabilities=[0.25, 0.75])
    second = Second(seq=7, source="cam", label="rugby", class_index=-1, score=0.5, votes=[vote], faults=["no sound"])
    second.header.stamp.sec = 1_700_000_000
    event = Event(id="a-1", type=Event.TYPE_END, label="rugby", seconds=3, ended=True, last=second)
    event.end.nanosec = 5

    process, output = foreign("image", "event_detector", "--pictures", "1", "--until", "event")
    world.until(lambda: seconds.get_subscription_count() and events.get_subscription_count())
    world.until(lambda: seconds.publish(second) or heard(output, "second"))  # it may match us later than we do it
    world.until(lambda: pictures)
    world.until(lambda: events.publish(event) or process.poll() is not None)

    assert process.returncode == 0
    got = heard(output, "second")[0]
    assert (got["seq"], got["source"], got["class_index"], got["faults"]) == (7, "cam", -1, ["no sound"])
    assert got["header"]["stamp"] == {"sec": 1_700_000_000, "nanosec": 0}
    assert got["votes"] == [
        {"modality": "rgb", "label": "rugby", "score": 0.75, "frames": 25, "valid": True, "probabilities": [0.25, 0.75]}
    ]
    got = heard(output, "event")[0]
    assert (got["id"], got["type"], got["ended"], got["end"]["nanosec"]) == ("a-1", Event.TYPE_END, True, 5)
    assert got["last"]["label"] == "rugby"
    assert (pictures[0].width, pictures[0].height, pictures[0].encoding) == (160, 120, "rgb8")
    assert len(pictures[0].data) == 3 * 160 * 120


def test_the_detector_judges_its_pictures_and_it_reads_the_decision(foreign, tmp_path):
    program = "import sys; from touchline_ros.event_detector import main; sys.exit(main())"
    said = tmp_path / "said"
    with said.open("w") as file:
        detector = subprocess.Popen(
            [sys.executable, "-c", program, "--ros-args", "-p", "autostart:=true"], stdout=file, stderr=file
        )
    try:
        process, output = foreign("image", "event_detector", "--pictures", "200", "--until", "second")
        assert process.wait(90) == 0, said.read_text()
    finally:
        detector.send_signal(signal.SIGINT)
        assert detector.wait(30) == 0, said.read_text()
    second = heard(output, "second")[0]
    assert second["seq"] == 1
    assert second["header"]["frame_id"] == "foreign_camera"
    assert second["header"]["stamp"]["nanosec"] == 0
    votes = {vote["modality"]: vote for vote in second["votes"]}
    assert votes["rgb"]["valid"]
    assert not votes["audio"]["valid"]
    assert len(votes["rgb"]["probabilities"]) == len(second["probabilities"]) > 1
