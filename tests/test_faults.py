"""Nothing that the outbox has called safe is lost: the fault scripts, sampled; whole they stand in the README."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def figures(tmp_path):
    def run(script, *options):
        target = tmp_path / "figures.json"
        command = [sys.executable, str(HERE / f"{script}.py"), *options, "--json", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(target.read_text())

    return run


@pytest.mark.alone
def test_200_kills_of_the_device_lose_nothing(figures):
    found = figures("kill_device", "--kills", "200")
    assert found["kills"] == 200
    assert found["events"] > 2000
    assert found["lost"] == found["out_of_order"] == 0
    assert found["most_duplicates_a_kill"] <= 20
    assert found["restart_seconds"] <= 2
    assert set(found["moments"]) == {
        "any time", "before commit", "after commit", "before settling", "after settling", "while connecting",
    }  # fmt: skip


def test_the_judge_of_kills_finds_what_is_called_safe_too_soon(figures):
    assert figures("kill_device", "--kills", "24", "--control")["lost"] > 0


def test_20_kills_of_mosquitto_lose_nothing_from_end_to_end(figures):
    whole, plain = figures("kill_broker", "--kills", "20")["modes"]
    assert (whole["delivery"], whole["lost"]) == ("end-to-end", 0)
    assert whole["events"] > 500
    # The control: with PUBACK alone a broker that is killed takes events along.
    assert (plain["delivery"], plain["lost"] > 0) == ("broker", True)


def test_20_power_cuts_lose_nothing_and_the_control_does(figures):
    full, normal = figures("power_cut", "--cuts", "20")["settings"]
    assert (full["lost"], full["damaged"]) == (0, 0)
    assert full["acknowledged"] > 2000
    assert normal["lost"] > 0


def test_twelve_bad_networks_lose_nothing(figures):
    rows = figures("network_profiles", "--seconds", "3")["profiles"]
    assert len(rows) == 12
    assert [row["profile"] for row in rows if row["lost"]] == []
    assert all(row["events"] == 90 for row in rows)


@pytest.mark.alone
def test_a_long_outage_drains_in_order_beside_live_events(figures):
    found = figures("long_outage", "--hours", "4")
    assert found["events"] == 4 * 3600
    assert found["lost"] == found["out_of_order"] == 0
    assert found["disk_mb"] / found["events"] * 72 * 3600 <= 256
    assert found["live_events"] > 0
    assert found["live_p99_ms"] <= 2000


@pytest.mark.alone
def test_a_thousand_events_a_second_lose_nothing_where_others_do(figures):
    ours, paho, bridge = figures("event_rate", "--seconds", "6", "--burst", "3000")["ways"]
    assert ours["lost"] == 0
    assert ours["enqueue_p99_ms"] <= 20
    assert paho["lost"] > 0
    assert bridge["lost"] > 0


def test_errors_of_the_disk_leave_the_accounts_exact(figures):
    for row in figures("outbox_disk", "--every", "12")["failures"]:
        assert row["lost"] == row["inexact"] == row["crashed"] == 0, row
        assert row["acknowledged"] > 100
