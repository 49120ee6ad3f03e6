"""What a node says of itself on `/diagnostics`, once a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

PERIOD_SECONDS = 1.0


@dataclass(frozen=True)
class Part:
    """The state of one part of a node; `trouble` says in words what is wrong, `broken` that it does not work at all."""

    name: str
    trouble: str = ""
    broken: bool = False
    values: dict[str, object] = field(default_factory=dict)


def report(node: Node, parts: Callable[[], Sequence[Part]]) -> None:
    """Publish the node's parts at 1 Hz for as long as the node exists, named `node: part` (REP 107).

    The timer runs on the steady clock: a simulation that stands still must not silence it.
    """
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def publish() -> None:
        message = DiagnosticArray(status=[_status(node.get_fully_qualified_name(), part) for part in parts()])
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)

    node.create_timer(PERIOD_SECONDS, publish, clock=Clock(clock_type=ClockType.STEADY_TIME))


def _status(name: str, part: Part) -> DiagnosticStatus:
    level = (
        DiagnosticStatus.OK if not part.trouble else DiagnosticStatus.ERROR if part.broken else DiagnosticStatus.WARN
    )
    return DiagnosticStatus(
        level=level,
        name=f"{name.lstrip('/')}: {part.name}",
        message=part.trouble or "ok",
        hardware_id=name,
        values=[KeyValue(key=key, value=str(value)) for key, value in part.values.items()],
    )
