"""`touchline-train train` as SageMaker runs it, in a folder shaped like /opt/ml, and the same on a laptop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_train.__main__ import parser
from cloud_train.args import DEFAULTS
from cloud_train.cli.cloud import _job
from cloud_train.cli.hyperparameters import checked
from cloud_train.job import deliver, listed
from cloud_train.recordings import DataError
from cloud_train.sagemaker import METRICS, container
from cloud_train.synth import LABELS, write_world
from edge.bundle import DEMO, Bundle

TINY = {
    "pixels": "32", "backbone": "mobilenet_v2", "alpha": "0.35", "weights": "none", "batch": "16", "dense_units": "64",
    "head_epochs": "0", "epochs": "1", "audio-epochs": "12", "patience": "0", "learning_rate": "0.002",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of two seconds for each of three classes."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, recordings_per_class=3, seconds=2.0, seed=0, labels=LABELS[:3])
    return folder


def tree(base: Path, data: Path, hyperparameters: Mapping[str, str], hosts: tuple[str, ...] = ("algo-1",)) -> Path:
    """Lay out what SageMaker gives to a container."""
    for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        (base / name).mkdir(parents=True)
    (base / "input" / "data" / "training").symlink_to(data)
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    resources = {"current_host": hosts[-1], "hosts": hosts, "network_interface_name": "eth0"}
    (base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    return base


def start(base: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start `touchline-train train` in the container whose tree is `base`."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SM_")}
    environ |= {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "tiny-1"}
    command = [sys.executable, "-m", "cloud_train", "train", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def train(base: Path, *arguments: object, code: int = 0) -> tuple[str, str]:
    """Run a training job to its end; return what it printed on stdout and on stderr."""
    with start(base, *arguments) as job:
        out, err = job.communicate(timeout=500)
    assert job.returncode == code, f"{job.returncode}\n{out}\n{err}"
    assert "Traceback" not in err
    return out, err


def models(bundle: Path) -> dict[str, str]:
    return {name: sha for name, sha in Bundle.load(bundle).manifest.files.items() if name.endswith(".tflite")}


@pytest.fixture(scope="module")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tree of a job that ran to its end, and what it printed."""
    base = tree(tmp_path_factory.mktemp("undisturbed") / "ml", world, TINY)
    return base, train(base)[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_container_makes_a_bundle_that_the_device_accepts(undisturbed: tuple[Path, str]):
    base, out = undisturbed
    bundle = Bundle.load(base / "model")
    assert (bundle.manifest.name, set(bundle.manifest.models)) == ("tiny-1", {"rgb", "flow", "audio"})
    assert bundle.manifest.provenance["runs"]["rgb"]["dense_units"] == 64
    ran = subprocess.run([sys.executable, "-m", "edge", "check", base / "model"], check=False, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    for judge, name in METRICS:
        assert re.search(rf"^{judge} {name}=[01]\.\d+;$", out, re.MULTILINE)
    assert json.loads((base / "output" / "data" / "metrics.json").read_text())["fused"]["seconds"] == 6
    assert "<h2" in (base / "output" / "data" / "report.html").read_text()
    assert not (base / "output" / "failure").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_laptop_goes_on_from_what_the_container_kept(world: Path, undisturbed: tuple[Path, str], tmp_path: Path):
    base, _ = undisturbed
    work = shutil.copytree(base / "checkpoints", tmp_path / "work")
    runs = {run: run.stat().st_mtime_ns for run in work.glob("runs/*/run.json")}
    assert len(runs) == 3
    options = [part for name, value in TINY.items() for part in (f"--{name.replace('_', '-')}", value)]
    train(tmp_path, "--data", world, "--out", tmp_path / "laptop", "--work", work, *options)
    assert {run: run.stat().st_mtime_ns for run in work.glob("runs/*/run.json")} == runs
    assert models(tmp_path / "laptop") == models(base / "model")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_sigterm_the_next_start_ends_as_if_nothing_had_been(
    world: Path, undisturbed: tuple[Path, str], tmp_path: Path
):
    base = tree(tmp_path / "ml", world, {**TINY, "modalities": "audio flow"})
    with start(base) as job:
        while not list(base.glob("checkpoints/runs/audio-*/*/*")):  # something has been learnt
            assert job.poll() is None, job.stderr.read()
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        _, err = job.communicate(timeout=120)  # SageMaker waits no longer
    assert job.returncode == 0, err
    assert "checkpoints holds what is done, and a new start goes on there" in err
    assert list((base / "model").iterdir()) == []
    assert not (base / "output" / "failure").exists()
    assert not list(base.glob("checkpoints/runs/audio-*/run.json")), "stopped in the middle"
    shards = {shard: shard.stat().st_mtime_ns for shard in base.glob("checkpoints/features/shards/*")}

    train(base)
    assert {shard: shard.stat().st_mtime_ns for shard in shards} == shards, "nothing was extracted twice"
    expected = models(undisturbed[0] / "model")
    assert models(base / "model") == {name: expected[name] for name in ("audio.tflite", "flow.tflite")}


def test_bad_data_leave_their_reason_where_sagemaker_looks(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    base = tree(tmp_path / "ml", tmp_path / "empty", TINY)
    _, err = train(base, code=2)
    reason = (base / "output" / "failure").read_text()
    assert "no recordings; give a folder of class folders" in reason
    assert err == f"touchline-train: {reason}\n"
    assert list((base / "model").iterdir()) == []


def test_an_unknown_hyperparameter_is_one_sentence(tmp_path: Path):
    base = tree(tmp_path / "ml", tmp_path, {"epoch": "3"})
    train(base, code=2)
    reason = (base / "output" / "failure").read_text()
    assert reason == "hyperparameter 'epoch' is not known; did you mean 'epochs'?"


def test_another_host_than_the_first_has_nothing_to_do(tmp_path: Path):
    base = tree(tmp_path / "ml", tmp_path, TINY, hosts=("algo-1", "algo-2"))
    assert train(base) == ("algo-2: algo-1 trains; nothing is to be done here\n", "")


def test_on_a_laptop_data_and_out_are_asked_for(tmp_path: Path):
    _, err = train(tmp_path, "--data", tmp_path, code=2)
    assert err == "touchline-train: --out is missing; only in a SageMaker container it has a default\n"
    (tmp_path / "mine").write_text("x")
    _, err = train(tmp_path, "--data", tmp_path, "--out", tmp_path, code=1)
    assert "exists and is not a bundle; name another directory" in err


def test_the_command_line_goes_before_hyperparameters_before_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = tree(
        tmp_path / "ml", tmp_path, {"epochs": "3", "alpha": "0.5", "audio-epochs": "9", "modalities": "rgb,audio"}
    )
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    job = _job(parser().parse_args(["train", "--alpha", "0.35", "--rgb-batch", "8"]), container(os.environ))
    expected = replace(DEFAULTS["rgb"], epochs=3, alpha=0.35)
    assert job.args["flow"] == expected
    assert job.args["rgb"] == replace(expected, batch=8)
    assert job.args["audio"] == replace(DEFAULTS["audio"], epochs=9, alpha=0.35)
    assert (job.modalities, job.draft.features.rgb.width) == (("rgb", "audio"), 224)
    assert (job.data, job.out, job.work) == (base / "input/data/training", base / "model", base / "checkpoints")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"epochs": "many"}, "hyperparameter epochs: invalid int value: 'many'"),
        ({"pixels": "0"}, "hyperparameter pixels: '0' is not a whole number of 1 or more"),
        ({"sound": "loud"}, "hyperparameter sound: invalid choice: 'loud'"),
        ({"modalities": "smell"}, "hyperparameter modalities: invalid choice: 'smell'"),
        ({"colour": "red"}, "hyperparameter 'colour' is not known; known are modalities, name, version, rule, pixels"),
    ],
)
def test_a_wrong_hyperparameter_is_named(raw: dict[str, str], sentence: str):
    with pytest.raises(DataError) as error:
        checked(raw)
    assert sentence in str(error.value)


def test_a_list_in_the_data_folder_goes_before_its_folders(tmp_path: Path):
    assert listed(tmp_path) == tmp_path
    (tmp_path / "manifest.csv").write_text("uri,label\n")
    assert listed(tmp_path) == tmp_path / "manifest.csv"


def test_an_empty_folder_is_filled_and_an_older_bundle_replaced(tmp_path: Path):
    demo = Bundle.load(DEMO)
    (tmp_path / "model").mkdir()
    same = (tmp_path / "model").stat().st_ino
    assert deliver(demo, tmp_path / "model").sha256 == demo.sha256
    assert (tmp_path / "model").stat().st_ino == same, "SageMaker's folder may be a mount point"
    assert deliver(demo, tmp_path / "model").sha256 == demo.sha256
    assert deliver(demo, tmp_path / "new" / "bundle").sha256 == demo.sha256
