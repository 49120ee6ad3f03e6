"""Steps keep what they made, go on where they were killed, and say what happened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from kfp.dsl import Dataset, Metrics

from cloud_train.pipelines import step as steps
from cloud_train.pipelines.gate import GateError, require
from cloud_train.pipelines.step import LOG, STORE, step, tree_sha256
from cloud_train.provenance import PIPELINE_RUN
from cloud_train.recordings import DataError

CALLS = []


@step("double {times}", "doubled", "figures")
def double(*, text, times, doubled, figures, pipeline_run="") -> int:
    CALLS.append(times)
    Path(doubled.path).mkdir(exist_ok=True)
    if times == 13:
        msg = "13: is not a good number"
        raise DataError(msg)
    (Path(doubled.path) / "text").write_text(Path(text.path).read_text() * times)
    figures.log_metric("letters", len(pipeline_run))
    return times


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls the step as kfp does, with artifacts in places that are new each time."""
    CALLS.clear()
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    monkeypatch.setenv(LOG, str(tmp_path / "run" / "steps.jsonl"))
    monkeypatch.setenv(PIPELINE_RUN, "")
    monkeypatch.delenv(PIPELINE_RUN)  # a step sets it; what it was comes back afterwards
    (tmp_path / "run").mkdir()
    text, count = tmp_path / "text", iter(range(100))
    text.write_text("ab")

    def call(times, **more):
        place = tmp_path / str(next(count))
        place.mkdir()
        made = {"doubled": Dataset(uri=str(place / "doubled")), "figures": Metrics(uri=str(place / "figures"))}
        result = double(text=Dataset(uri=str(text)), times=times, **made, **more)
        return result, made

    call.text, call.log = text, tmp_path / "run" / "steps.jsonl"
    return call


def states(log: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [(line["step"], line["state"]) for line in lines if line["state"] != "started"]


def test_what_was_made_of_the_same_is_kept(run):
    first, made = run(2, pipeline_run="one")
    again, kept = run(2, pipeline_run="another")
    assert (first, again, CALLS) == (2, 2, [2])
    assert kept["doubled"].path == made["doubled"].path
    assert kept["doubled"].metadata == made["doubled"].metadata
    assert kept["figures"].metadata["letters"] == 3
    assert made["doubled"].metadata["sha256"] == tree_sha256(Path(made["doubled"].path))
    assert states(run.log) == [("double 2", "done"), ("double 2", "kept")]


def test_other_contents_parameters_or_code_are_made_anew(run, monkeypatch):
    run(2)
    run(3)
    run.text.write_text("cd")
    _, made = run(2)
    assert (Path(made["doubled"].path) / "text").read_text() == "cdcd"
    monkeypatch.setattr(steps, "code_sha256", lambda: "other")
    run(2)
    assert CALLS == [2, 3, 2, 2]


def test_a_step_that_failed_says_why_and_goes_on_in_its_folder(run, monkeypatch):
    with pytest.raises(DataError):
        run(13)
    left = list(Path(os.environ[STORE]).glob(".*/doubled"))
    assert len(left) == 1
    line = json.loads(run.log.read_text().splitlines()[-1])
    assert (line["state"], line["reason"]) == ("failed", "13: is not a good number")
    seen = []
    monkeypatch.setattr(Path, "write_text", lambda self, _text: seen.append(self))
    with pytest.raises(DataError):
        run(13)
    assert list(Path(os.environ[STORE]).glob(".*/doubled")) == left


def test_nothing_begins_once_a_stop_was_asked_for_but_what_cleans_up(run):
    cleaned = []
    step("clean", kept=False, always=True)(lambda: cleaned.append(1))
    (run.log.parent / steps.STOP).touch()
    with pytest.raises(SystemExit):
        run(2)
    assert CALLS == []
    step("clean", kept=False, always=True)(lambda: cleaned.append(1))()
    assert cleaned == [1]
    assert states(run.log) == [("double 2", "skipped"), ("clean", "done")]


def test_without_a_store_a_step_works_where_it_is_told(run, monkeypatch):
    monkeypatch.delenv(STORE)
    _, made = run(2)
    assert made["doubled"].path.endswith("0/doubled")
    assert made["doubled"].metadata["sha256"]


@pytest.mark.parametrize("measured", [0.49, float("nan")])
def test_the_gate_is_closed_below_its_minimum(measured):
    require("F1", 0.5, 0.5)
    with pytest.raises(GateError, match=f"the gate is closed: F1 is {measured:.3f} and must be at least 0.500"):
        require("F1", measured, 0.5)
