"""Several nodes in one process, for a small computer: `ros2 run touchline_ros together --nodes event_detector,policy`.

Each node keeps a thread of its own to spin on, so what blocks one leaves the others alone, as long as Python itself is
free. That is not enough for the guard, which must stop the robot when a policy hangs with Python in its hands.
rclpy's MultiThreadedExecutor will not do: for six nodes and pictures at 30 Hz it took five times the processor time of
a thread each, and half the pictures were lost.
"""

from __future__ import annotations

import argparse
import sys
import threading
from importlib import import_module

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.utilities import remove_ros_args

from .life import SPIN_SECONDS, live

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
    return live([_node(name) for name in names], ThreadEach)


class ThreadEach:
    """An executor that spins each of its nodes on a thread of its own, from the first `spin_once` to `shutdown`.

    `spin_once` itself only waits; it raises what a node's callback has raised.
    """

    def __init__(self, context: Context | None = None) -> None:
        self._context = context
        self._executors: list[SingleThreadedExecutor] = []
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._failure: Exception | None = None

    def add_node(self, node: LifecycleNode) -> None:
        """Take a node; it does not spin yet, so that nothing disturbs its start."""
        self._executors.append(SingleThreadedExecutor(context=self._context))
        self._executors[-1].add_node(node)

    def spin_once(self, timeout_sec: float) -> None:
        """Let the nodes spin for a while, or until one fails."""
        if not self._threads:
            self._threads = [threading.Thread(target=self._spin, args=(each,)) for each in self._executors]
            for thread in self._threads:
                thread.start()
        self._ended.wait(timeout_sec)
        if self._failure:
            raise self._failure

    def shutdown(self) -> None:
        """End the threads, each after the callback that it is in."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for executor in self._executors:
            executor.shutdown()

    def _spin(self, executor: SingleThreadedExecutor) -> None:
        try:
            while not self._ended.is_set():
                executor.spin_once(timeout_sec=SPIN_SECONDS)
        except Exception as error:  # noqa: BLE001 - raised again by spin_once, on the main thread
            self._failure = error
            self._ended.set()


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
