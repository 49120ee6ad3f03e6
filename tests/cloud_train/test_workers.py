"""Two processes train one model over loopback, and come to what one process comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cloud_train.args import Args
from cloud_train.backend import load_tensorflow
from cloud_train.dataset import Dataset, extract
from cloud_train.presets import manifest_draft
from cloud_train.recordings import find_recordings
from cloud_train.runs import Run
from cloud_train.split import split
from cloud_train.synth import LABELS, write_world
from cloud_train.workers import fit_command, train_together

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

ARGS = Args(
    backbone="mobilenet_v2", alpha=0.35, weights="none", head_epochs=0, epochs=2, learning_rate=1e-3, batch=6,
    dense_units=16, dropout=0.0, augmentation="off", batch_norm="frozen", patience=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("together")
    write_world(folder / "world", recordings_per_class=4, seconds=2.0, seed=0, labels=LABELS[:3])
    extracted, _ = extract(find_recordings(folder / "world"), manifest_draft(32), folder / "features", workers=1)
    extracted = replace(extracted, recordings=split(extracted.recordings))
    extracted.save()
    return extracted


@pytest.fixture(scope="module")
def alone(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    load_tensorflow()
    from cloud_train.train import fit

    return fit(dataset, "rgb", ARGS, tmp_path_factory.mktemp("alone") / "rgb")


def together(dataset: Dataset, out: Path, engine: str = "local") -> Run:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(ARGS).items()]
    train_together(fit_command("rgb", dataset.path, out, options), 2, out, engine)
    return Run.load(out)


def assert_alike(run: Run, other: Run) -> None:
    """Sums in another order round otherwise: alike is all that two workers can be to one."""
    assert [e.loss for e in run.history] == pytest.approx([e.loss for e in other.history], rel=1e-3)
    for mine, theirs in zip(run.model().get_weights(), other.model().get_weights(), strict=True):
        assert np.abs(mine - theirs).max() < 5e-3


def test_two_workers_come_to_the_same_weights_and_to_those_of_one(dataset: Dataset, alone: Run, tmp_path: Path):
    run = together(dataset, tmp_path / "rgb")
    first, second = ((tmp_path / "rgb" / "workers" / f"{i}.json").read_text() for i in range(2))
    assert first == second
    assert len(first) == 66
    assert_alike(run, alone)


def test_a_worker_that_is_killed_costs_no_more_than_time(dataset: Dataset, alone: Run, tmp_path: Path):
    killed = []

    def kill_a_child_once_an_epoch_is_saved() -> None:
        while not (tmp_path / "rgb" / "checkpoints" / "checkpoint.npz").exists():
            time.sleep(0.05)
        children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        found = sorted(int(pid) for task in children for pid in task.read_text().split())
        # Others are Python's own, such as the tracker of resources, which the rest of the tests needs.
        workers = [pid for pid in found if "cloud_train" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(workers[-1], signal.SIGKILL)
        killed.append(workers[-1])

    thread = threading.Thread(target=kill_a_child_once_an_epoch_is_saved)
    thread.start()
    run = together(dataset, tmp_path / "rgb")
    thread.join()
    assert len(killed) == 1
    assert_alike(run, alone)


def test_two_workers_on_a_ray_cluster_come_to_the_same(dataset: Dataset, alone: Run, tmp_path: Path):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(ARGS).items()]
    command = fit_command("rgb", dataset.path, tmp_path / "rgb", [*options, "--workers=2", "--engine=ray"])
    done = subprocess.run(
        command, env={**os.environ, "RAY_ADDRESS": "local"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_alike(Run.load(tmp_path / "rgb"), alone)
