"""The policy as a node: it proposes at once and at its rate, for what it can use, and says what it cannot."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, TwistStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from touchline_ros.policy import PolicyNode

POLICIES = Path(__file__).resolve().parents[4] / "examples" / "policies"


class Bench:
    """An active policy in this process, with what it proposes and reports."""

    def __init__(self, world, bundle: str, **parameters) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        overrides.append(Parameter("bundle", value=str(POLICIES / bundle)))
        self.world = world
        self.policy = world.add(PolicyNode(context=world.context, parameter_overrides=overrides))
        self.other = world.add(rclpy.create_node("other", context=world.context))
        self.proposals, self.health = [], []
        self.other.create_subscription(TwistStamped, "policy/proposed_cmd_vel", self.proposals.append, 100)
        self.other.create_subscription(DiagnosticArray, "/diagnostics", self.health.append, 10)
        assert self.policy.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.policy.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def every(self, seconds: float, kind, topic: str, make) -> None:
        publisher = self.other.create_publisher(kind, topic, 1)
        self.world.until(publisher.get_subscription_count)

        def publish() -> None:
            message = make()
            message.header.stamp = self.other.get_clock().now().to_msg()
            publisher.publish(message)

        self.other.create_timer(seconds, publish)

    def trouble(self) -> str:
        return self.health[-1].status[0].message if self.health else ""


def picture(column: int | None = 130, **changed) -> Image:
    drawn = np.random.default_rng().integers(0, 5, (120, 160, 3), np.uint8)
    if column is not None:
        drawn[40:80, column - 20 : column + 20] = 255
    fields = {"height": 120, "width": 160, "step": 480, "encoding": "rgb8", **changed}
    message = Image(**fields)
    message.data.frombytes(drawn.tobytes())
    return message


def test_it_turns_to_the_target_with_the_stamp_of_the_picture_and_at_its_rate(world):
    bench = Bench(world, "tracker")
    bench.every(1 / 30, Image, "image", picture)
    world.until(lambda: len(bench.proposals) >= 25)
    stamps = [one.header.stamp.sec + one.header.stamp.nanosec / 1e9 for one in bench.proposals]
    gaps = np.diff(stamps)
    assert (gaps > 0).all()
    assert np.mean(gaps[2:]) == pytest.approx(0.1, abs=0.02)
    assert {one.twist.angular.z for one in bench.proposals} == {-0.3}  # it is to the right of the middle
    assert {one.twist.linear.x for one in bench.proposals} == {0.1}


def test_a_vector_policy_follows_a_point(world):
    bench = Bench(world, "follow")
    point = PointStamped()
    point.point.x, point.point.y = 1.0, 1.0
    bench.every(0.05, PointStamped, "target", lambda: point)
    world.until(lambda: bench.proposals and bench.proposals[-1].twist.angular.z == 0.6)
    point.point.y = math.nan
    world.until(lambda: bench.trouble() == "target_bearing_rad is not finite")
    count = len(bench.proposals)
    world.spin(0.5)
    assert len(bench.proposals) <= count + 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: picture(encoding="16UC1"), "encoding '16UC1' is not taken"),
        (lambda: picture(step=20), "step is 20; a row of 160 pixels in rgb8 has 480 bytes"),
        (lambda: Image(encoding="rgb8"), "an image of 0 x 0 holds no picture"),
    ],
)
def test_a_picture_that_is_none_is_named_once_and_answered_by_nothing(world, capfd, make, said):
    bench = Bench(world, "tracker")
    bench.every(0.05, Image, "image", make)
    world.until(lambda: bench.trouble().startswith(said))
    assert bench.proposals == []
    assert capfd.readouterr().err.count("proposes nothing") == 1


def test_a_frozen_camera_is_noticed(world):
    bench = Bench(world, "tracker")
    still = picture()
    bench.every(0.05, Image, "image", lambda: still)
    world.until(lambda: bench.trouble().startswith("the camera is frozen"))
    assert len(bench.proposals) == 1


def test_silence_is_said(world):
    bench = Bench(world, "tracker")
    world.until(lambda: bench.trouble() == "no new observation comes in")


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        ("", "bundle: is empty; name the directory of a bundle with a policy"),
        ("/nowhere", "bundle: /nowhere: is not a bundle directory"),
    ],
)
def test_without_its_bundle_it_is_not_configured(world, capfd, bundle, said):
    node = PolicyNode(context=world.context, parameter_overrides=[Parameter("bundle", value=bundle)])
    assert world.add(node).trigger_configure() == TransitionCallbackReturn.FAILURE
    assert said in capfd.readouterr().err
