"""`touchline-train fuse`: each rule from runs' validation seconds, written as what it is and said in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud_train.__main__ import main
from cloud_train.args import Args
from cloud_train.rules import fuse
from cloud_train.runs import Run
from edge.fusion import BoostedTrees, ClassModelTable, Majority, fusion_file, read_fusion
from edge.manifest import ClipSpec, Features, Manifest, RuleName

LABELS = ("badminton", "golf", "tennis")


def run(path: Path, modality: str, right: float, *, unknown: int = 0) -> Run:
    """A finished run whose model is right so often on 30 recordings of 2 seconds, and less sure than it could be."""
    rng = np.random.default_rng(len(modality))
    y = np.repeat(np.arange(30) % 3, 2)
    said = np.where(rng.random(60) < right, y, rng.integers(0, 3, 60))
    x = np.full((60, 3), 0.2, np.float32)
    x[np.arange(60), said] = 0.6
    x = np.concatenate([x, np.full((unknown, 3), 1 / 3, np.float32)])
    y = np.concatenate([y, np.full(unknown, -1)])
    recording = np.repeat(np.arange(30 + unknown), [2] * 30 + [1] * unknown)
    second = np.where(np.diff(recording, prepend=-1) > 0, 0, 1)
    path.mkdir()
    ids = np.array([f"r{i}" for i in range(30 + unknown)])
    np.savez(path / "validation.npz", x=x, y=y, recording=recording, second=second, ids=ids)
    made = Run(path, modality, Args(), Manifest(LABELS, ClipSpec(), Features()), "d", "0", {}, 1.0)
    made.save()
    return made


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Pictures, motion and sound, none of them perfect."""
    shares = {"rgb": 0.9, "flow": 0.5, "audio": 0.7}
    return [str(run(tmp_path / name, name, share, unknown=6).path) for name, share in shares.items()]


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ("class_model_table", ClassModelTable, "default: rgb; others: "),
        ("majority", Majority, "the majority of the modalities; unknown below 0."),
        ("boosted_trees", BoostedTrees, "boosted trees t-0001: "),
    ],
)
def test_each_rule_is_written_and_said_in_words(runs, capsys, rule: RuleName, kind: type, words: str):
    file = Path(runs[0]).with_name(fusion_file(rule))
    assert main(["fuse", *runs, "--rule", rule, "--out", str(file)]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(words)
    assert second.startswith("temperatures: rgb 0.")
    assert third.startswith("accuracy in cross-validation over the validation recordings: class_model_table 0.")
    assert isinstance(read_fusion(file.read_bytes(), file.name), kind)


@pytest.mark.parametrize(("rule", "suffix"), [("boosted_trees", ".json"), ("class_model_table", ".npz")])
def test_a_file_of_the_wrong_kind_is_refused(runs, capsys, rule: RuleName, suffix: str):
    file = Path(runs[0]).with_name(f"f{suffix}")
    assert main(["fuse", *runs, "--rule", rule, "--out", str(file)]) == 2
    right = Path(fusion_file(rule)).suffix
    assert f"f{suffix}: a fusion by {rule} is a {right} file" in capsys.readouterr().err
    assert not file.exists()


def test_unsure_models_are_sharpened_and_unknown_seconds_set_the_threshold(runs: list[str]):
    found = fuse([Run.load(path) for path in runs])
    assert found.temperatures["rgb"] < found.temperatures["audio"] < found.temperatures["flow"]
    assert found.temperatures["rgb"] < 0.5
    assert 1 / 3 < found.unknown < 0.9, "unknown seconds are at 1/3"
    assert set(found.accuracy) == {"class_model_table", "majority", "boosted_trees"}
    assert found.accuracy["boosted_trees"] >= 0.8


def test_only_unknown_seconds_are_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    made = run(tmp_path / "rgb", "rgb", 0.9)
    with np.load(tmp_path / "rgb" / "validation.npz") as arrays:
        parts = dict(arrays)
    np.savez(tmp_path / "rgb" / "validation.npz", **{**parts, "y": np.full(60, -1)})
    assert main(["fuse", str(made.path), "--out", str(tmp_path / "f.json")]) == 2
    assert "no second shows any of the labels" in capsys.readouterr().err
