"""The real policy node, which goes wrong when the topic `fault` tells it to."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from std_msgs.msg import String
from touchline_ros.life import live
from touchline_ros.policy import PolicyNode

from edge.policy import action

BUSY_SECONDS, LATE_SECONDS = 1.0, 0.3


class FaultyPolicyNode(PolicyNode):
    """Computes for ever, answers late, or has scores that are no numbers."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__(**options)
        self._fault = ""
        self.create_subscription(String, "fault", self._hear_fault, 1)

    def _hear_fault(self, message: String) -> None:
        self._fault = message.data
        if self._fault == "busy":
            end = time.monotonic() + BUSY_SECONDS
            while time.monotonic() < end:
                pass

    def _propose(self, stamp: Any, wanted: Any) -> None:  # noqa: ANN401 - as in PolicyNode
        if self._fault == "late":
            time.sleep(LATE_SECONDS)
        if self._fault == "not a number":
            assert self._policy is not None
            wanted = action(np.full(len(wanted.scores), np.nan, np.float32), self._policy.spec)
        super()._propose(stamp, wanted)


def main() -> int:
    """Run the node."""
    return live([FaultyPolicyNode])
