"""The policy as a node: the newest observation in, a proposal out at once, at the manifest's rate; it moves nothing."""

from __future__ import annotations

import math
import time
from typing import Any

from geometry_msgs.msg import PointStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from touchline_msgs.msg import LabelInfo, PolicyState, Second

from edge.bundle import Bundle
from edge.manifest import BundleError, PictureObservation
from edge.policy import Action, Policy, PolicyError, picture_observation, vector_observation
from edge.rosimage import ImageError, compressed_frame, video_frame

from .health import Part, report
from .life import live
from .parameters import Setting, declare

SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at start, without a lifecycle manager"),
    Setting("bundle", "", "directory of a bundle with a policy"),
    Setting("image_transport", "raw", "type of the topic image", choices=("raw", "compressed")),
    Setting("frozen_after", 1, "repetitions of a picture, bit for bit, that mean a frozen camera; 0: never", 0, 1000),
)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ONE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OVERRIDABLE = QoSOverridingOptions.with_default_policies()
PROBABILITY = "probability/"
"""A vector field of this name and a label is the fused probability of that label in the latest second."""
SECOND_SECONDS = 3.0
"""How long a second's probabilities are used."""
EARLY = 0.25
"""Share of a period by which an observation may come before it is due."""


class PolicyNode(LifecycleNode):
    """Keeps the newest of what it hears and proposes at once, on average no oftener than the manifest says.

    A timer at that rate would answer pictures that have waited up to a period, and by then the robot is elsewhere.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__("policy", **options)
        self._policy: Policy | None = None
        self._made: list[Any] = []
        self._timer: Any = None
        self._clear()
        declare(self, SETTINGS, lambda: None, lambda: self._timer is not None)
        report(self, self._parts)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy and listen to what it observes."""
        path = self.get_parameter("bundle").value
        try:
            if not path:
                msg = "is empty; name the directory of a bundle with a policy"
                raise BundleError(msg)  # noqa: TRY301
            self._policy = Policy(Bundle.load(path))
        except BundleError as error:
            self.get_logger().error(f"bundle: {error}")
            return TransitionCallbackReturn.FAILURE
        self._proposals = self.create_publisher(
            TwistStamped, "~/proposed_cmd_vel", ONE, qos_overriding_options=OVERRIDABLE
        )
        self._states = self.create_publisher(PolicyState, "~/state", LATCHED)
        self._made = [self._listen(*topic) for topic in self._topics()]
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to propose."""
        assert self._policy is not None
        self._clear()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(2 * self._policy.spec.limits.period_seconds, self._watch, clock=steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Propose no more."""
        self._rest()
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close every topic and forget the policy."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """End."""
        self._rest()
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def _topics(self) -> list[tuple[Any, str, Any, Any]]:
        assert self._policy is not None
        if self._policy.spec.picture is not None:
            compressed = self.get_parameter("image_transport").value == "compressed"
            kind = CompressedImage if compressed else Image
            return [(kind, "image", self._keep_image, NEWEST)]
        names = {field.name for field in self._policy.spec.vector}
        topics: list[tuple[Any, str, Any, Any]] = []
        if names & {"target_bearing_rad", "target_range_m"}:
            topics.append((PointStamped, "target", self._keep_target, NEWEST))
        if "sound_bearing_rad" in names:
            topics.append((PointStamped, "sound", self._keep_sound, NEWEST))
        if names & {"linear_mps", "angular_radps"}:
            topics.append((Odometry, "odom", self._keep_odometry, NEWEST))
        if any(name.startswith(PROBABILITY) for name in names):
            topics.append((LabelInfo, "event_detector/label_info", self._keep_labels, LATCHED))
            topics.append((Second, "event_detector/second", self._keep_second, ONE))
        return topics

    def _listen(self, kind: Any, topic: str, callback: Any, qos: Any) -> Any:  # noqa: ANN401 - rclpy is untyped
        return self.create_subscription(kind, topic, callback, qos, qos_overriding_options=OVERRIDABLE)

    def _clear(self) -> None:
        self._image: Any = None
        self._values: dict[str, float] = {}
        self._stamps: dict[str, Any] = {}
        self._labels: list[str] = []
        self._answered: Any = None
        self._acted = self._due = self._second_at = -math.inf
        self._alike = 0
        self._trouble, self._proposed, self._latency, self._action = "", 0, 0.0, 255

    def _keep_image(self, message: Any) -> None:  # noqa: ANN401 - Image or CompressedImage
        before = self._image
        if before is not None and message.header.stamp == before.header.stamp:
            return  # some drivers repeat their last
        # Every picture is compared with the one before, or a frozen one could be answered once more.
        same = before is not None and len(message.data) > 0 and memoryview(message.data) == memoryview(before.data)
        self._alike = self._alike + 1 if same else 0
        self._image = message
        self._look()

    def _keep_target(self, message: PointStamped) -> None:
        x, y = message.point.x, message.point.y
        self._keep("target", message, {"target_bearing_rad": math.atan2(y, x), "target_range_m": math.hypot(x, y)})

    def _keep_sound(self, message: PointStamped) -> None:
        self._keep("sound", message, {"sound_bearing_rad": math.atan2(message.point.y, message.point.x)})

    def _keep_odometry(self, message: Odometry) -> None:
        twist = message.twist.twist
        self._keep("odom", message, {"linear_mps": twist.linear.x, "angular_radps": twist.angular.z})

    def _keep_labels(self, message: LabelInfo) -> None:
        self._labels = list(message.labels)

    def _keep_second(self, message: Second) -> None:
        named = zip(self._labels, message.probabilities, strict=False)
        self._second_at = time.monotonic()
        self._values |= {f"{PROBABILITY}{label}": float(value) for label, value in named}

    def _keep(self, topic: str, message: Any, values: dict[str, float]) -> None:  # noqa: ANN401 - any stamped message
        self._values |= values
        self._stamps[topic] = message.header.stamp
        self._look()

    def _look(self) -> None:
        """Answer the newest observation, once, if one is due."""
        if self._timer is None or self._policy is None:
            return
        now, period = time.monotonic(), self._policy.spec.limits.period_seconds
        if now < self._due - EARLY * period:
            return
        try:
            stamp, observation = self._observe()
            if stamp is None:
                return
            self._acted, self._due = now, max(self._due, now - period) + period
            self._propose(stamp, self._policy(observation))
        except (PolicyError, ImageError) as error:
            self._acted = now
            self._complain(str(error))
        self._latency = time.monotonic() - now

    def _watch(self) -> None:
        assert self._policy is not None
        if time.monotonic() - self._acted > 2 * self._policy.spec.limits.period_seconds:
            self._complain("no new observation comes in")

    def _propose(self, stamp: Any, wanted: Action) -> None:  # noqa: ANN401 - builtin_interfaces/Time
        self._trouble, self._action = "", wanted.index if wanted.index >= 0 else 255
        proposal = TwistStamped()
        proposal.header.stamp = stamp
        proposal.twist.linear.x, proposal.twist.angular.z = wanted.linear_mps, wanted.angular_radps
        self._proposals.publish(proposal)
        self._proposed += 1

    def _observe(self) -> tuple[Any, Any]:
        """Make the observation and tell the stamp of its oldest part; None where there is nothing yet."""
        assert self._policy is not None
        spec = self._policy.spec
        if spec.picture is not None:
            message = self._image
            if message is None or message.header.stamp == self._answered:
                return None, None
            self._answered = message.header.stamp
            most = self.get_parameter("frozen_after").value
            if most and self._alike >= most:
                msg = "the camera is frozen: its pictures are identical"
                raise PolicyError(msg)
            return message.header.stamp, picture_observation(self._picture(message, spec.picture), spec.picture)
        if not self._stamps:
            return None, None
        if any(field.name.startswith(PROBABILITY) for field in spec.vector):
            age = time.monotonic() - self._second_at
            if age > SECOND_SECONDS:
                msg = f"event_detector/second has said nothing for {SECOND_SECONDS:g} s"
                raise PolicyError(msg)
        oldest = min(self._stamps.values(), key=lambda stamp: (stamp.sec, stamp.nanosec))
        if oldest == self._answered:
            return None, None
        self._answered = oldest
        return oldest, vector_observation(self._values, spec.vector)

    def _picture(self, message: Any, wanted: PictureObservation) -> Any:  # noqa: ANN401 - an array
        compressed = hasattr(message, "format")
        frame = compressed_frame(message) if compressed else video_frame(message)
        return frame.reformat(wanted.width, wanted.height, "rgb24", interpolation="AREA").to_ndarray()

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.get_logger().warning(f"proposes nothing: {trouble}")
        self._trouble = trouble

    def _rest(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None

    def _close(self) -> None:
        for made in self._made:
            self.destroy_subscription(made)
        if self._made:
            self.destroy_publisher(self._proposals)
            self.destroy_publisher(self._states)
        self._made, self._policy = [], None

    def _parts(self) -> list[Part]:
        if self._policy is None:
            return [Part("policy", "not configured")]
        active = self._timer is not None
        state = PolicyState(state=PolicyState.ARMED if active else PolicyState.INACTIVE, reason=self._trouble)
        state.action, state.latency_ms = self._action, 1000 * self._latency
        state.header.stamp = self.get_clock().now().to_msg()
        self._states.publish(state)
        values = {"proposed": self._proposed, "latency ms": f"{1000 * self._latency:.1f}"}
        return [Part("policy", self._trouble if active else "", values=values)]


def main() -> int:
    """Run the node."""
    return live([PolicyNode])
