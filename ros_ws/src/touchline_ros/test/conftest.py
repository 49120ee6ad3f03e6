"""Real nodes on a domain of this test run alone, on loopback alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

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

    def until(self, holds: Callable[[], object], seconds: float = LIMIT_SECONDS):
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, "waited in vain"
            self.executor.spin_once(timeout_sec=0.05)
        return found

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
