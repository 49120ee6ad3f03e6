"""Recordings to features: found, extracted once, refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media import write_sound, write_video

from cloud_train.dataset import Dataset, extract, load_looks
from cloud_train.presets import manifest_draft
from cloud_train.recordings import DataError, find_recordings
from cloud_train.split import split

DRAFT = manifest_draft(32)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two classes of three videos with sound, and a sound alone."""
    for label in ("calm", "wild"):
        (tmp_path / "world" / label).mkdir(parents=True)
        for i in range(3):
            write_video(tmp_path / "world" / label / f"{i}.mp4", seconds=2, audio_rate=16000)
    write_sound(tmp_path / "world" / "calm" / "only.wav", np.zeros((1, 32000)), 16000)
    return tmp_path / "world"


def test_a_folder_of_class_folders(world: Path):
    found = find_recordings(world)
    assert [(r.id, r.label) for r in found[:2]] == [("calm--0.mp4", "calm"), ("calm--1.mp4", "calm")]
    assert len(found) == 7


def test_a_csv_with_paths_beside_it(world: Path):
    (world / "list.csv").write_text("uri,label,recording\ncalm/0.mp4,calm,first\nwild/1.mp4,wild,second half\n")
    first, second = find_recordings(world / "list.csv")
    assert (first.id, first.uri, first.label) == ("first", str(world / "calm/0.mp4"), "calm")
    assert second.id == "second_half"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("uri,name\na,b\n", "has no column 'label'; the columns are uri, label, recording"),
        ("uri,label,recording\n", "no recordings"),
        ("uri,label,recording\na,x,one\nb,x,one\n", "recording 'one' is listed twice"),
    ],
)
def test_a_bad_csv_is_one_sentence(tmp_path: Path, text: str, sentence: str):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        find_recordings(tmp_path / "list.csv")


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
