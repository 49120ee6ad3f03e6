"""Several nodes in one process, for a small computer: `ros2 run touchline_ros together --nodes event_detector,policy`.

Each node keeps a thread of its own to spin on, so what blocks one leaves the others alone, as long as Python itself is
free. That is not enough for the guard, which must stop the robot when a policy hangs with Python in its hands.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.utilities import remove_ros_args

from .life import live

NODES = {
    "event_detector": "EventDetectorNode",
    "policy": "PolicyNode",
    "mqtt_gateway": "MqttGatewayNode",
    "announcer": "AnnouncerNode",
    "recorder": "RecorderNode",
    "player": "PlayerNode",
}
"""The modules of this package whose nodes may share a process, and the nodes' classes."""


def main() -> int:
    """Run the nodes that the command line names until SIGINT or SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="ros2 run touchline_ros together",
        description="Run several nodes in one process.",
        epilog="The guard stays a process of its own: ros2 run touchline_ros guard",
    )
    parser.add_argument("--nodes", required=True, type=_nodes, help=f"some of {', '.join(NODES)}, separated by commas")
    names = parser.parse_args(remove_ros_args(sys.argv)[1:]).nodes
    return live([_node(name) for name in names], lambda: MultiThreadedExecutor(num_threads=max(2, len(names))))


def _nodes(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name == "guard":
            msg = "the guard runs alone, as a node that hangs would hang it too"
            raise argparse.ArgumentTypeError(msg)
        if name not in NODES:
            msg = f"there is no node {name!r}; there are {', '.join(NODES)}"
            raise argparse.ArgumentTypeError(msg)
        if names.count(name) > 1:
            msg = f"{name} is named twice"
            raise argparse.ArgumentTypeError(msg)
    return names


def _node(name: str) -> type[LifecycleNode]:
    node: type[LifecycleNode] = getattr(import_module(f".{name}", __package__), NODES[name])
    return node
