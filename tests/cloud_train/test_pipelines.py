"""All three pipelines from end to end on tiny settings, with kills, a planted failure and a closed gate."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import until

from cloud_train.__main__ import main
from cloud_train.pipelines.jobs.folders import read_status
from cloud_train.pipelines.record import steps
from edge.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVENT = (
    "event", "--set", "preset=tiny", "--set", "modalities=audio", "--set", "epochs=1", "--set", "head_epochs=0",
    "--set", "audio_epochs=1",
)  # fmt: skip
POLICY = ("policy", "--set", "budget_seconds=6", "--set", "episodes=2", "--set", "rollout=512")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cloud_train", *map(str, arguments)]


def run(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(command(*arguments), check=False, capture_output=True, text=True)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def the_run(out: Path) -> Path:
    return max((out / "runs").iterdir(), key=lambda folder: folder.name)


def test_the_event_pipeline_goes_on_after_a_kill_and_its_runs_are_read_back(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ("pipeline", "run", *EVENT, "--set", "minimum=0", "--out", out)
    first = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def split_is_done() -> bool:
        return (out / "runs").exists() and "split" in steps(the_run(out)) and steps(the_run(out))["split"].seconds

    assert until(split_is_done, 300)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    time.sleep(1.5)  # its children notice
    said = run(*arguments, "--json", tmp_path / "run.json")
    assert said.count("kept from before") == 3
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["state"], record["starts"], record["output"]) == ("done", 2, str(out / "bundle"))
    bundle = Bundle.load(out / "bundle")
    made = bundle.manifest.provenance
    assert made["pipeline_run"] == record["id"]
    assert made["data_sha256"]
    assert made["git_commit"] == record["commit"]
    confusion = record["steps"]["evaluate"]["outputs"]["confusion"]["metadata"]["confusionMatrix"]
    assert len(confusion["rows"]) == 3
    assert "<h2" in Path(record["steps"]["evaluate"]["outputs"]["report"]["path"]).read_text()

    closed = run(*arguments[:-2], "--set", "minimum=2", "--out", out, code=1)
    assert "the gate is closed: fused F1 is" in closed
    assert Bundle.load(out / "bundle").sha256 == bundle.sha256, "nothing is published"
    second = the_run(out).name
    assert main(["runs", "list", str(out)]) == 0
    assert re.search(rf"{second}\s+failed", capsys.readouterr().out)
    assert main(["runs", "show", str(out), record["id"], "--picture", str(tmp_path / "run.svg")]) == 0
    assert "evaluate: fused F1 = " in capsys.readouterr().out
    assert "done, " in (tmp_path / "run.svg").read_text()
    assert main(["runs", "compare", str(out), record["id"], second]) == 0
    assert re.search(r"minimum\s+0\.0\s+2\.0\s+\+2", capsys.readouterr().out)
    assert main(["runs", "show", str(out / "bundle")]) == 0
    assert f"run: {record['id']}\n" in capsys.readouterr().out
    assert main(["runs", "show", str(out), "nobody"]) == 2
    assert f"has no run 'nobody'; there are {record['id']}" in capsys.readouterr().err


@pytest.mark.by_hand  # its learner is loaded twice: 140 s
def test_the_policy_pipeline_survives_the_death_of_a_simulation_and_of_its_learner(tmp_path):
    out = tmp_path / "out"
    arguments = ("pipeline", "run", *POLICY, "--set", "minimum=0", "--out", out, "--json", tmp_path / "run.json")
    going = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def process(what: str) -> int:
        found = list((out / "jobs").glob(f"*-{what}/status.json"))
        return read_status(found[0].parent).process if found else 0

    def simulates() -> bool:
        return any("simulates" in file.read_text() for file in (out / "jobs").glob("*-simulation-1/log.txt"))

    assert until(simulates, 300)
    os.kill(process("simulation-1"), signal.SIGKILL)
    os.kill(process("learner"), signal.SIGKILL)
    said, _ = going.communicate(timeout=600)
    assert going.returncode == 0, said
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["figures"]["wait for training: simulation jobs started again"] == 1
    assert record["figures"]["wait for training: learner started again"] == 1
    assert record["steps"]["delete simulation app"]["state"] == "done"
    assert list((out / "jobs" / "apps").iterdir()) == []
    assert Bundle.load(out / "bundle").manifest.provenance["pipeline_run"] == record["id"]


def test_after_a_planted_failure_the_simulation_app_is_deleted_and_nothing_is_published(tmp_path):
    out = tmp_path / "out"
    said = run("pipeline", "run", *POLICY, "--set", "option.nonsense=1", "--out", out, code=1)
    assert "wait for training: failed: job policy-" in said
    assert "learner failed: " in said
    found = steps(the_run(out))
    assert found["delete simulation app"].state == "done"
    assert "evaluate" not in found
    assert list((out / "jobs" / "apps").iterdir()) == []
    assert not (out / "bundle").exists()
    for status in (out / "jobs").glob("*/status.json"):
        assert until(lambda place=status.parent: read_status(place).status in ("Failed", "Stopped"), 30)


def test_the_debugger_ends_a_run_that_learns_nothing_and_lets_a_good_one_pass(tmp_path):
    said = run("pipeline", "run", "debug", "--out", tmp_path, "--json", tmp_path / "bad.json", code=1)
    assert "rules: LossNotDecreasing: train-mlogloss was 2.30" in said
    record = json.loads((tmp_path / "bad.json").read_text())
    assert record["figures"]["train xgboost: rounds"] < 50, "stopped early"
    assert "evaluate" not in record["steps"], "the rest is skipped"
    page = Path(record["steps"]["train xgboost"]["outputs"]["report"]["path"]).read_text()
    assert "LossNotDecreasing" in page
    run("pipeline", "run", "debug", "--set", "eta=0.2", "--out", tmp_path, "--json", tmp_path / "good.json")
    record = json.loads((tmp_path / "good.json").read_text())
    assert record["figures"]["evaluate: accuracy"] > 0.9
    statuses = record["steps"]["train xgboost"]["outputs"]["metrics"]["metadata"]
    assert statuses["LossNotDecreasing"] == "NoIssuesFound"


def test_ctrl_c_ends_steps_and_jobs_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "out"
    arguments = ("pipeline", "run", "policy", "--set", "budget_seconds=600", "--out", out)
    going = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert until(lambda: list((out / "jobs").glob("*-learner/status.json")), 300)
    assert until(lambda: (out / "runs").exists() and "wait for training" in steps(the_run(out)), 300)
    time.sleep(1)
    going.send_signal(signal.SIGINT)
    _, said = going.communicate(timeout=300)
    assert going.returncode == 143, said
    assert "was stopped; the same command goes on" in said
    assert steps(the_run(out))["delete simulation app"].state == "done"
    for status in (out / "jobs").glob("*/status.json"):
        assert until(lambda place=status.parent: read_status(place).status in ("Stopped", "Failed"), 150)
