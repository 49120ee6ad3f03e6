"""The container contract in its parts: folders, channels, hosts, hyperparameters, failures, metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cloud_train.recordings import DataError
from cloud_train.sagemaker import (
    METRICS,
    channel,
    container,
    failures_told,
    hyperparameters,
    metric_definitions,
    metric_line,
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder shaped like /opt/ml, with nothing in it."""
    for name in ("input/config", "input/data", "model", "output/data"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def env(base: Path, **more: str) -> dict[str, str]:
    return {"SAGEMAKER_BASE_DIR": str(base), **more}


def configure(base: Path, name: str, content: object) -> None:
    (base / "input" / "config" / name).write_text(content if isinstance(content, str) else json.dumps(content))


def test_outside_sagemaker_there_is_no_container(tmp_path: Path):
    assert container(env(tmp_path)) is None


def test_places_are_those_of_the_tree_unless_variables_name_others(base: Path):
    here = container(env(base))
    assert (here.model, here.output_data) == (base / "model", base / "output" / "data")
    assert here.checkpoints == base / "checkpoints"
    here = container(env(base, SM_MODEL_DIR="/m", SM_OUTPUT_DATA_DIR="/o", TRAINING_JOB_NAME="job-7"))
    assert (here.model, here.output_data, here.job_name) == (Path("/m"), Path("/o"), "job-7")


def test_the_first_host_leads(base: Path):
    assert container(env(base)).leads
    configure(base, "resourceconfig.json", {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]})
    assert not container(env(base)).leads
    assert container(env(base, SM_CURRENT_HOST="algo-1")).leads
    assert container(env(base, SM_HOSTS='["algo-2", "algo-3"]')).leads


def test_the_channel_is_training_or_the_only_one(base: Path):
    def found(**more: str) -> Path:
        return channel(container(env(base)), more)

    with pytest.raises(DataError, match="no channel 'training' among none; InputDataConfig must name one"):
        found()
    (base / "input" / "data" / "train").mkdir()
    (base / "input" / "data" / "train-manifest").write_text("")
    assert found() == base / "input" / "data" / "train"
    (base / "input" / "data" / "weights").mkdir()
    with pytest.raises(DataError, match=r"among \['train', 'weights'\]"):
        found()
    (base / "input" / "data" / "training").mkdir()
    assert found() == base / "input" / "data" / "training"
    assert found(SM_CHANNEL_TRAINING="/a", SM_CHANNEL_WEIGHTS="/b") == Path("/a")


def test_hyperparameters_come_as_strings_however_they_were_sent(base: Path):
    configure(
        base,
        "hyperparameters.json",
        {"epochs": "3", "weights": '"none"', "modalities": '["rgb", "flow"]', "sagemaker_program": "x.py"},
    )
    here = container(env(base))
    assert hyperparameters(here, {}) == {"epochs": "3", "weights": "none", "modalities": "rgb flow"}
    assert hyperparameters(here, {"SM_HPS": '{"alpha": 0.35, "modalities": ["audio"]}'}) == {
        "alpha": "0.35",
        "modalities": "audio",
    }


def test_no_hyperparameters_are_none_and_broken_ones_are_said(base: Path):
    assert hyperparameters(container(env(base)), {}) == {}
    configure(base, "hyperparameters.json", "{")
    with pytest.raises(DataError, match=r"hyperparameters\.json: is not JSON"):
        hyperparameters(container(env(base)), {})
    configure(base, "hyperparameters.json", [1])
    with pytest.raises(DataError, match="is not an object of names and values"):
        hyperparameters(container(env(base)), {})


def test_the_reason_of_a_failure_is_written_in_1024_characters_and_goes_on(base: Path):
    few = DataError("class 'few' has 2 recordings")
    with pytest.raises(DataError), failures_told(container(env(base))):
        raise few
    assert (base / "output" / "failure").read_text() == "class 'few' has 2 recordings"
    with pytest.raises(ValueError, match="xxx"), failures_told(container(env(base))):
        raise ValueError("x" * 5000)
    reason = (base / "output" / "failure").read_text()
    assert reason.startswith("ValueError: xxx")
    assert len(reason) == 1024


def test_each_metric_line_is_found_by_its_definition_alone():
    definitions = {d["Name"]: d["Regex"] for d in metric_definitions()}
    assert len(definitions) == len(METRICS) <= 40, "SageMaker takes 40"
    for judge, name in METRICS:
        line = metric_line(judge, name, 0.9125)
        found = {key: re.search(regex, line) for key, regex in definitions.items()}
        assert {key: float(match[1]) for key, match in found.items() if match} == {f"{judge}:{name}": 0.9125}
