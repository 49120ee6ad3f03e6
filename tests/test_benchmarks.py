"""Each benchmark runs, on little, and its figures hold what does not depend on how busy the machine is."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COST = {"wall_ms", "cpu_ms"}
FAULTS = (
    "kill_device", "kill_broker", "power_cut", "network_profiles", "long_outage", "event_rate", "outbox_disk",
)  # fmt: skip
SCRIPTS = (
    "pipeline", "peers", "log_mel", "memory", "extraction", "training", "networks", "policies", "debugger", "report",
    "live", "live_faults", "soak", *FAULTS,
)  # fmt: skip


@pytest.fixture
def figures(tmp_path):
    """Run a benchmark and read the JSON it writes; what it prints is in `figures.printed`."""

    def run(script: str, *options: str) -> dict:
        target = tmp_path / f"{script}.json"
        done = benchmark(script, *options, "--json", str(target))
        assert done.returncode == 0, done.stderr
        assert "| ---" in done.stdout
        return json.loads(target.read_text(encoding="utf-8"))

    return run


def benchmark(script: str, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), *options]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": search}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=280)


def check_costs(result: dict) -> None:
    for cost in (*result["stages"].values(), *result["bare"].values(), result["bare_sum"], result["loop"]):
        assert set(cost) == COST
        assert all(math.isfinite(value) and value >= 0 for value in cost.values())


def test_pipeline_on_the_shipped_bundle(figures):
    found = figures("pipeline", "--bundles", "demo", "--seconds", "3", "--repeats", "1")
    demo = found["bundles"]["demo"]
    check_costs(demo)
    assert demo["seconds"] == 3
    assert demo["looks"] == {"rgb": 5, "flow": 4, "audio": 1}
    assert set(demo["bare"]) == {"PyAV decode", "rgb invokes", "flow invokes", "audio invokes", "OpenCV flow", "mel"}
    assert {"decode", "scale", "flow features", "rgb model", "fusion"} <= set(demo["stages"])
    assert 0 < demo["ratio_wall"] < math.inf
    assert 0 < demo["ratio_cpu"] < math.inf
    assert demo["real_time_factor"] < 1
    assert found["machine"]["cores"] >= 1


@pytest.mark.slow
def test_pipeline_on_a_bundle_of_random_weights(figures):
    found = figures("pipeline", "--bundles", "tiny", "--seconds", "3", "--repeats", "1")
    check_costs(found["bundles"]["tiny"])
    assert found["bundles"]["tiny"]["looks"] == {"rgb": 5, "flow": 1, "audio": 1}


def test_peers_on_the_shipped_model(figures):
    found = figures("peers", "--models", "demo", "--looks", "3", "--repeats", "1")
    (case,) = found["cases"]
    ours, bare = case["runtimes"]["Touchline"], case["runtimes"]["LiteRT, bare"]
    assert ours["ratio_to_ours"] == 1
    assert bare["max_difference"] == 0
    assert 0 < bare["ratio_to_ours"] < math.inf
    for name, row in case["runtimes"].items():
        assert row.get("missing") or row["same_label"] == 1, name


def test_log_mel_equals_librosas(figures):
    pytest.importorskip("librosa")
    found = figures("log_mel", "--repeats", "1")
    assert {setting["sample_rate_hz"] for setting in found["settings"]} >= {8000, 16000, 48000}
    for setting in found["settings"]:
        assert setting["max_difference_db"] <= 1e-4
        assert math.isfinite(setting["ratios"]["librosa"]["wall"])


def test_memory_of_a_run(figures):
    found = figures("memory", "--minutes", "1", "--interval", "0.05")
    memory = found["memory"]
    assert memory["seconds"] >= 60
    assert 0 < memory["peak_mb"] <= 300
    assert math.isfinite(memory["slope_mib_per_hour"])
    assert set(found["start_seconds"]) == {"python", "import edge", "touchline --help"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_teaches_with_an_example(script):
    done = benchmark(script, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert f"example: python benchmarks/{script}.py" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("script", "option"), [("pipeline", "--bundles"), ("peers", "--models")])
def test_an_unknown_name_is_refused_in_a_sentence(script, option):
    done = benchmark(script, option, "nothing")
    assert done.returncode == 2
    assert "'nothing'; there are" in done.stderr


@pytest.mark.slow
def test_extraction_beside_decoding(figures):
    found = figures("extraction", "--seconds", "2", "--copies", "2", "--rounds", "1", "--recordings", "8", "16")
    for row in found["per_core"]:
        assert 0 < row["of_decode_speed"] < math.inf
        assert row["read_back_faster"] >= 5
    assert [row["recordings"] for row in found["memory"]] == [8, 16]
    assert all(10 < row["peak_mb"] < 2000 for row in found["memory"])
    few, many = (row["core_hours"] for row in found["projections"])
    assert many / few == pytest.approx(1_133_158 * 20 / 190_000, rel=0.05)


@pytest.mark.slow
def test_training_beside_keras(figures):
    found = figures("training", "--pixels", "32", "--epochs", "3")
    for name in ("ours", "ours, no variation", "Keras' own"):
        assert found[name]["looks_a_second"] > 0
    assert 0 <= found["ours"]["waited_share"] < 1


@pytest.mark.slow
def test_report_of_a_table(figures):
    found = figures("report", "--rows", "2000", "--rounds", "10", "--repeats", "1")["report"]
    assert 0.1 < found["page_mb"] <= 8
    assert found["pictures"] > 12
    assert 0 < found["seconds"][0] < 200


@pytest.mark.slow
def test_the_debuggers_hook(figures):
    found = figures(
        "debugger", "--pixels", "32", "--batch", "2", "--steps", "4", "--rows", "3000", "--boosting", "5",
        "--rounds", "1",
    )  # fmt: skip
    assert found["xgboost"]["rounds"] == 5
    for part in (found["keras"], found["xgboost"]):
        assert math.isfinite(part["overhead_percent"])
        assert part["inside_percent"] > 0
    assert found["keras"]["step_ms"] > 0
    assert found["xgboost"]["seconds"] > 0


@pytest.mark.slow
def test_networks_by_width(figures):
    (row,) = figures("networks", "--networks", "tiny", "--pixels", "96", "--rounds", "3")["networks"]
    assert row["network"] == "MobileNetV2 x 0.35"
    assert row["int8_mb"] < row["float_mb"] / 2
    assert 0 < row["int8_ms"] < math.inf


@pytest.mark.slow
def test_policies(figures):
    found = figures("policies", "--alone", "--rounds", "1", "--updates", "1", "--seconds", "1", "--episodes", "2")
    assert found["steps_a_second"]["ours"] > 0
    assert found["pictures a second"] > found["observations a second"] > 0
    assert set(found["decision_us"]) == {"FollowTarget-v0", "ObjectTracker-v0"}
    assert found["trained"]["steps"] >= 2048
