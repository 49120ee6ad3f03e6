"""The guard as a node: the only publisher of `cmd_vel`; zeros at every end, or a shadow beside a human driver."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from touchline_msgs.msg import PolicyState

from edge.bundle import Bundle
from edge.guard import Command, Guard, Limits, Proposal, State
from edge.manifest import BundleError

from .health import Part, report
from .life import live
from .parameters import Setting, declare

LEAST_FREE_DISK, MOST_USED_MEMORY = 0.07, 0.90
"""Shares beyond which a robot must not start to move: its records would be lost, or its processes killed."""
SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at start, without a lifecycle manager"),
    Setting("bundle", "", "directory of the policy's bundle, whose limits hold; empty: the object tracker's limits"),
    Setting("rate_hz", 50.0, "how often a command is sent", 20.0, 200.0),
    Setting("stamped", default=False, description="publish and hear cmd_vel as TwistStamped, not Twist"),
    Setting("shadow", default=False, description="send nothing to cmd_vel: compare with the human who drives"),
    Setting("frame_id", "base_link", "frame of stamped commands"),
    Setting("base_timeout", 0.0, "seconds after which the base itself stops without commands; 0: unknown", 0.0, 2.0),
    Setting("estop_timeout", 0.0, "seconds of silence on estop that are a stop; 0: no emergency stop", 0.0, 5.0),
)
ONE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OVERRIDABLE = QoSOverridingOptions.with_default_policies()


class GuardNode(LifecycleNode):
    """Hears proposals, an emergency stop and its services; sends commands at its own steady rate."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__("guard", **options)
        self._guard = Guard()
        self._timer: Any = None
        self._made: list[Any] = []
        self._said: tuple[int, str] | None = None
        self._refusal = ""
        self._human: Command | None = None
        self._differences: list[float] = []
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        declare(self, SETTINGS, lambda: None, lambda: self._timer is not None)
        report(self, self._parts)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the limits and open every topic; nothing is sent yet."""
        try:
            limits = self._limits()
        except (BundleError, ValueError) as error:
            self.get_logger().error(f"bundle: {error}")
            return TransitionCallbackReturn.FAILURE
        self._guard = Guard(replace(limits, estop_seconds=self._value("estop_timeout")))
        self._shadow, self._kind = self._value("shadow"), TwistStamped if self._value("stamped") else Twist
        topic = "~/proposed_cmd_vel" if self._shadow else "cmd_vel"
        # Plain publishers: zeros must go out while the node is being deactivated.
        self._commands = self.create_publisher(self._kind, topic, ONE, qos_overriding_options=OVERRIDABLE)
        self._states = self.create_publisher(PolicyState, "~/state", LATCHED)
        self._made = [
            self.create_subscription(
                TwistStamped, "policy/proposed_cmd_vel", self._propose, ONE, qos_overriding_options=OVERRIDABLE
            ),
            self.create_subscription(Bool, "estop", self._hear_estop, ONE),
            self.create_service(Trigger, "~/stop", self._stop),
            self.create_service(Trigger, "~/reset", self._reset),
        ]
        if self._shadow:
            self._made.append(self.create_subscription(self._kind, "cmd_vel", self._hear_human, ONE))
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to listen; refused with a reason where moving would not be safe."""
        hindrance = self._hindrance()
        if hindrance:
            self.get_logger().error(f"not activated: {hindrance}")
            return TransitionCallbackReturn.FAILURE
        self._differences.clear()
        self._guard.activate(time.monotonic())
        self._timer = self.create_timer(1 / self._value("rate_hz"), self._tick, clock=self._steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ramp down, send zeros for half a second, be silent."""
        self._leave("deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close every topic."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Send zeros, then close."""
        self._leave("the process ends")
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Send zeros, then close."""
        self._leave("an error")
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def _value(self, name: str) -> Any:  # noqa: ANN401 - parameters are of many types
        return self.get_parameter(name).value

    def _limits(self) -> Limits:
        path = self._value("bundle")
        policy = Bundle.load(path).manifest.policy if path else None
        if path and policy is None:
            msg = f"{path}: has no policy, and so no limits"
            raise BundleError(msg)
        return policy.limits if policy is not None else Limits()

    def _hindrance(self) -> str:
        """Say why the robot must not move now, if anything speaks against it."""
        if not self._shadow and self._value("base_timeout") == 0:
            return (
                "base_timeout: say after how many seconds the base stops by itself; without that it must not be driven"
            )
        disk = shutil.disk_usage(os.environ.get("ROS_LOG_DIR") or os.path.expanduser("~"))  # noqa: PTH111
        if disk.free < LEAST_FREE_DISK * disk.total:
            return f"only {disk.free / disk.total:.1%} of the disk are free; {LEAST_FREE_DISK:.0%} are needed"
        used = memory_used()
        if used > MOST_USED_MEMORY:
            return f"{used:.0%} of the memory are used; at most {MOST_USED_MEMORY:.0%} may be"
        return ""

    def _tick(self) -> None:
        command = self._guard.step(time.monotonic())
        if command is not None:
            self._send(command)
            self._compare(command)
        self._say_state()

    def _send(self, command: Command) -> None:
        message = self._kind()
        twist = message.twist if self._kind is TwistStamped else message
        if self._kind is TwistStamped:
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = self._value("frame_id")
        twist.linear.x, twist.angular.z = command.linear_mps, command.angular_radps
        self._commands.publish(message)

    def _leave(self, reason: str) -> None:
        if self._timer is None:
            return
        self.destroy_timer(self._timer)
        self._timer = None
        self._guard.deactivate(reason)
        pause = 1 / self._value("rate_hz")
        while (command := self._guard.step(time.monotonic())) is not None:
            self._send(command)
            time.sleep(pause)
        self._say_state()
        if self._differences:
            count, mean = len(self._differences), sum(self._differences) / len(self._differences)
            self.get_logger().info(f"shadow: {count} commands compared, {mean:.3f} m/s and rad/s apart on average")

    def _close(self) -> None:
        for made in self._made:
            (self.destroy_service if hasattr(made, "srv_type") else self.destroy_subscription)(made)
        if self._made:
            self.destroy_publisher(self._commands)
            self.destroy_publisher(self._states)
        self._made = []

    def _propose(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        others = (linear.y, linear.z, angular.x, angular.y)
        proposal = Proposal(linear.x, angular.z, seconds(message.header.stamp), others)
        refusal = self._guard.propose(proposal, time.monotonic(), self.get_clock().now().nanoseconds / 1e9)
        self._refusal = refusal or ""

    def _hear_estop(self, message: Bool) -> None:
        self._guard.estop(time.monotonic(), pressed=message.data)

    def _hear_human(self, message: Any) -> None:  # noqa: ANN401 - Twist or TwistStamped
        twist = message.twist if self._kind is TwistStamped else message
        self._human = Command(twist.linear.x, twist.angular.z)

    def _compare(self, command: Command) -> None:
        if self._human is not None and self._guard.state == State.ARMED:
            linear = abs(command.linear_mps - self._human.linear_mps)
            self._differences.append(linear + abs(command.angular_radps - self._human.angular_radps))

    def _stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._guard.stop("told to stop")
        response.success, response.message = True, self._guard.state.name.lower()
        return response

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        why = self._guard.reset(time.monotonic(), self._hindrance())
        response.success, response.message = why is None, why or self._guard.reason
        return response

    def _say_state(self) -> None:
        guard = self._guard
        said = (int(guard.state), guard.reason)
        if said != self._said:
            self._said = said
            self._publish_state()

    def _publish_state(self) -> None:
        guard = self._guard
        shown = PolicyState.SHADOW if self._shadow and guard.state == State.ARMED else int(guard.state)
        message = PolicyState(state=shown, reason=guard.reason, action=255, latency_ms=1000 * guard.age_seconds)
        message.clamped, message.refused = guard.clamped, guard.refused
        message.header.stamp = self.get_clock().now().to_msg()
        self._states.publish(message)

    def _parts(self) -> list[Part]:
        guard = self._guard
        if not self._made:
            return [Part("guard", "not configured")]
        self._publish_state()
        values = {"state": guard.state.name.lower(), "clamped": guard.clamped, "missed": guard.missed}
        values |= {"refused": guard.refused, "latest refusal": self._refusal}
        if self._differences:
            values["shadow apart"] = f"{sum(self._differences) / len(self._differences):.3f}"
        trouble = guard.reason or self._clock_trouble()
        if not self._shadow and self.count_publishers("cmd_vel") > 1:
            trouble = "another node publishes cmd_vel too; only the guard may"
        return [Part("guard", trouble, broken=guard.state == State.STOPPED, values=values)]

    def _clock_trouble(self) -> str:
        simulated = self.get_parameter("use_sim_time").value
        standing = simulated and self.get_clock().now().nanoseconds == 0
        return "use_sim_time is set, and nobody publishes /clock" if standing else ""


def memory_used() -> float:
    """Tell the share of the memory that is used, from /proc/meminfo; 0 where there is none."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            size = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    except OSError:
        return 0.0
    return 1 - size["MemAvailable"] / size["MemTotal"]


def seconds(stamp: Any) -> float:  # noqa: ANN401 - builtin_interfaces/Time
    """Give a stamp in seconds."""
    return float(stamp.sec + stamp.nanosec / 1e9)


def main() -> int:
    """Run the node."""
    return live([GuardNode])
