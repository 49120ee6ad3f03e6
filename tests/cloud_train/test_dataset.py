"""Recordings to features: found, extracted once, refused by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media import write_sound, write_video

from cloud_train.dataset import Dataset, extract, load_looks
from cloud_train.presets import manifest_draft
from cloud_train.recordings import DataError, find_recordings
from cloud_train.shards import read_shard
from cloud_train.split import split

DRAFT = manifest_draft(32)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two classes of three videos with sound, and a sound alone."""
    for label in ("calm", "wild"):
        (tmp_path / "world" / label).mkdir(parents=True)
        for i in range(3):
            video = write_video(tmp_path / "world" / label / f"{i}.mp4", seconds=2, audio_rate=16000)
            name = f"{label}{i}".encode()
            with video.open("ab") as file:  # an empty box, so that no two are the same recording
                file.write((8 + len(name)).to_bytes(4, "big") + b"free" + name)
    write_sound(tmp_path / "world" / "calm" / "only.wav", np.zeros((1, 32000)), 16000)
    return tmp_path / "world"


def test_extraction_keeps_what_is_there_and_names_what_it_cannot_read(world: Path, tmp_path: Path):
    (world / "wild" / "broken.mp4").write_text("no video")
    dataset, failures = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    assert len(failures) == 1
    assert "broken.mp4: not readable as media" in failures[0]
    assert {r.seconds for r in dataset.recordings} == {2}
    assert dataset.manifest.labels == ("calm", "wild")

    shards = {r.id: dataset.shard(r).stat().st_mtime_ns for r in dataset.recordings}
    first = dataset.shard(dataset.recordings[0])
    (first / "shard.json").unlink()  # as if the power had gone before it was whole
    again, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    kept = {r.id: again.shard(r).stat().st_mtime_ns for r in again.recordings}
    assert {i for i in shards if kept[i] != shards[i]} == {dataset.recordings[0].id}
    assert Dataset.load(tmp_path / "features") == again
    assert again.sha256() == dataset.sha256()


def test_looks_know_their_second_and_what_lacks_a_modality_is_left_out(world: Path, tmp_path: Path):
    dataset, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    everything = replace(dataset, recordings=tuple(replace(r, side="train") for r in dataset.recordings))
    rgb, audio = (load_looks(everything, name, "train") for name in ("rgb", "audio"))
    assert rgb.x.shape == (6 * 2 * 5, 32, 32, 3)
    assert audio.x.shape == (7 * 2, 128, 63, 1)
    assert rgb.second.tolist()[:10] == [0] * 5 + [1] * 5
    missing = everything.recordings[3]
    assert missing.id == "calm--only.wav"
    assert rgb.ids.index(missing.id) not in rgb.recording
    with pytest.raises(DataError, match="no rgb in any recording of the test side"):
        load_looks(everything, "rgb", "test")


def test_features_of_other_parameters_are_not_mixed_in(world: Path, tmp_path: Path):
    extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    with pytest.raises(DataError, match="holds features made with other parameters"):
        extract(find_recordings(world), manifest_draft(48), tmp_path / "features", workers=1)


def test_the_split_is_part_of_what_is_hashed(world: Path, tmp_path: Path):
    dataset, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    one = replace(dataset, recordings=split(dataset.recordings, seed=0))
    other = replace(dataset, recordings=split(dataset.recordings, seed=5))
    assert {r.id: r.side for r in one.recordings} != {r.id: r.side for r in other.recordings}
    assert one.sha256() != other.sha256()


def test_a_recording_that_was_replaced_is_extracted_anew(world: Path, tmp_path: Path):
    before, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    write_video(world / "calm" / "0.mp4", seconds=1, audio_rate=16000)
    after, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    changed = {r.id for r, old in zip(after.recordings, before.recordings, strict=True) if r.sha256 != old.sha256}
    assert changed == {"calm--0.mp4"}
    assert after.recordings[0].seconds == 1
    looks, _ = read_shard(after.shard(after.recordings[0]), "rgb")
    assert len(looks) == 5
    written = (after.shard(after.recordings[1]) / "rgb.npy").stat().st_mtime_ns
    os.utime(after.recordings[1].uri)  # copied anew, but the same
    extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    assert (after.shard(after.recordings[1]) / "rgb.npy").stat().st_mtime_ns == written


