"""A node's parameters as a table: declared with descriptions and ranges, checked whenever they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Setting:
    """One parameter: its default, what it means, its least and greatest value or its choices.

    `live` ones take effect at once; the others only while the node is not active, and are refused then.
    `check` returns what is wrong with a value, in words, or None.
    """

    name: str
    default: Value
    description: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    check: Callable[[Any], str | None] = lambda _value: None


def declare(node: Node, settings: Sequence[Setting], changed: Callable[[], None], active: Callable[[], bool]) -> None:
    """Declare all settings on a node; `changed` is called after live ones have taken effect.

    A value that is refused, at start or later, is answered by a sentence that names the parameter.
    """
    for setting in settings:
        try:
            node.declare_parameter(setting.name, setting.default, _descriptor(setting))
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            raise SettingError(str(error)) from None
    known = {setting.name: setting for setting in settings}

    def check(parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            setting = known.get(parameter.name)
            why = None if setting is None else _wrong(setting, parameter.value, active=active())
            if why:
                return SetParametersResult(successful=False, reason=f"{parameter.name}: {why}")
        if afterwards is None:
            _soon(node, changed)
        return SetParametersResult(successful=True)

    start = [(known[name], node.get_parameter(name).value) for name in known]
    for setting, value in start:
        why = _wrong(setting, value, active=False)
        if why:
            msg = f"{setting.name}: {why}"
            raise SettingError(msg)
    node.add_on_set_parameters_callback(check)
    afterwards = getattr(node, "add_post_set_parameters_callback", None)  # Humble has none
    if afterwards is not None:
        afterwards(lambda _parameters: changed())


class SettingError(Exception):
    """A parameter that cannot be used; the message names it and what would be right."""


def _soon(node: Node, call: Callable[[], None]) -> None:
    """Call as soon as the executor is free again: after the parameters that are just being checked have been set."""

    def once() -> None:
        node.destroy_timer(timer)
        call()

    timer = node.create_timer(0.0, once, clock=Clock(clock_type=ClockType.STEADY_TIME))


def _wrong(setting: Setting, value: Value, *, active: bool) -> str | None:
    if active and not setting.live:
        return "cannot change while the node is active; deactivate it first"
    if setting.choices and value not in setting.choices:
        return f"is {value!r}; it must be one of {', '.join(map(repr, setting.choices))}"
    return setting.check(value)


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=setting.description)
    if setting.choices:
        descriptor.additional_constraints = "one of " + ", ".join(setting.choices)
    if setting.least is not None and setting.most is not None:
        if isinstance(setting.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=setting.least, to_value=setting.most)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(setting.least), to_value=int(setting.most))]
    return descriptor
