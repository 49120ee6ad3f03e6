"""What the launch files ask for exists in the nodes, in every combination of arguments, and nothing moves by itself."""

from __future__ import annotations

import ast
import itertools
import json
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
from launch_file import LAUNCH, without_launch
from touchline_ros.together import NODES

FILES = sorted(LAUNCH.glob("*.launch.py"))


ROBOT = without_launch("robot.launch.py")
DEFAULTS = {name: default for name, default, *_ in ROBOT.ARGUMENTS}


def combinations() -> list[dict[str, str]]:
    """Every combination of the arguments that decide what is started."""
    values = {
        "source": ("", "match.mcap"),
        "bundle": ("", "/bundles/match"),
        "policy": ("off", "shadow", "on"),
        "mqtt": ("", "mqtt://localhost"),
        "announce": ("false", "true"),
        "record": ("", "/recordings"),
        "use_sim_time": ("false", "true"),
        "autostart": ("false", "true"),
    }
    return [DEFAULTS | dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def settings(node: str) -> dict[str, object]:
    return {setting.name: setting for setting in import_module(f"touchline_ros.{node}").SETTINGS}


def test_all_launch_files_are_there():
    assert [path.name for path in FILES] == [f"{name}.launch.py" for name in ("detector", "replay", "robot", "shadow")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_has_one_entry_and_uses_no_newer_part_of_launch_than_humble_has(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    assert "generate_launch_description" in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    imported = {
        f"{n.module}.{alias.name}"
        for n in tree.body
        if isinstance(n, ast.ImportFrom) and str(n.module).startswith("launch")
        for alias in n.names
    }
    assert imported <= {
        "launch.LaunchContext",
        "launch.LaunchDescription",
        "launch.actions.DeclareLaunchArgument",
        "launch.actions.IncludeLaunchDescription",
        "launch.actions.OpaqueFunction",
        "launch.actions.Shutdown",
        "launch.launch_description_sources.PythonLaunchDescriptionSource",
        "launch.substitutions.LaunchConfiguration",
        "launch_ros.actions.Node",
    }


@pytest.mark.parametrize("name", ["detector", "shadow", "replay"])
def test_what_a_launch_file_passes_on_are_arguments_of_the_whole_robots(name: str):
    tree = ast.parse((LAUNCH / f"{name}.launch.py").read_text(encoding="utf-8"))
    fixed = {key.value for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    declared = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument"
    }
    assert fixed | declared
    assert fixed | declared <= set(DEFAULTS)


def test_every_node_that_is_started_is_an_executable_of_touchline_ros():
    programs = {
        entry.name for entry in entry_points(group="console_scripts") if entry.value.startswith("touchline_ros")
    }
    asked = {node for given in combinations() for node in ROBOT.wanted(given)}
    assert asked | {"together"} == programs
    assert asked - {"guard"} == set(NODES)


def test_every_parameter_that_an_argument_sets_is_one_of_its_node_and_of_its_type():
    for given in combinations():
        for node, parameters in ROBOT.overrides(ROBOT.wanted(given), given).items():
            if find_spec(f"touchline_ros.{node}") is None:
                continue  # test_documented.py says that it is missing
            known = settings(node)
            for name, value in parameters.items():
                if name != "use_sim_time":  # rclpy's own
                    assert name in known, f"{node} has no parameter {name}"
                    assert type(value) is type(known[name].default), f"{node}: {name}"
                    assert not known[name].choices or value in known[name].choices


def test_nothing_that_moves_the_robot_starts_by_itself():
    for given in combinations():
        parameters = ROBOT.overrides(ROBOT.wanted(given), given)
        if given["policy"] == "on":
            assert "autostart" not in parameters["guard"]
        assert all(
            each.get("autostart", False) in (False, given["autostart"] == "true") for each in parameters.values()
        )


def test_what_is_not_asked_for_is_not_started():
    assert ROBOT.wanted(DEFAULTS) == ["event_detector"]
    assert ROBOT.wanted(DEFAULTS | {"policy": "shadow", "mqtt": "mqtt://b"}) == [
        "event_detector",
        "policy",
        "guard",
        "mqtt_gateway",
    ]


def test_parameters_are_written_for_nodes_in_any_namespace(tmp_path: Path):
    path = Path(ROBOT.written({"guard": {"mode": "shadow"}}))
    path = path.rename(tmp_path / path.name)
    assert json.loads(path.read_text()) == {"/**/guard": {"ros__parameters": {"mode": "shadow"}}}
