"""Whatever happens to the policy or its camera, the robot stands within 250 ms; also when the guard itself dies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from ros_robot import FakeBase, Robot, wait


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_200_faults_of_policy_and_camera_end_at_zero_in_time(tmp_path: Path):
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(BENCHMARKS / "ros_faults.py"), "--faults", "200", "--robots", "3"]
    done = subprocess.run([*command, "--json", str(figures)], check=False, capture_output=True, text=True, timeout=850)
    assert figures.exists(), done.stderr
    faults = json.loads(figures.read_text())["faults"]
    assert len(faults) == 200
    assert [fault for fault in faults if fault["zero_ms"] > 250] == []
    assert sum(fault["outside"] for fault in faults) == 0
    assert max(fault["metres"] for fault in faults) < 0.1 * 0.25
    assert done.returncode == 0


@pytest.mark.parametrize("script", ["ros_faults", "ros_detector"])
def test_the_benchmarks_teach_with_an_example(script):
    command = [sys.executable, str(BENCHMARKS / f"{script}.py"), "--help"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"example: scripts/ros python benchmarks/{script}.py" in " ".join(said.split())


def test_a_guard_that_is_killed_leaves_the_base_its_own_timeout(tmp_path: Path):
    robot = Robot("robot", tmp_path)
    try:
        robot.ready()
        robot.guard.kill()
        at = time.monotonic()

        def stands() -> bool:
            robot.base.move(time.monotonic())
            return robot.base.stands

        assert wait(stands, 5)
        assert time.monotonic() - at < robot.base.timeout_seconds + 0.25
    finally:
        robot.close()


def test_the_base_goes_on_at_its_last_velocity_until_its_timeout():
    base = FakeBase(timeout_seconds=0.5)
    base.hear(0.1, 0.0, 10.0)
    base.move(10.2)
    assert not base.stands
    assert base.metres == pytest.approx(0.02)
    base.move(99.0)
    assert base.stands
    assert base.metres == pytest.approx(0.05)
    base.hear(0.0, 0.6, 100.0)
    base.move(100.1)
    assert base.radians == pytest.approx(0.06)
