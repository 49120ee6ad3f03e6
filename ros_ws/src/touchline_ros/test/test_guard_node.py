"""The guard as a node: what is on cmd_vel in every phase of its life, and after its own death."""

from __future__ import annotations

import math
import random
import signal
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from touchline_msgs.msg import PolicyState
from touchline_ros.guard import GuardNode

SUCCESS = TransitionCallbackReturn.SUCCESS
SETTINGS = {"base_timeout": 0.5}


class Bench:
    """A guard in this process with somebody who proposes, and all that it says."""

    def __init__(self, world, **parameters) -> None:
        overrides = [Parameter(name, value=value) for name, value in (SETTINGS | parameters).items()]
        self.world = world
        self.guard = world.add(GuardNode(context=world.context, parameter_overrides=overrides))
        self.other = world.add(rclpy.create_node("other", context=world.context))
        self.proposals = self.other.create_publisher(TwistStamped, "policy/proposed_cmd_vel", 1)
        self.said, self.health = [], []
        kind = TwistStamped if parameters.get("stamped") else Twist
        topic = "guard/proposed_cmd_vel" if parameters.get("shadow") else "cmd_vel"
        self.other.create_subscription(kind, topic, self.said.append, 100)
        self.other.create_subscription(DiagnosticArray, "/diagnostics", self.health.append, 10)

    def start(self) -> Bench:
        assert self.guard.trigger_configure() == SUCCESS
        self.world.until(lambda: self.proposals.get_subscription_count() and self.other.count_publishers("cmd_vel") < 9)
        assert self.guard.trigger_activate() == SUCCESS
        self.other.create_timer(0.1, self.propose)
        return self

    def propose(self) -> None:
        message = TwistStamped()
        message.header.stamp = self.other.get_clock().now().to_msg()
        message.twist.linear.x, message.twist.angular.z = 0.08, 0.2
        self.proposals.publish(message)

    def drives(self) -> Bench:
        self.world.until(lambda: self.said and speed(self.said[-1]) == pytest.approx(0.08))
        return self

    def call(self, kind, name, request):
        client = self.world.client(self.other, kind, name)
        answer = client.call_async(request)
        self.world.until(answer.done)
        return answer.result()

    def trouble(self) -> str:
        return self.health[-1].status[0].message if self.health else ""


def speed(message) -> float:
    return (message.twist if isinstance(message, TwistStamped) else message).linear.x


def test_it_drives_within_the_envelope_and_leaves_with_zeros(world):
    bench = Bench(world).start().drives()
    assert all(0 <= message.linear.x <= 0.1 for message in bench.said)
    assert bench.guard.trigger_deactivate() == SUCCESS
    world.until(lambda: [speed(message) for message in bench.said[-20:]] == [0.0] * 20)
    world.spin(0.3)
    count = len(bench.said)
    world.spin(0.3)
    assert len(bench.said) == count  # silent


def test_it_can_go_through_its_whole_life_twice(world):
    bench = Bench(world).start().drives()
    for step in (bench.guard.trigger_deactivate, bench.guard.trigger_cleanup, bench.guard.trigger_configure):
        assert step() == SUCCESS
    bench.said.clear()
    assert bench.guard.trigger_activate() == SUCCESS
    bench.drives()


def test_stamped_commands_carry_the_frame_and_the_time(world):
    bench = Bench(world, stamped=True, frame_id="chassis").start().drives()
    header = bench.said[-1].header
    assert header.frame_id == "chassis"
    assert abs(header.stamp.sec - time.time()) < 5


def test_a_stop_latches_until_a_reset_while_proposals_come_in(world):
    bench = Bench(world).start().drives()
    assert bench.call(Trigger, "guard/stop", Trigger.Request()).success
    world.until(lambda: speed(bench.said[-1]) == 0)
    world.spin(0.5)
    assert speed(bench.said[-1]) == 0
    world.until(lambda: bench.trouble() == "told to stop")
    answer = bench.call(Trigger, "guard/reset", Trigger.Request())
    assert (answer.success, answer.message) == (True, "needs 10 healthy periods")
    bench.drives()
    again = bench.call(Trigger, "guard/reset", Trigger.Request())
    assert (again.success, again.message) == (False, "nothing to reset: the guard is armed")


def test_the_emergency_stop_stops_and_its_silence_too(world):
    bench = Bench(world, estop_timeout=1.0).start()
    estop = bench.other.create_publisher(Bool, "estop", 1)
    released = bench.other.create_timer(0.2, lambda: estop.publish(Bool(data=False)))
    bench.drives()
    bench.other.destroy_timer(released)
    world.until(lambda: bench.guard._guard.reason == "the emergency stop says nothing")
    world.until(lambda: speed(bench.said[-1]) == 0)
    estop.publish(Bool(data=True))
    world.until(lambda: bench.guard._guard._estop_pressed)
    answer = bench.call(Trigger, "guard/reset", Trigger.Request())
    assert (answer.success, answer.message) == (False, "the emergency stop is pressed")


