"""Every launch file, executed by `launch` itself. The Python registry has none: there test_launch.py must do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("launch_ros")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_file import LAUNCH
from launch_ros.actions import Node

CASES = {
    "robot.launch.py": ({}, {"event_detector"}),
    "robot.launch.py everything": (
        {"policy": "on", "mqtt": "mqtt://localhost", "announce": "true", "record": "/tmp/r", "source": "/tmp/m.mcap"},
        {"event_detector", "policy", "guard", "mqtt_gateway", "announcer", "recorder", "player"},
    ),
    "robot.launch.py one process": ({"policy": "on", "composition": "one"}, {"guard", "together"}),
    "detector.launch.py": ({"policy": "on"}, {"event_detector"}),
    "shadow.launch.py": ({}, {"event_detector", "policy", "guard"}),
    "replay.launch.py": ({"source": "/tmp/m.mcap"}, {"event_detector", "player"}),
}


def executed(name: str, arguments: dict[str, str]) -> list[Node]:
    """Execute a launch file with arguments up to its processes, which are not started."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found = []

    def visit(entity) -> None:
        if isinstance(entity, Node):
            found.append(entity)
            return
        for part in entity.visit(context) or ():
            visit(part)

    visit(PythonLaunchDescriptionSource(str(LAUNCH / name)).get_launch_description(context))
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_launch_file_starts_what_its_arguments_ask_for(case: str):
    arguments, expected = CASES[case]
    assert {node.node_executable for node in executed(case.partition(" ")[0], arguments)} == expected


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.launch.py")), ids=lambda path: path.name)
def test_every_argument_is_described(path: Path):
    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    arguments = description.get_launch_arguments()
    assert {"source", "bundle", "policy", "mqtt", "record", "namespace", "composition", "params", "use_sim_time"} <= {
        argument.name for argument in arguments
    }
    assert all(isinstance(each, DeclareLaunchArgument) and len(each.description) > 10 for each in arguments)


@pytest.mark.parametrize("composition", ["many", "one"])
def test_ros2_launch_brings_the_detector_up_and_down(tmp_path: Path, composition: str):
    if shutil.which("ros2") is None:
        pytest.skip("there is no `ros2` on PATH")
    environment = dict(os.environ) | {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"], "ROS_LOG_DIR": str(tmp_path)}
    command = ["ros2", "launch", "touchline_bringup", "detector.launch.py", "namespace:=robot1"]
    said = tmp_path / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            [*command, f"composition:={composition}"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a shell's background job would ignore SIGINT
        )
    try:
        assert state("/robot1/event_detector", environment) == "active [3]", said.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, said.read_text()
    assert "Traceback" not in said.read_text()


def state(node: str, environment: dict[str, str]) -> str:
    """Ask for a node's state as a person would, until it is active or a minute is over."""
    end = time.monotonic() + 60
    command = ["ros2", "lifecycle", "get", "--no-daemon", "--spin-time", "4", node]
    while True:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout.strip()
        if answer.startswith("active") or time.monotonic() > end:
            return answer
