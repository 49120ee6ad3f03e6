"""Print the seconds and events of a Touchline detector in ROS 2: python ros_listen.py."""

from __future__ import annotations

import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from touchline_msgs.msg import Event, Second

STEPS = {Event.TYPE_NEW: "begins", Event.TYPE_UPDATE: "goes on", Event.TYPE_END: "is over"}


def main() -> None:
    """Listen until Ctrl-C."""
    rclpy.init()
    node = rclpy.create_node("listener")
    node.create_subscription(Second, "event_detector/second", show_second, 10)
    node.create_subscription(Event, "event_detector/event", show_event, 10)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


def show_second(second: Second) -> None:
    """Print what was decided for a second, and by which modality."""
    print(f"{second.header.stamp.sec}  {second.label:16} {second.score:.2f}  {second.winner}", flush=True)


def show_event(event: Event) -> None:
    """Print a step of an event."""
    print(f"            {event.label} {STEPS[event.type]} ({event.seconds} s, {event.score:.2f})", flush=True)


if __name__ == "__main__":
    main()