def test_in_shadow_it_moves_nothing_and_says_how_far_it_is_from_the_human(world):
    bench = Bench(world, shadow=True)
    driven = []
    bench.other.create_subscription(Twist, "cmd_vel", driven.append, 10)
    human = bench.other.create_publisher(Twist, "cmd_vel", 1)
    message = Twist()
    message.linear.x = 0.03
    bench.other.create_timer(0.05, lambda: human.publish(message))
    bench.start().drives()
    world.until(lambda: bench.guard._differences and bench.guard._differences[-1] == pytest.approx(0.05 + 0.2))
    assert {speed(one) for one in driven} == {0.03}  # nobody but the human
    states = []
    bench.other.create_subscription(PolicyState, "guard/state", states.append, 10)
    world.until(lambda: states and states[-1].state == PolicyState.SHADOW)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"base_timeout": 0.0}, "base_timeout: say after how many seconds the base stops by itself"),
        ({"bundle": "/nowhere"}, "bundle: /nowhere: is not a bundle directory"),
    ],
)
def test_what_would_not_be_safe_is_refused_with_a_reason(world, capfd, parameters, said):
    bench = Bench(world, **parameters)
    if bench.guard.trigger_configure() == SUCCESS:
        assert bench.guard.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert said in capfd.readouterr().err
    world.spin(0.2)
    assert bench.said == []


def test_a_second_publisher_of_cmd_vel_is_named(world):
    bench = Bench(world).start()
    bench.other.create_publisher(Twist, "cmd_vel", 1)
    world.until(lambda: bench.trouble() == "another node publishes cmd_vel too; only the guard may")


def test_simulated_time_without_a_clock_keeps_it_standing_and_is_said(world):
    bench = Bench(world, use_sim_time=True).start()
    world.spin(1.5)
    assert bench.said == []
    assert bench.guard._guard.state.name == "WAITING"
    assert bench.guard._refusal.endswith("in the future")
    clock = bench.other.create_publisher(Clock, "/clock", 1)
    bench.other.create_timer(0.01, lambda: clock.publish(Clock(clock=bench.other.get_clock().now().to_msg())))
    bench.drives()


@pytest.mark.slow
def test_200_000_fuzzed_messages_bring_nothing_outside_the_envelope(world):
    bench = Bench(world).start()
    guard, rng, sent = bench.guard, random.Random(0), []
    guard.destroy_timer(guard._timer)
    guard._timer = None
    guard._send = sent.append
    wild = [math.nan, math.inf, -math.inf, 1e308, 0.0, 0.1, -0.1, 0.6, 5e-324]
    for k in range(200_000):
        message = TwistStamped()
        message.header.stamp = guard.get_clock().now().to_msg()
        sane = (k // 500) % 2
        twist = message.twist
        twist.linear.x, twist.angular.z = (0.05, 0.1) if sane else (rng.choice(wild), rng.choice(wild))
        if not sane:
            twist.linear.y = rng.choice(wild)
            message.header.stamp.sec += rng.choice([0, 0, -1, 1, 1000])
        guard._propose(message)
        guard._tick()
        if guard._guard.state.name == "STOPPED" and sane:
            guard._guard.reset(time.monotonic())
    assert len(sent) > 100_000
    assert any(command.linear_mps for command in sent)
    for command in sent:
        assert 0 <= command.linear_mps <= 0.1
        assert abs(command.angular_radps) <= 0.6


def test_as_a_process_it_walks_every_transition_and_ends_with_zeros(world, process):
    guard = process("guard", "base_timeout:=0.5", namespace="alone")
    other = world.add(rclpy.create_node("other", namespace="alone", context=world.context))
    change = world.client(other, ChangeState, "guard/change_state")
    state = world.client(other, GetState, "guard/get_state")

    def now() -> str:
        answer = state.call_async(GetState.Request())
        world.until(answer.done)
        return answer.result().current_state.label

    def go(transition: int) -> str:
        answer = change.call_async(ChangeState.Request(transition=Transition(id=transition)))
        world.until(answer.done)
        assert answer.result().success
        return now()

    assert now() == "unconfigured"
    assert go(Transition.TRANSITION_CONFIGURE) == "inactive"
    assert go(Transition.TRANSITION_CLEANUP) == "unconfigured"
    assert go(Transition.TRANSITION_CONFIGURE) == "inactive"
    assert go(Transition.TRANSITION_ACTIVATE) == "active"
    assert go(Transition.TRANSITION_DEACTIVATE) == "inactive"
    assert go(Transition.TRANSITION_ACTIVATE) == "active"
    said = []
    other.create_subscription(Twist, "cmd_vel", said.append, 100)
    proposals = other.create_publisher(TwistStamped, "policy/proposed_cmd_vel", 1)

    def propose() -> None:
        message = TwistStamped()
        message.header.stamp = other.get_clock().now().to_msg()
        message.twist.linear.x = 0.08
        proposals.publish(message)

    other.create_timer(0.1, propose)
    world.until(lambda: said and said[-1].linear.x == pytest.approx(0.08))
    guard.send_signal(signal.SIGTERM)
    world.until(lambda: guard.poll() is not None)
    world.spin(0.3)
    assert guard.returncode == 0
    assert [message.linear.x for message in said[-20:]] == [0.0] * 20


def test_wrong_parameters_at_start_end_the_process_with_2(process):
    assert process("guard", "rate_hz:=5000.0").wait(30) == 2


def test_what_cannot_be_configured_ends_the_process_with_1(process):
    assert process("guard", "autostart:=true", "bundle:=/nowhere").wait(30) == 1
