"""Real nodes on a domain of this test run alone, on loopback alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before rclpy is imported: which participants may meet.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

import rclpy
from rclpy.executors import SingleThreadedExecutor

LIMIT_SECONDS = 15.0


class World:
    """A context with an executor: nodes of a test live in it, `until` spins it until something holds."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)

    def add(self, node):
        self.executor.add_node(node)
        return node

    def until(self, holds: Callable[[], object], seconds: float = LIMIT_SECONDS, what: str = "something"):
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=0.05)
        return found

    def client(self, node, kind, name: str):
        """Make a client that is known to its server: one that asks at once may never hear the answer."""
        client = node.create_client(kind, name)
        assert client.wait_for_service(2 * LIMIT_SECONDS), name
        self.spin(0.5)
        return client

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        nodes = self.executor.get_nodes()
        self.executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start nodes as processes, with parameters; what they print goes to a file, as nobody would read a pipe."""
    started = []

    def start(node: str, *parameters: str, namespace: str = "") -> subprocess.Popen:
        # In a namespace of its own its services cannot be taken for those of a node that an earlier test had here.
        options = [
            "--ros-args",
            "-r",
            f"__ns:=/{namespace}",
            *(word for parameter in parameters for word in ("-p", parameter)),
        ]
        code = f"from touchline_ros.{node} import main; raise SystemExit(main())"
        environment = os.environ | {"ROS_LOG_DIR": str(tmp_path)}
        with (tmp_path / f"{node}.log").open("ab") as log:
            command = [sys.executable, "-c", code, *options]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.wait(10)
