"""Inspection finds what was put wrong into a data set, and nothing else."""

from __future__ import annotations

import csv
import shutil
import wave
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from media import write_video

from cloud_train.__main__ import main
from cloud_train.dataset import Dataset, extract
from cloud_train.inspection import inspect
from cloud_train.inspection_page import write_inspection
from cloud_train.presets import manifest_draft
from cloud_train.recordings import DataError, find_recordings
from cloud_train.synth import write_world
from edge.bundle import DEMO, Bundle

LABELS = ("formula1", "rugby", "swimming")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three classes; one recording in the wrong folder, a copy, a black one without sound, a silent sound."""
    folder = tmp_path_factory.mktemp("inspected")
    world = folder / "world"
    write_world(world, recordings_per_class=4, seconds=2.0, seed=3, labels=LABELS)
    formula1, _, swimming = (sorted((world / label).iterdir()) for label in LABELS)
    formula1[0].rename(world / "rugby" / "wrong.mp4")
    shutil.copy(swimming[0], world / "swimming" / "copy.mp4")
    write_video(world / "rugby" / "black.mp4", seconds=2, draw=lambda _: np.zeros((48, 64, 3), np.uint8))
    with wave.open(str(world / "rugby" / "silent.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(bytes(64000))
    extracted, failures = extract(find_recordings(world), manifest_draft(64), folder / "features", workers=1)
    assert failures == []
    sides = ("train", "train", "validation", "test", "train", "train", "train")
    recordings = tuple(replace(r, side=sides[i % len(sides)]) for i, r in enumerate(extracted.recordings))
    extracted = replace(extracted, recordings=recordings)
    extracted.save()
    return extracted


def test_what_is_odd_is_found_and_nothing_else(dataset: Dataset):
    odd = {(o.recording, o.what) for o in inspect(dataset).odd}
    first = next(r.id for r in dataset.recordings if r.label == "swimming" and "copy" not in r.id)
    told = {(name, what) for name, what in odd if not what.startswith("looks like")}
    assert told == {
        ("rugby--black.mp4", "is black"),
        ("rugby--black.mp4", "has no sound"),
        ("rugby--silent.wav", "is silent"),
        ("rugby--silent.wav", "has no picture"),
        *{(b, f"is the same recording as {a}") for a, b in [sorted([first, "swimming--copy.mp4"])]},
    }


def test_the_recording_in_the_wrong_folder_is_the_worst_suspect(dataset: Dataset):
    found = inspect(dataset, Bundle.load(DEMO))
    assert next(iter(found.shares())) == "rugby--wrong.mp4"
    assert {s.recording.id for s in found.suspects} == {"rugby--wrong.mp4"}
    assert {s.found for s in found.suspects} == {"formula1"}


def test_the_page_shows_every_label_and_the_list_can_be_edited(dataset: Dataset, tmp_path: Path):
    found = inspect(dataset, Bundle.load(DEMO))
    page = write_inspection(dataset, found, tmp_path, judged=True).read_text()
    for label in LABELS:
        assert f'<h2 id="{label}">' in page
        assert (tmp_path / "figures" / f"sheet-{label}.jpg").stat().st_size > 1000
    rows = list(csv.DictReader((tmp_path / "suspects.csv").read_text().splitlines()))
    assert [row["found"] for row in rows] == [s.found for s in found.suspects]
    assert "<script" not in page


def test_the_command_writes_the_same_as_data(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["inspect", str(dataset.path), "--bundle", str(DEMO), "--out", str(tmp_path / "page")]
    assert main([*command, "--json", str(tmp_path / "f.json")]) == 0
    data = msgspec.json.decode((tmp_path / "f.json").read_bytes())
    assert sum(data["labels"]["formula1"].values()) == 3
    assert list(data["shares"]) == ["rugby--wrong.mp4"]
    assert f"page: {tmp_path / 'page' / 'inspect.html'}" in capsys.readouterr().out


def test_features_of_another_kind_are_refused(dataset: Dataset):
    other = replace(dataset, manifest=manifest_draft(32))
    with pytest.raises(DataError, match=r"its rgb features are made otherwise than those of .*; extract anew"):
        inspect(other, Bundle.load(DEMO))
