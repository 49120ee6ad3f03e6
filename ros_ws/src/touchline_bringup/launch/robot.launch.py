"""Start Touchline on a robot: the event detector, and beside it what the arguments ask for.

Nothing here moves a robot: with policy:=on the guard waits until somebody beside the robot configures and activates it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).parent
SWITCH = ("true", "false")

# Name, default, description, choices: what `ros2 launch touchline_bringup robot.launch.py --show-args` lists.
ARGUMENTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("source", "", "recording or media file to play on the topics image and audio; empty: the robot's own drivers", ()),
    ("end_after", "-1", "seconds after the end of `source` at which everything ends; -1: never", ()),
    ("bundle", "", "folder of the detector's models; empty: the shipped demo bundle", ()),
    (
        "policy",
        "off",
        "on: propose and, once the guard is activated, move; shadow: only compare",
        ("off", "shadow", "on"),
    ),
    ("policy_bundle", "", "folder with the policy and its limits; empty: `bundle` holds them too", ()),
    ("mqtt", "", "broker for events and status, like mqtt://localhost; empty: none", ()),
    ("announce", "false", "speak the events", SWITCH),
    ("record", "", "folder to record image, audio and decisions into; empty: none", ()),
    ("image", "image", "topic of the pictures, sensor_msgs/Image or CompressedImage", ()),
    ("audio", "audio", "topic of the sound", ()),
    (
        "audio_type",
        "",
        "its type, as audio_common_msgs/AudioStamped, or microphone; empty: as the file of parameters says",
        (),
    ),
    ("cmd_vel", "cmd_vel", "topic of the velocity commands, which the guard alone publishes", ()),
    ("namespace", "", "of all nodes and topics, for several robots on one network", ()),
    ("composition", "many", "one: all nodes but the guard in one process; many: a process each", ("one", "many")),
    ("params", str(HERE.parent / "config" / "touchline.yaml"), "file of the nodes' parameters", ()),
    ("use_sim_time", "false", "take the time from /clock", SWITCH),
    ("autostart", "true", "configure and activate every node that cannot move the robot", SWITCH),
)

ENDS_ALL = ("event_detector", "guard", "player", "together")
"""The processes without which the others are of no use: when one ends, all do."""


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; start the processes once their values are known."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices or None)
        for name, default, description, choices in ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=processes)])


def processes(context: LaunchContext) -> list[Node]:
    """Start one process for all nodes, or one for each; the guard's is its own in any case."""
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    if not Path(given["params"]).is_file():
        msg = f"params:={given['params']}: there is no such file"
        raise FileNotFoundError(msg)
    nodes = wanted(given)
    shared = [node for node in nodes if node != "guard"] if given["composition"] == "one" else []
    alone = [node for node in nodes if node not in shared]
    parameters = [given["params"], written(overrides(nodes, given))]
    started = [process(node, [], parameters, given) for node in alone]
    if shared:
        started.append(process("together", ["--nodes", ",".join(shared)], parameters, given))
    return started


def wanted(given: dict[str, str]) -> list[str]:
    """Name the nodes that the arguments ask for."""
    asked = {
        "event_detector": True,
        "policy": given["policy"] != "off",
        "guard": given["policy"] != "off",
        "mqtt_gateway": given["mqtt"] != "",
        "announcer": given["announce"] == "true",
        "recorder": given["record"] != "",
        "player": given["source"] != "",
    }
    return [node for node, start in asked.items() if start]


def overrides(nodes: list[str], given: dict[str, str]) -> dict[str, dict[str, object]]:
    """Say for each node which parameters the arguments set; they outrank the file of parameters."""
    own: dict[str, dict[str, object]] = {
        "event_detector": {
            "bundle": given["bundle"],
            "audio_type": given["audio_type"],
            "mode": "replay" if given["source"] else "live",
        },
        "policy": {"bundle": given["policy_bundle"] or given["bundle"]},
        "guard": {"bundle": given["policy_bundle"] or given["bundle"], "shadow": given["policy"] == "shadow"},
        "mqtt_gateway": {"url": given["mqtt"]},
        "recorder": {"path": given["record"]},
        "player": {
            "path": given["source"],
            "audio_type": given["audio_type"],
            "clock": given["use_sim_time"] == "true",
            "wait": 60.0,
            "end_after": float(given["end_after"]),
        },
    }
    every = {"use_sim_time": given["use_sim_time"] == "true"}
    moves = {"guard"} if given["policy"] == "on" else set()
    start = {node: {"autostart": given["autostart"] == "true"} for node in nodes if node not in moves}
    named = {node: {name: value for name, value in own.get(node, {}).items() if value != ""} for node in nodes}
    return {node: {**every, **named[node], **start.get(node, {})} for node in nodes}


def written(parameters: dict[str, dict[str, object]]) -> str:
    """Write parameters of nodes in any namespace to a file, as --params-file takes them, and return its path.

    `parameters=[{...}]` of launch_ros would give them to every node of a process. JSON is YAML.
    """
    with tempfile.NamedTemporaryFile("w", prefix="touchline_", suffix=".yaml", delete=False) as file:
        json.dump({f"/**/{node}": {"ros__parameters": each} for node, each in parameters.items()}, file)
    return file.name


def process(executable: str, arguments: list[str], parameters: list[str], given: dict[str, str]) -> Node:
    """Describe one process of touchline_ros."""
    return Node(
        package="touchline_ros",
        executable=executable,
        arguments=arguments,
        namespace=given["namespace"],
        parameters=parameters,
        remappings=[(topic, given[topic]) for topic in ("image", "audio", "cmd_vel")],
        output="screen",
        on_exit=[Shutdown(reason=f"{executable} ended")] if executable in ENDS_ALL else None,
    )
