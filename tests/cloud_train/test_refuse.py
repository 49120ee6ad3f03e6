"""`touchline-train refuse`: new recordings, a new fusion, the same models."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from media import write_video

from cloud_train.__main__ import main
from cloud_train.recordings import DataError
from cloud_train.refuse import next_fusion, next_version
from cloud_train.synth import write_world
from edge.__main__ import main as touchline
from edge.bundle import DEMO, Bundle

LABELS = ("badminton", "golf", "tennis")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds each of three sports, of something that is none of the 25, and a file that is no recording."""
    out = tmp_path_factory.mktemp("new")
    write_world(out, recordings_per_class=2, seconds=2.0, seed=5, labels=LABELS)
    (out / "unknown").mkdir()
    write_video(out / "unknown" / "gradient.mp4", seconds=2, audio_rate=16000)
    (out / "golf" / "broken.mp4").write_bytes(b"not a video")
    return out


def refuse(bundle: Path, recordings: Path, out: Path, *options: str) -> Bundle:
    assert main(["refuse", str(bundle), "--data", str(recordings), "--out", str(out), *options]) == 0
    return Bundle.load(out)


@pytest.fixture(scope="module")
def refused(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped bundle with trees instead of its table."""
    return refuse(DEMO, recordings, tmp_path_factory.mktemp("refused") / "b", "--rule", "boosted_trees")


def test_the_models_stay_and_the_fusion_is_new(refused: Bundle):
    old = Bundle.load(DEMO)
    for name in ("rgb", "flow", "audio"):
        assert refused.manifest.files[f"{name}.tflite"] == old.manifest.files[f"{name}.tflite"]
        assert refused.manifest.models[name].temperature != 1.0
        assert replace(refused.manifest.models[name], temperature=1.0) == old.manifest.models[name]
        assert refused.manifest.metrics[name] == old.manifest.metrics[name]
    assert (refused.fusion.rule, refused.fusion.version) == ("boosted_trees", "t-0002")
    assert refused.manifest.version == "1.0.1"
    assert refused.manifest.name == old.manifest.name
    assert "fusion.npz" in refused.manifest.files
    assert "fusion.json" not in refused.manifest.files


def test_the_manifest_says_what_it_was_made_from_and_measured_on(refused: Bundle, recordings: Path):
    (record,) = refused.manifest.provenance["fused_anew"]
    old = Bundle.load(DEMO)
    assert record["from_sha256"] == old.sha256
    assert record["data"] == str(recordings)
    assert (record["seconds"], record["unknown_seconds"]) == (12, 2)
    assert (record["recordings"], record["recordings_left_out"]) == (7, 1)
    assert refused.manifest.provenance["runs"] == old.manifest.provenance["runs"]
    fused = refused.manifest.metrics["fused"]
    assert "cross-validation" in fused["measured_on"]
    assert fused["int8_accuracy"] == fused["rules"]["boosted_trees"]
    assert "float_accuracy" not in fused, "nothing was measured in float"


def test_the_device_accepts_and_runs_it(
    refused: Bundle, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert touchline(["check", str(refused.path)]) == 0
    assert touchline(["info", str(refused.path)]) == 0
    out = capsys.readouterr().out
    assert "boosted trees t-0002" in out
    assert f"anew from sports25-demo 1.0.0, with 12 seconds of {recordings}" in " ".join(out.split())
    match = next((recordings / "tennis").iterdir())
    ticks = tmp_path / "ticks.jsonl"
    command = ["run", str(match), "--bundle", str(refused.path), "--quiet", "--jsonl", str(ticks)]
    assert touchline(command) == 0
    first = json.loads(ticks.read_text().splitlines()[0])
    assert first["fusion"]["rule"] == first["fusion"]["winner"] == "boosted_trees"
    assert first["fusion"]["row"] is None
    assert first["fusion"]["table"] == "t-0002"
    assert sum(first["fusion"]["votes"]["rgb"]["probabilities"]) == pytest.approx(1, abs=0.01)


def test_refusing_again_counts_up_and_goes_back_to_a_table(refused: Bundle, recordings: Path, tmp_path: Path):
    again = refuse(refused.path, recordings, tmp_path / "b", "--rule", "class_model_table", "--name", "match")
    assert (again.manifest.name, again.manifest.version, again.fusion.version) == ("match", "1.0.2", "t-0003")
    assert [r["from"] for r in again.manifest.provenance["fused_anew"]] == [
        "sports25-demo 1.0.0",
        "sports25-demo 1.0.1",
    ]
    assert again.manifest.models == refused.manifest.models, "the same seconds ask for the same temperatures"
    assert again.manifest.fusion == "fusion.json"
    assert touchline(["check", str(again.path)]) == 0


def test_other_labels_and_recordings_that_cannot_be_read_are_refused(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(recordings / "golf", tmp_path / "other" / "chess")
    assert main(["refuse", str(DEMO), "--data", str(tmp_path / "other"), "--out", str(tmp_path / "b")]) == 2
    assert "label 'chess' is not one of the bundle's 25, nor 'unknown'" in capsys.readouterr().err
    (tmp_path / "broken" / "golf").mkdir(parents=True)
    shutil.copy(recordings / "golf" / "broken.mp4", tmp_path / "broken" / "golf")
    assert main(["refuse", str(DEMO), "--table", str(tmp_path / "broken"), "--out", str(tmp_path / "b")]) == 2
    err = capsys.readouterr().err
    assert "left out: " in err
    assert "no second shows any of the labels" in err
    assert not (tmp_path / "b").exists()


def test_versions_are_counted_up():
    assert [next_version(v) for v in ("1.0.0", "0.9", "2", "1.2.9")] == ["1.0.1", "0.9.1", "2.0.1", "1.2.10"]
    with pytest.raises(DataError, match="'2026-spring' cannot be counted up; give the new one with --version"):
        next_version("2026-spring")
    assert [next_fusion(v) for v in ("t-0001", "t-0099", "majority")] == ["t-0002", "t-0100", "t-0001"]
