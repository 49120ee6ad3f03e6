"""The training loop: stopped anywhere it goes on exactly there."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_train.backend import load_tensorflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

load_tensorflow()

from cloud_train import stop  # noqa: E402
from cloud_train.args import Args  # noqa: E402
from cloud_train.batches import Batches  # noqa: E402
from cloud_train.dataset import Dataset, extract  # noqa: E402
from cloud_train.presets import manifest_draft  # noqa: E402
from cloud_train.recordings import DataError, TrainingError, find_recordings  # noqa: E402
from cloud_train.runs import Run  # noqa: E402
from cloud_train.split import split  # noqa: E402
from cloud_train.synth import LABELS, write_world  # noqa: E402
from cloud_train.train import fit  # noqa: E402

ARGS = Args(
    backbone="mobilenet_v2", alpha=0.35, weights="none", head_epochs=1, epochs=2, learning_rate=1e-3, batch=4,
    dense_units=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("loop")
    write_world(folder / "world", recordings_per_class=4, seconds=2.0, seed=0, labels=LABELS[:3])
    extracted, _ = extract(find_recordings(folder / "world"), manifest_draft(32), folder / "features", workers=1)
    extracted = replace(extracted, recordings=split(extracted.recordings))
    extracted.save()
    return extracted


@pytest.fixture(scope="module")
def undisturbed(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(dataset, "rgb", ARGS, tmp_path_factory.mktemp("undisturbed") / "rgb")


@pytest.fixture
def terminate_at(monkeypatch: pytest.MonkeyPatch):
    """Have SIGTERM come when a certain batch is read, as from a spot instance that is taken back."""
    monkeypatch.setattr(stop, "_asked", type(stop._asked)())
    before = signal.getsignal(signal.SIGTERM)
    stop.listen()
    read = Batches.__call__

    def at(epoch: int, step: int) -> None:
        def reading(batches: Batches, now: int, number: int, *parts: int):
            if (now, number) == (epoch, step):
                monkeypatch.setattr(Batches, "__call__", read)
                os.kill(os.getpid(), signal.SIGTERM)
            return read(batches, now, number, *parts)

        monkeypatch.setattr(Batches, "__call__", reading)

    yield at
    signal.signal(signal.SIGTERM, before)


def weights(run: Run) -> list[np.ndarray]:
    return run.model().get_weights()


@pytest.mark.parametrize("where", [(0, 1), (10_001, 2)], ids=["in the first step", "late in the second"])
def test_a_training_that_was_terminated_ends_as_if_it_had_not_been(
    where: tuple[int, int], dataset: Dataset, undisturbed: Run, terminate_at, tmp_path: Path
):
    terminate_at(*where)
    with pytest.raises(stop.Stopped, match="stopped as asked, saved at step"):
        fit(dataset, "rgb", ARGS, tmp_path / "rgb")
    assert not (tmp_path / "rgb" / "run.json").exists()
    stop._asked.clear()
    run = fit(dataset, "rgb", ARGS, tmp_path / "rgb")
    assert all(np.array_equal(a, b) for a, b in zip(weights(run), weights(undisturbed), strict=True))
    assert [e.loss for e in run.history] == [e.loss for e in undisturbed.history]
    assert run.metrics == undisturbed.metrics


def test_a_finished_run_is_returned_and_another_one_is_not_overwritten(dataset: Dataset, undisturbed: Run):
    began = (undisturbed.path / "model.keras").stat().st_mtime_ns
    assert fit(dataset, "rgb", ARGS, undisturbed.path) == undisturbed
    assert (undisturbed.path / "model.keras").stat().st_mtime_ns == began
    with pytest.raises(DataError, match="holds a run of other settings or data"):
        fit(dataset, "rgb", replace(ARGS, epochs=3), undisturbed.path)


def test_every_epoch_is_on_record(undisturbed: Run):
    assert [(e.phase, e.epoch) for e in undisturbed.history] == [
        ("the dense layers", 1), ("everything", 1), ("everything", 2),
    ]  # fmt: skip
    for epoch in undisturbed.history:
        assert epoch.loss > 0
        assert 0 <= epoch.waited <= 1
        assert epoch.seconds > 0


def test_training_ends_early_when_validation_gets_no_better(dataset: Dataset, tmp_path: Path):
    args = replace(ARGS, head_epochs=0, epochs=30, learning_rate=0.0, patience=2)
    run = fit(dataset, "audio", replace(args, batch_norm="frozen"), tmp_path / "audio")
    assert len(run.history) == 3, "the first is the best, and two more bring nothing"


def test_a_loss_that_is_no_number_ends_the_training(dataset: Dataset, tmp_path: Path):
    with pytest.raises(TrainingError, match="is not a number; lower the learning rate"):
        fit(dataset, "audio", replace(ARGS, head_epochs=0, learning_rate=1e38), tmp_path / "audio")


def test_mixed_precision_trains_and_is_saved_in_float32(dataset: Dataset, tmp_path: Path):
    run = fit(dataset, "rgb", replace(ARGS, head_epochs=0, epochs=1, precision="mixed_float16"), tmp_path / "rgb")
    assert np.isfinite(run.history[-1].loss)
    assert {layer.compute_dtype for layer in run.model().layers} == {"float32"}
