"""The frame that every node lives in: parameters, diagnostics, autostart, a clean end."""

from __future__ import annotations

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from touchline_ros.health import Part, report
from touchline_ros.parameters import Setting, SettingError, declare

SETTINGS = (
    Setting("rate", 2.0, "how often, in hertz", 0.5, 10.0, live=True),
    Setting("mode", "a", "which of two", choices=("a", "b")),
    Setting("even", 2, "an even number", 0, 10, check=lambda value: None if value % 2 == 0 else "must be even"),
)


def made(world, changed=lambda: None, active=lambda: False, **parameters):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = LifecycleNode("subject", context=world.context, parameter_overrides=overrides)
    declare(node, SETTINGS, changed, active)
    return world.add(node)


def set_one(node, name, value) -> SetParametersResult:
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_parameters_say_what_they_mean_and_refuse_what_is_out_of_range(world):
    seen = []
    node = made(world, lambda: seen.append(node.get_parameter("rate").value))
    assert node.describe_parameter("rate").description == "how often, in hertz"
    assert not set_one(node, "rate", 99.0).successful
    assert set_one(node, "mode", "c").reason == "mode: is 'c'; it must be one of 'a', 'b'"
    assert set_one(node, "even", 3).reason == "even: must be even"
    assert set_one(node, "rate", 5.0).successful
    assert seen == [5.0]


def test_where_rclpy_has_no_callback_after_a_change_as_on_humble_it_takes_effect_too(world):
    class HumbleNode(LifecycleNode):
        add_post_set_parameters_callback = None

    seen = []
    node = world.add(HumbleNode("subject", context=world.context))
    declare(node, SETTINGS, lambda: seen.append(node.get_parameter("rate").value), lambda: False)
    assert set_one(node, "rate", 5.0).successful
    world.until(lambda: seen == [5.0])
    assert not set_one(node, "rate", 99.0).successful
    assert seen == [5.0]


def test_what_shapes_an_active_node_waits_until_it_is_not(world):
    node = made(world, active=lambda: True)
    assert set_one(node, "mode", "b").reason == "mode: cannot change while the node is active; deactivate it first"
    assert set_one(node, "rate", 3.0).successful


def test_a_wrong_parameter_at_start_is_one_sentence(world):
    with pytest.raises(SettingError, match="even: must be even"):
        made(world, even=3)


def test_a_node_reports_its_parts_once_a_second(world):
    node = made(world)
    report(node, lambda: [Part("camera"), Part("broker", "is gone", broken=True, values={"queued": 3})])
    heard = []
    listener = world.add(rclpy.create_node("listener", context=world.context))
    listener.create_subscription(DiagnosticArray, "/diagnostics", heard.append, 10)
    world.until(lambda: len(heard) == 2)
    camera, broker = heard[0].status
    assert (camera.name, camera.level, camera.message) == ("subject: camera", DiagnosticStatus.OK, "ok")
    assert (broker.name, broker.level, broker.message) == ("subject: broker", DiagnosticStatus.ERROR, "is gone")
    assert (broker.values[0].key, broker.values[0].value) == ("queued", "3")
