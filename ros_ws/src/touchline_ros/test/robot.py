"""A robot as the gateway hears it: a detector, a policy and a guard that say what a test wants, and note every call."""

from __future__ import annotations

import json

import made
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import SetBool, Trigger
from touchline_msgs.msg import Event, LabelInfo, PolicyState, Second, Vote
from touchline_msgs.srv import Feedback

from edge import clip

OK = TransitionCallbackReturn.SUCCESS
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
START_NS = 1_795_428_942_123_456_789
SHA256 = "9c1e" * 16
STARTERS = ("guard/reset", "guard/change_state", "policy/change_state", "event_detector/change_state")
"""Services by which something could begin to move."""


def time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def second(seq: int = 1, judged: clip.Second | None = None, **changed) -> Second:
    """The made second as a message; its stamp is START_NS and its own start later."""
    judged = judged or made.second(float(seq - 1))
    votes = [
        Vote(
            modality=vote.modality,
            label=vote.label,
            score=vote.score,
            frames=vote.frames,
            valid=True,
            probabilities=vote.probabilities,
        )
        for vote in judged.votes
    ]
    message = Second(
        seq=seq, source="cam2", label=judged.label, class_index=judged.class_index, score=judged.score,
        unknown=judged.label == clip.UNKNOWN, probabilities=judged.probabilities, votes=votes, winner=judged.winner,
        row=judged.row or "", rule=judged.rule, table_version="t-0007", mode="live", align_unc_ms=float("nan"),
        latency_ms=judged.latency_ms, faults=list(judged.faults),
    )  # fmt: skip
    message.header.stamp = time(START_NS + round(judged.start * 1e9))
    for name, value in changed.items():
        setattr(message, name, value)
    return message


def event(kind: str = "new", count: int = 1, **changed) -> Event:
    judged = made.event(kind, count=count)
    message = Event(
        id=judged.id, type=("new", "update", "end").index(kind), source="cam2", label=judged.label,
        class_index=judged.class_index, score=judged.score, seconds=judged.seconds, ended=kind == "end",
        start=time(START_NS + 3 * 10**9), last=second(6), model_sha256=SHA256,
    )  # fmt: skip
    if kind == "end":
        message.end = time(START_NS + 6 * 10**9)
    for name, value in changed.items():
        setattr(message, name, value)
    return message


def label_info(**changed) -> LabelInfo:
    return LabelInfo(
        **{
            "labels": made.LABELS, "modalities": ["rgb", "flow", "audio"], "bundle": "sports3-1.4.0",
            "model_sha256": SHA256, "table_version": "t-0007", **changed,
        }
    )  # fmt: skip


class Robot(Node):
    """Publishes what it is given; `calls` are (service, what was asked); `refusing` are services that say no."""

    def __init__(self, world) -> None:
        super().__init__("robot", context=world.context)
        self.world, self.until = world, world.until
        world.add(self)
        self.parts: dict[str, DiagnosticStatus] = {}
        self.create_subscription(DiagnosticArray, "/diagnostics", self.note, 10)
        self.calls: list[tuple[str, object]] = []
        self.refusing: set[str] = set()
        self.seconds = self.create_publisher(Second, "event_detector/second", 10)
        self.events = self.create_publisher(Event, "event_detector/event", 10)
        self.labels = self.create_publisher(LabelInfo, "event_detector/label_info", LATCHED)
        self.states = {
            name: self.create_publisher(PolicyState, f"{name}/state", LATCHED) for name in ("guard", "policy")
        }
        self.diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.offer(SetBool, "event_detector/enable", lambda request: request.data)
        self.offer(Feedback, "event_detector/feedback", lambda request: (request.id, request.verdict, request.label))
        for name in STARTERS:
            self.offer(Trigger if name.endswith("reset") else ChangeState, name, lambda request: request)

    def offer(self, kind, name, what):
        def answer(request, response):
            self.calls.append((name, what(request)))
            response.success = name not in self.refusing
            if hasattr(response, "message"):
                response.message = "" if response.success else "not now"
            return response

        self.create_service(kind, name, answer)

    def offer_stop(self):
        self.offer(Trigger, "guard/stop", lambda _request: True)

    def note(self, message: DiagnosticArray) -> None:
        self.parts.update({status.name: status for status in message.status})

    def said(self, part: str, node: str = "mqtt_gateway") -> str:
        """What a node said last of one of its parts."""
        return self.parts[f"{node}: {part}"].message if f"{node}: {part}" in self.parts else ""

    def figures(self, part: str, node: str = "mqtt_gateway") -> dict[str, str]:
        return {pair.key: pair.value for pair in self.parts[f"{node}: {part}"].values}

    def called(self, name: str) -> list[object]:
        return [what for called, what in self.calls if called == name]

    def say(self, node: str, state: int, reason: str = "") -> None:
        self.states[node].publish(PolicyState(state=state, reason=reason))

    def report(self, name: str, level: bytes, message: str) -> None:
        self.diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(name=name, level=level, message=message)]))


def latest(listener, topic):
    """The latest JSON on a topic, an empty object before the first."""
    found = listener.payloads(topic)
    return json.loads(found[-1]) if found else {}