def test_sides_survive_another_extraction(world: Path, tmp_path: Path):
    dataset, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    replace(dataset, recordings=split(dataset.recordings)).save()
    again, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    assert all(r.side for r in again.recordings)


def test_unknown_is_no_class(world: Path, tmp_path: Path):
    (world / "wild").rename(world / "unknown")
    dataset, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    assert dataset.manifest.labels == ("calm",)
    everything = replace(dataset, recordings=tuple(replace(r, side="train") for r in dataset.recordings))
    assert set(load_looks(everything, "rgb", "train").y) == {-1, 0}


def test_what_is_wrong_with_a_second_is_on_record_and_the_rest_is_used(world: Path, tmp_path: Path):
    write_sound(world / "calm" / "cut.wav", np.zeros((1, 16000 * 2 + 4000)), 16000)
    samples = np.zeros((1, 48000), np.float32)
    samples[0, 20000] = np.nan
    write_sound(world / "calm" / "nan.wav", samples, 16000)
    dataset, failures = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    assert failures == []
    rows = (tmp_path / "features" / "faults.csv").read_text().splitlines()
    assert rows[0] == "recording,uri,second,reason"
    assert any(row.startswith("calm--nan.wav,") and row.endswith(",1,nothing of it could be used") for row in rows)
    seconds = {r.id: r.seconds for r in dataset.recordings}
    assert seconds["calm--cut.wav"] == 2


def test_a_full_disk_is_one_sentence_and_what_was_finished_is_kept(world: Path, tmp_path: Path):
    """A limit on the size of a file stands for the full disk: the same error, from the same call."""
    for pixels, code in (("16", 0), ("64", 1)):
        done = subprocess.run(
            ["prlimit", "--fsize=65536", sys.executable, "-m", "cloud_train", "extract", world, "--pixels", pixels,
             "--out", tmp_path / pixels, "--workers", "1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"touchline-train: {tmp_path / '64' / 'shards'}")
    assert last.endswith("file too large; finished work is kept")
    assert not [file for file in (tmp_path / "64" / "shards").iterdir() if file.name.startswith(".")]


def test_rows_of_many_files_are_read_like_one_array(world: Path, tmp_path: Path):
    dataset, _ = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    everything = replace(dataset, recordings=tuple(replace(r, side="train") for r in dataset.recordings))
    rows = load_looks(everything, "rgb", "train").x
    whole = np.concatenate([np.load(file) for file in sorted((tmp_path / "features" / "shards").glob("*/rgb.npy"))])
    assert rows.shape == whole.shape
    chosen = np.array([59, 0, 31, 31, 10])
    assert np.array_equal(rows[chosen], whole[chosen])
    assert np.array_equal(rows[7:23:3], whole[7:23:3])


def test_the_same_recording_under_two_names_is_kept_once_a_side_and_not_under_two_labels(world: Path, tmp_path: Path):
    shutil.copy(world / "calm" / "0.mp4", world / "calm" / "again.mp4")
    shutil.copy(world / "calm" / "1.mp4", world / "wild" / "stolen.mp4")
    dataset, failures = extract(find_recordings(world), DRAFT, tmp_path / "features", workers=1)
    calm, wild = (world / name for name in ("calm/1.mp4", "wild/stolen.mp4"))
    assert failures == [
        f"{calm}: is labelled calm, but {wild}, the same recording, wild",
        f"{wild}: is labelled wild, but {calm}, the same recording, calm",
    ]
    sides = {r.id: r.side for r in split(dataset.recordings)}
    assert sides["calm--0.mp4"] == sides["calm--again.mp4"]
    assert "wild--stolen.mp4" not in sides
