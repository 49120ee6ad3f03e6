"""Twenty faults of live sources, several at the same time: said everywhere within 3 s, over within 5 s of their end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.by_hand
def test_every_fault_is_said_over_mqtt_on_the_page_and_on_metrics_and_ends(tmp_path):
    command = [sys.executable, "benchmarks/live_faults.py", "--cycles", "20", "--sources", "5"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "faults.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = json.loads((tmp_path / "faults.json").read_text())
    assert (found["cycles"], found["sources"], found["alive"]) == (20, 5, True), done.stderr
    for name, fault in found["faults"].items():
        assert (name, fault["cycles"], fault["said_in_time"], fault["over_in_time"]) == (name, 2, 2, 2), done.stdout
    assert done.returncode == 0
