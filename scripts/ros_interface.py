"""Ask the nodes themselves which topics and services they have: each is configured and activated, then looked at."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import TransitionCallbackReturn as Answer
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

CLASSES = {
    "event_detector": "EventDetectorNode",
    "policy": "PolicyNode",
    "guard": "GuardNode",
    "mqtt_gateway": "MqttGatewayNode",
    "announcer": "AnnouncerNode",
    "recorder": "RecorderNode",
    "player": "PlayerNode",
}
"""The modules of touchline_ros that hold a node, and its class."""

NODES = tuple(node for node in CLASSES if find_spec(f"touchline_ros.{node}"))
"""Those that are installed."""

OF_EVERY_NODE = ("/diagnostics", "/rosout", "/parameter_events")
PUBLISHES, SUBSCRIBES, SERVES, CALLS = "publishes", "subscribes", "serves", "calls"


@dataclass(frozen=True)
class End:
    """One end of a topic or a service: which node has it, what it does with it, its full name, type and QoS."""

    node: str
    does: str
    name: str
    type: str
    qos: str = ""


def interface(parameters: dict[str, list[dict[str, object]]]) -> list[End]:
    """Start every node alone with each of its sets of parameters; list its ends but for those that every node has."""
    found: dict[str, list[End]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for node in NODES:
            ends = {end for given in parameters.get(node, [{}]) for end in _ends_of(node, given, Path(folder))}
            found[node] = sorted(ends, key=_order)
    return [end for ends in found.values() for end in ends]


def _ends_of(name: str, parameters: dict[str, object], folder: Path) -> list[End]:
    context = rclpy.Context()
    rclpy.init(context=context)
    given = [Parameter(key, value=_placed(value, folder)) for key, value in parameters.items()]
    node = getattr(import_module(f"touchline_ros.{name}"), CLASSES[name])(context=context, parameter_overrides=given)
    plain = {end.name for end in _all_ends(LifecycleNode("plain", context=context))}
    try:
        for step in (node.trigger_configure, node.trigger_activate):
            if step() != Answer.SUCCESS:
                msg = f"{name} cannot {step.__name__.removeprefix('trigger_')} with {parameters}"
                raise RuntimeError(msg)
        return [end for end in _all_ends(node) if end.name.replace(f"/{name}/", "/plain/") not in plain]
    finally:
        node.trigger_shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _all_ends(node: LifecycleNode) -> list[End]:
    name = node.get_name()
    topics = [
        End(name, does, end.topic_name, _type(end.msg_type), _qos(end.qos_profile))
        for does, ends in ((PUBLISHES, node.publishers), (SUBSCRIBES, node.subscriptions))
        for end in ends
    ]
    services = [
        End(name, does, node.resolve_service_name(end.srv_name), _type(end.srv_type))
        for does, ends in ((SERVES, node.services), (CALLS, node.clients))
        for end in ends
    ]
    return [end for end in topics + services if end.name not in OF_EVERY_NODE]


def _order(end: End) -> tuple[int, str, str]:
    return (PUBLISHES, SUBSCRIBES, SERVES, CALLS).index(end.does), end.name, end.type


def _placed(value: object, folder: Path) -> object:
    return value.replace("FOLDER", str(folder)) if isinstance(value, str) else value


def _type(kind: type) -> str:
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _qos(profile: QoSProfile) -> str:
    words = ["reliable" if profile.reliability == ReliabilityPolicy.RELIABLE else "best effort"]
    if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        words.append("latched")
    words.append(f"last {profile.depth}")
    for word, limit in (("deadline", profile.deadline), ("lifespan", profile.lifespan)):
        milliseconds = limit.nanoseconds / 1e6
        if 0 < milliseconds < 1e9:  # 0 is no limit, so is for ever
            words.append(f"{word} {milliseconds:g} ms")
    return ", ".join(words)
