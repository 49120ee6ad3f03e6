"""What a run leaves behind: whole or not at all, readable while it grows, here and on S3, and refused in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clouds import empty_account, running_moto
from planted import Planted
from safetensors import safe_open

from cloud_train.debugger.hook import Hook
from cloud_train.debugger.reductions import BINS, reduced
from cloud_train.debugger.saved import Collection, End, RunInfo, Saver
from cloud_train.debugger.spelling import read_collections
from cloud_train.debugger.trial import Trial
from cloud_train.recordings import DataError

NAN = np.array([1.0, np.nan, np.inf], np.float32)


def test_what_was_saved_is_read_by_collection_name_step_and_mode(tmp_path: Path):
    run = Planted(tmp_path, hyperparameters={"eta": 0.1})
    run.put(0, "train", {"losses": {"loss": np.float64(0.5)}, "weights": {"a/kernel": np.eye(3, dtype=np.float16)}})
    run.put(7, "eval", {"losses": {"loss": np.float64(0.25)}, "inputs": {"x": NAN}})
    trial = run.end("stopped", "because").trial
    assert trial.run.hyperparameters == {"eta": 0.1}
    assert trial.collections() == ["inputs", "losses", "weights"]
    assert trial.names() == ["a/kernel", "loss", "x"]
    assert trial.names("weights") == trial.names(regex="^a/") == ["a/kernel"]
    assert trial.names(mode="eval") == ["loss", "x"]
    assert (trial.steps(), trial.steps("loss", "eval"), trial.modes("loss")) == ([0, 7], [7], ["train", "eval"])
    assert trial.tensor("a/kernel", 0).dtype == np.float16
    assert np.array_equal(trial.tensor("x", 7), NAN, equal_nan=True)
    assert trial.values("loss", "eval")[1][0] == 0.25
    assert (trial.end.status, trial.end.reason) == ("stopped", "because")
    with pytest.raises(DataError, match=r"no collection 'weight'; did you mean weights?"):
        trial.names("weight")
    with pytest.raises(DataError, match=r"no tensor 'loss' was saved at step 3"):
        trial.tensor("loss", 3)


def test_other_tools_read_it(tmp_path: Path):
    Planted(tmp_path).put(12, "train", {"weights": {"w": np.arange(3)}})
    with safe_open(tmp_path / "debug/steps/train-000000012.safetensors", framework="numpy") as file:
        assert file.get_tensor("w").tolist() == [0, 1, 2]
        assert json.loads(file.metadata()["collections"]) == {"weights": ["w"]}


def test_a_reader_sees_a_run_grow_from_another_process(tmp_path: Path):
    run = Planted(tmp_path)
    trial = run.trial
    assert (trial.steps(), trial.end) == ([], None)
    writer = (
        "import sys; from cloud_train.debugger.saved import *\n"
        "s = Saver(sys.argv[1], RunInfo('keras', 'j'), go_on=True)\n"
        "for i in range(200): s.save(i, 'train', {'weights': {'w': np.full(50_000, i, np.float32)}})\n"
        "s.end(End('completed'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", writer, str(tmp_path)]) as process:
        seen = 0
        while trial.end is None:
            assert process.poll() in (None, 0)
            trial.refresh()
            steps = trial.steps("w")
            if steps:
                assert (trial.tensor("w", steps[-1]) == steps[-1]).all()  # never half of one
            seen += len(steps) not in (0, 200)
    assert seen
    assert trial.steps("w") == list(range(200))


def test_a_step_that_is_saved_again_is_read_again(tmp_path: Path):
    run = Planted(tmp_path).put(3, "global", {"losses": {"a": np.float64(1)}})
    trial = run.trial
    assert trial.number("a", 3, "mean") == 1
    run.put(3, "global", {"losses": {"a": np.float64(2)}, "metrics": {"b": np.float64(3)}})
    trial.refresh()
    assert (trial.number("a", 3, "mean"), trial.names()) == (2, ["a", "b"])


def test_what_is_no_run_is_refused_in_a_sentence(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no debug/run.json, so no hook has begun to save there"):
        Trial(tmp_path)
    run = Planted(tmp_path).put(0, "train", {"weights": {"w": np.zeros(99)}})
    with pytest.raises(DataError, match=r"holds a run already; name another folder, or remove this one"):
        Planted(tmp_path)
    about = tmp_path / "debug" / "run.json"
    whole = about.read_text()
    about.write_text(whole.replace('"format": 1', '"format": 2'))
    with pytest.raises(DataError, match=r"run.json: is of format 2; this version reads format 1"):
        run.trial  # noqa: B018
    about.write_text(whole[:40])
    with pytest.raises(DataError, match=r"run.json: cannot be read"):
        run.trial  # noqa: B018
    about.write_text(whole)
    step = tmp_path / "debug/steps/train-000000000.safetensors"
    step.write_bytes(step.read_bytes()[:100])
    with pytest.raises(DataError, match=r"is no whole step of a run"):
        run.trial  # noqa: B018


def test_on_s3_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with running_moto() as endpoint:
        empty_account(endpoint, monkeypatch, tmp_path)
        where = "s3://results/jobs/one"
        saver = Saver(where, RunInfo("keras", "one"))
        saver.save(0, "train", {"losses": {"loss": np.float64(0.5)}})
        trial = Trial(where)
        assert trial.values("loss") == ([0], [0.5])
        saver.save(10, "train", {"losses": {"loss": np.float64(0.4)}})
        saver.end(End("completed"))
        trial.refresh()
        assert (trial.steps("loss"), trial.end.status) == ([0, 10], "completed")
        saver.place.append("system.jsonl", b"1\n")
        saver.place.append("system.jsonl", b"2\n")
        assert saver.place.read("system.jsonl") == b"1\n2\n"
        assert saver.stop_request() is None
        with pytest.raises(DataError, match=r"s3://results/nothing: holds no debug/run.json"):
            Trial("s3://results/nothing")


def test_a_hook_saves_what_its_collections_say(tmp_path: Path):
    save = {
        "losses": Collection(2),
        "weights": Collection(3, start_step=3, end_step=9, include="kernel"),
        "gradients": Collection(4, reductions=("min", "max", "mean", "std", "l2", "histogram")),
        "trees": Collection(0),
    }
    gradient = np.array([[3.0, -4.0], [0.0, 0.0]])
    with Hook(tmp_path, RunInfo("other", "mine"), save=save) as hook:
        for step in range(12):
            due = hook.due(step)
            tensors = {
                "losses": {"loss": 1.0},
                "weights": {"kernel": np.ones(2), "bias": np.ones(2)},
                "gradients": {"g": gradient},
            }
            hook.save(step, "train", {name: group for name, group in tensors.items() if name in due})
    trial = Trial(tmp_path)
    assert trial.steps("loss") == [0, 2, 4, 6, 8, 10]
    assert trial.steps("kernel") == [3, 6]
    assert "bias" not in trial.names()
    assert trial.steps("g") == [0, 4, 8]
    assert (trial.number("g", 4, "min"), trial.number("g", 4, "max"), trial.number("g", 4, "l2")) == (-4, 3, 5)
    assert not trial.whole("g", 4)
    edges, counts = trial.reduction("g", 4, "histogram")
    assert (counts.sum(), edges[0], edges[-1], len(edges)) == (4, -4, 3, BINS + 1)
    assert (trial.end.status, trial.run.save["weights"].end_step) == ("completed", 9)


def test_a_job_that_fails_says_so(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Hook(tmp_path, RunInfo("other", "mine"), save={}):
        1 / 0  # noqa: B018
    assert Trial(tmp_path).end.reason == "ZeroDivisionError: division by zero"


def test_reductions_keep_nan_and_count_units():
    assert np.isnan(reduced(NAN, ("mean",))["mean"])
    assert reduced(NAN, ("histogram",))["histogram"][1].sum() == 1
    outputs = np.array([[[1.0, 0.0], [0.0, 0.0]]], np.float32)  # [1, 2, 2]: two values of two units
    found = reduced(outputs, ("zeros", "active", "saturated"), activation="relu")
    assert (found["zeros"], found["active"].tolist(), "saturated" in found) == (0.75, [0.5, 0.0], False)


def test_collections_on_a_command_line():
    usual = {"metrics": Collection(1), "trees": Collection(5)}
    found = read_collections("metrics:interval=3,reductions=min+max", usual)
    assert found == {"metrics": Collection(3, reductions=("min", "max")), "trees": Collection(5)}
    for text, said in {
        "metric:interval=3": "no collection 'metric'; did you mean metrics?",
        "metrics:intervall=3": "no setting of collection metrics 'intervall'; did you mean interval?",
        "metrics:interval=x": "collection metrics: expected `int`, got `str`",
        "interval=3": "belongs to no name",
    }.items():
        with pytest.raises(DataError, match=said):
            read_collections(text, usual)
