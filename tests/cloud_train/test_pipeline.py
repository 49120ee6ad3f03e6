"""`touchline-train` from recordings to a bundle, as a user types it; and transfer learning on real photographs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from media import gradient, write_video

from edge.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PHOTOGRAPHED = ("basketball", "boxing", "golf", "skiing", "swimming", "tennis")


def train(*arguments: object, code: int = 0) -> str:
    """Run `touchline-train`; return what it printed (stderr where it must fail)."""
    command = [sys.executable, "-m", "cloud_train", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that `all --preset tiny` makes."""
    out = tmp_path_factory.mktemp("tiny")
    train("all", "--preset", "tiny", "--out", out, "--json", out / "scores.json")
    return out


def test_all_makes_a_bundle_that_the_device_accepts(made: Path):
    scores = json.loads((made / "scores.json").read_text())
    assert set(scores) == {"rgb", "flow", "audio", "fused", "judgement"}
    assert all(scores[name]["seconds"] == 6 for name in ("rgb", "flow", "audio", "fused"))
    for command in (["check", made / "bundle"], ["info", made / "bundle"], ["bench", made / "bundle"]):
        done = subprocess.run([sys.executable, "-m", "edge", *map(str, command)], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    video = next((made / "world" / "badminton").iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", video, "--bundle", made / "bundle"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n00:0") == 2


def test_what_exists_is_kept(made: Path):
    before = {file: file.stat().st_mtime_ns for file in made.rglob("*.mp4") if file.is_file()}
    before |= {file: file.stat().st_mtime_ns for file in made.rglob("shards/*/rgb.npy")}
    assert len(before) == 18
    train("extract", made / "world", "--pixels", 32, "--out", made / "features")
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_step_by_step_and_one_modality_is_enough(made: Path, tmp_path: Path):
    train("extract", made / "world", "--pixels", 32, "--sound", "mfcc", "--out", tmp_path / "features")
    assert re.search(
        r"^all +3 \(6 s\) +3 \(6 s\) +3 \(6 s\)$", train("split", tmp_path / "features", "--seed", 1), re.MULTILINE
    )
    fitted = train(
        "fit", "audio", "--data", tmp_path / "features", "--alpha", 0.35, "--weights", "none",
        "--head-epochs", 1, "--epochs", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert "test accuracy: 0." in fitted
    assert "default: audio" in train("fuse", tmp_path / "run", "--out", tmp_path / "fusion.json")
    train("export", tmp_path / "run", "--out", tmp_path / "ears", "--version", "0.9", "--rule", "boosted_trees")
    bundle = Bundle.load(tmp_path / "ears")
    assert (bundle.fusion.rule, bundle.manifest.fusion) == ("boosted_trees", "fusion.npz")
    assert (bundle.manifest.name, bundle.manifest.version) == ("ears", "0.9")
    assert set(bundle.manifest.models) == {"audio"}
    assert not bundle.manifest.sees
    assert bundle.model("audio").input.shape == (1, 33, 63, 1)
    printed = train("evaluate", tmp_path / "ears", "--data", made / "world")
    assert "| audio | 18 |" in printed


def test_bad_data_are_one_sentence(made: Path, tmp_path: Path):
    def sentence(*arguments: object, code: int = 2) -> str:
        found = train(*arguments, code=code)
        last = found.splitlines()[-1]
        assert last.startswith("touchline-train: ")
        return last.removeprefix("touchline-train: ")

    (tmp_path / "empty").mkdir()
    assert "no recordings; give a folder of class folders" in sentence(
        "extract", tmp_path / "empty", "--out", tmp_path / "f"
    )
    assert "no such folder or table" in sentence("extract", tmp_path / "nowhere", "--out", tmp_path / "f")
    assert "holds no extracted features" in sentence("split", tmp_path / "empty")
    assert "is not a finished run" in sentence("export", tmp_path / "empty", "--out", tmp_path / "b")
    assert "holds features made with other parameters" in sentence(
        "extract", made / "world", "--pixels", 48, "--out", made / "features"
    )
    for label, count in (("many", 3), ("few", 2)):
        (tmp_path / "small" / label).mkdir(parents=True)
        for i in range(count):
            shift = 3 * i + len(label)  # no two are the same recording
            write_video(tmp_path / "small" / label / f"{i}.mp4", seconds=1, draw=lambda t, s=shift: gradient(t + s))
    assert "class 'few' has 2 recordings; a split needs at least 3" in sentence(
        "fit", "rgb", "--data", tmp_path / "small", "--pixels", 32, "--out", tmp_path / "run"
    )
    assert "label 'few' is not one of the bundle's 3" in sentence(
        "evaluate", made / "bundle", "--data", tmp_path / "small"
    )
    assert "weights nowhere.h5: no such file" in sentence(
        "fit", "rgb", "--data", made / "features", "--weights", "nowhere.h5", "--out", tmp_path / "run"
    )
    assert "is not a bundle directory" in sentence(
        "evaluate", tmp_path / "empty" / "x", "--data", made / "world", code=1
    )


def test_transfer_learning_on_real_photographs(tmp_path: Path):
    """Real ImageNet weights and 40 real photographs a class beat the same training from nothing by far."""
    folder = os.environ.get("TOUCHLINE_TEST_DATA")
    if not folder:
        pytest.skip("TOUCHLINE_TEST_DATA names no folder of real photographs and weights")
    for label in PHOTOGRAPHED:
        photographs = sorted((Path(folder) / "images" / "sports100" / label).iterdir())
        for i, photograph in enumerate(photographs):
            side = tmp_path / ("held-out" if i % 5 == 0 else "photographs") / label
            side.mkdir(parents=True, exist_ok=True)
            shutil.copy(photograph, side)
    train("extract", tmp_path / "photographs", "--pixels", 96, "--out", tmp_path / "features")
    train("split", tmp_path / "features")
    weights = Path(folder) / "weights" / "mnv2_035_224_no_top.h5"
    accuracy = {}
    for name, start in (("imagenet", weights), ("nothing", "none")):
        train(
            "fit", "rgb", "--data", tmp_path / "features", "--backbone", "mobilenet_v2", "--alpha", 0.35,
            "--weights", start,
            "--head-epochs", 8, "--epochs", 4, "--batch", 16, "--out", tmp_path / name,
        )  # fmt: skip
        train("export", tmp_path / name, "--out", tmp_path / f"{name}-bundle")
        scores = tmp_path / f"{name}.json"
        train("evaluate", tmp_path / f"{name}-bundle", "--data", tmp_path / "held-out", "--json", scores)
        fused = json.loads(scores.read_text())["fused"]
        assert fused["seconds"] == 48, "a photograph is a recording of one frame"
        accuracy[name] = fused["accuracy"]
    assert accuracy["imagenet"] >= 0.6, accuracy
    assert accuracy["imagenet"] >= accuracy["nothing"] + 0.3, accuracy
