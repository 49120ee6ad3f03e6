"""`touchline-train inspect`: what is wrong with a data set is found, and nothing else."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import write_video

from cloud_train.__main__ import main
from cloud_train.dataset import Dataset, extract
from cloud_train.facts import count_classes, examine, oddities
from cloud_train.inspection import Inspection, inspect
from cloud_train.presets import manifest_draft
from cloud_train.recordings import DataError, Recording, find_recordings
from cloud_train.shards import write_shard
from cloud_train.sheets import CELL, COLOURS, COLUMNS, Thumbnail, contact_sheet, draw_counts, evenly, look_at
from cloud_train.suspects import suspicion
from cloud_train.synth import SPORTS, frames, write_world
from cloud_train.twins import NEAR_BITS, near_pairs, picture_hash
from edge.bundle import DEMO, Bundle
from edge.clip import Clip

LABELS = ("formula1", "golf", "soccer", "swimming")
MOVED = "swimming--moved.mp4"


def hushed(source: Path, to: Path) -> None:
    """Encode a recording again, with its pictures and without its sound's samples."""
    with av.open(str(source)) as old, av.open(str(to), "w") as new:
        video = new.add_stream("libx264", rate=15)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = new.add_stream("aac", rate=16000, layout="mono")
        for i, frame in enumerate(old.decode(video=0)):
            new.mux(video.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")))
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1067), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 16000, i * 1067
            new.mux(audio.encode(silence))
        new.mux(video.encode())
        new.mux(audio.encode())


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four sports, with one recording in a wrong folder, one copied, one without light and one without sound."""
    world = tmp_path_factory.mktemp("world")
    write_world(world, recordings_per_class=3, seconds=2, seed=77, processes=2, labels=LABELS)
    shutil.move(world / "golf" / "golf-77-001.mp4", world / "swimming" / "moved.mp4")
    shutil.copy(world / "formula1" / "formula1-77-002.mp4", world / "formula1" / "second-name.mp4")
    hushed(world / "soccer" / "soccer-77-002.mp4", world / "soccer" / "silent.mp4")
    write_video(world / "soccer" / "black.mp4", audio_rate=16000, draw=lambda _: np.zeros((48, 64, 3), np.uint8))
    dataset, failures = extract(find_recordings(world), manifest_draft(64), world / "features", workers=2)
    assert failures == []
    tests = ("second-name.mp4", "silent.mp4")
    split = tuple(replace(r, side="test" if r.uri.endswith(tests) else "train") for r in dataset.recordings)
    dataset = replace(dataset, recordings=split)
    dataset.save()
    return dataset


@pytest.fixture(scope="module")
def inspection(messy: Dataset) -> Inspection:
    return inspect(messy, Bundle.load(DEMO))


def test_what_is_odd_is_found_and_nothing_else(inspection: Inspection):
    assert [(o.kind, o.recording, o.detail) for o in inspection.oddities] == [
        ("black or blank picture", "soccer--black.mp4", "in 2 of 2 seconds"),
        ("silent sound", "soccer--silent.mp4", "in 2 of 2 seconds"),
    ]
    assert inspection.having == {"rgb": 15, "flow": 15, "audio": 15}
    assert inspection.imbalance("recordings") == 2.5


def test_a_copy_is_found_by_its_content_and_a_new_encoding_by_its_picture(inspection: Inspection):
    (group,) = inspection.copies
    assert [r.id for r in group] == ["formula1--formula1-77-002.mp4", "formula1--second-name.mp4"]
    (pair,) = inspection.near
    assert {pair.one.id, pair.other.id} == {"soccer--soccer-77-002.mp4", "soccer--silent.mp4"}
    assert pair.bits < NEAR_BITS / 2


def test_a_mislabelled_recording_comes_first_and_what_shows_nothing_is_called_unknown(inspection: Inspection):
    found = inspection.suspicion
    assert found is not None
    assert [(r.recording, r.found, r.share) for r in found.recordings] == [
        (MOVED, "golf", 1.0),
        ("soccer--black.mp4", "unknown", 1.0),
    ]
    assert [(s.recording, s.label, s.found) for s in found.suspects[:2]] == [(MOVED, "swimming", "golf")] * 2
    odds = [s.odds for s in found.suspects]
    assert odds == sorted(odds, reverse=True)
    assert found.recordings[0].odds > 10
    worst = found.suspects[0]
    assert worst.voting == 3
    assert worst.agreeing == sum(label == "golf" for label, _ in worst.votes.values())
    assert sum(j.seconds for j in found.judged) == 30
    assert not found.learnt_here


def test_the_command_writes_a_page_drawings_a_table_to_edit_and_all_figures(
    messy: Dataset, inspection: Inspection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, figures = tmp_path / "out", tmp_path / "all.json"
    assert main(["inspect", str(messy.path), "--bundle", str(DEMO), "--out", str(out), "--json", str(figures)]) == 0
    said = capsys.readouterr().out
    assert "15 recordings, 30 seconds, 4 classes" in said
    assert "silent sound: 1" in said

    page = (out / "inspect.html").read_text()
    assert page.index(">Suspect recordings</h2>") < page.index(MOVED) < page.index(">What classes show</h2>")
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<img") + page.count("<svg") == 10
    names = {path.name for path in (out / "figures").iterdir()}
    assert {"class-000-formula1.jpg", "classes-seconds.svg", "odd.jpg", "suspect-seconds.jpg"} < names

    with (out / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["uri", "label", "recording", "second", "found", "score", "side"]
    assert [(r["recording"], r["second"], r["found"]) for r in rows[:2]] == [(MOVED, "0", "golf"), (MOVED, "1", "golf")]
    assert {r["uri"] for r in rows[:2]} == {next(r.uri for r in messy.recordings if r.id == MOVED)}

    raw = json.loads(figures.read_text())
    assert raw["imbalance"] == {"recordings": 2.5, "seconds": 2.5}
    assert raw["suspicion"]["recordings"][0]["found"] == "golf"
    assert len(raw["oddities"]) == len(inspection.oddities)


def test_a_bundle_that_learnt_these_very_labels_is_known(messy: Dataset):
    bundle = Bundle.load(DEMO)
    here = replace(bundle, manifest=replace(bundle.manifest, provenance={"data_sha256": messy.sha256()}))
    assert suspicion(messy, here).learnt_here


def test_without_a_bundle_labels_are_not_judged(messy: Dataset, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(messy.path)]) == 0
    assert "suspect" not in capsys.readouterr().out
    page = (messy.path / "inspected" / "inspect.html").read_text()
    assert "Odd recordings" in page
    assert "Suspect" not in page


def test_features_and_labels_that_are_not_the_bundles_are_refused(
    messy: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    larger = by_hand(tmp_path / "larger", {"a": second(0)}, pixels=96)
    assert main(["inspect", str(larger.path), "--bundle", str(DEMO)]) == 2
    said = capsys.readouterr().err
    assert "larger: clip.width is 96, the bundle's 64; extract features as it wants them" in said
    chess = tuple(replace(r, label="chess") for r in messy.recordings)
    with pytest.raises(DataError, match="none of its labels is one of the bundle's"):
        inspect(replace(messy, recordings=chess), Bundle.load(DEMO))


def second(start: float, *, picture: bool = True, heard: float | None = 1.0) -> list[Clip]:
    """One second of noise to see and to hear, of which `heard` is not silence."""
    rng = np.random.default_rng(int(start))
    frames = rng.integers(0, 256, (5, 64, 64, 3), np.uint8) if picture else None
    sound = None
    if heard is not None:
        sound = rng.normal(0, 0.1, 16000).astype(np.float32)
        sound[round(16000 * heard) :] = 0
    return [Clip(start, frames, tuple(start + i / 5 for i in range(5)) if picture else (), sound)]


def by_hand(folder: Path, recordings: dict[str, list[Clip]], *, pixels: int = 64, sound: str = "log_mel") -> Dataset:
    """A data set of clips that were made here."""
    manifest = replace(manifest_draft(pixels, sound=sound), labels=("golf",))
    rows = tuple(Recording(name, f"{name}.mp4", "golf", seconds=len(clips)) for name, clips in recordings.items())
    dataset = Dataset(folder, manifest, rows)
    for r in rows:
        write_shard(dataset.shard(r), recordings[r.id], manifest, sha256=r.id, stamp="")
    dataset.save()
    return dataset


def test_what_is_missing_is_counted(tmp_path: Path):
    dataset = by_hand(
        tmp_path,
        {
            "fine": second(0) + second(1),
            "gap": second(0) + second(3) + second(4, picture=False),
            "hushed": [replace(second(0, heard=None)[0], faults=("sound holds NaN",)), *second(1)],
            "mute": second(0, heard=None) + second(1, heard=None),
            "radio": second(0, picture=False),
            "short": second(0, heard=0.6),
        },
    )
    assert [(o.kind, o.recording, o.detail) for o in oddities(examine(dataset))] == [
        ("faults", "hushed", "1, the first in second 0: sound holds NaN"),
        ("no picture", "radio", "sound only"),
        ("no sound", "mute", "pictures only"),
        ("picture is missing in places", "gap", "in 1 of 3 seconds"),
        ("seconds are missing", "gap", "2 of 5 seconds"),
        ("shorter than a second", "short", "fills 63% of a second"),
        ("sound is missing in places", "hushed", "in 1 of 2 seconds"),
    ]


def test_a_still_picture_is_frozen_and_one_colour_is_blank(tmp_path: Path):
    still = [replace(clip, frames=np.repeat(clip.frames[:1], 5, axis=0)) for clip in second(0)]
    gray = [replace(clip, frames=np.full_like(clip.frames, 90)) for clip in second(1)]
    dataset = by_hand(tmp_path, {"both": still + gray})
    assert [(o.kind, o.detail) for o in oddities(examine(dataset))] == [
        ("black or blank picture", "in 1 of 2 seconds"),
        ("frozen picture", "in 1 of 2 seconds"),
    ]


def test_cepstral_coefficients_tell_silence_too(tmp_path: Path):
    dataset = by_hand(tmp_path, {"loud": second(0), "silent": second(0, heard=0)}, sound="mfcc")
    assert [f.silent for f in examine(dataset)] == [0, 1]


def test_photographs_are_not_odd_for_having_no_sound(tmp_path: Path):
    photographs = {str(i): [Clip(0.0, second(i)[0].frames[:1], (0.0,), None)] for i in range(3)}
    dataset = by_hand(tmp_path, photographs)
    assert oddities(examine(dataset)) == []
    assert main(["inspect", str(dataset.path)]) == 0


def picture(label: str, seed: int = 0) -> np.ndarray:
    return next(frames(SPORTS[label], seed=seed, seconds=0.1, width=320, height=240, frame_rate=10))


def test_the_hash_survives_compression_scaling_and_light_but_tells_pictures_apart():
    def distance(one: np.ndarray, other: np.ndarray) -> int:
        return sum((a ^ b).bit_count() for a, b in zip(picture_hash(one), picture_hash(other), strict=True))

    original = picture("golf")
    compressed = cv2.imdecode(cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    smaller = cv2.resize(original, (120, 90), interpolation=cv2.INTER_AREA)
    darker = (original * 0.8).astype(np.uint8)
    assert max(distance(original, each) for each in (compressed, smaller, darker)) <= NEAR_BITS
    others = [picture("golf", 1), picture("cricket"), picture("soccer")]
    assert min(distance(original, each) for each in others) > NEAR_BITS


def test_near_duplicates_are_looked_for_across_sides_only_and_everywhere_before_the_split():
    hashes = [picture_hash(picture("golf")), picture_hash(picture("golf")[:, 3:-3]), None]
    one, other, blank = (Recording(name, name, "golf", sha256=name) for name in ("one", "other", "blank"))
    train = [replace(r, side="train") for r in (one, other, blank)]
    assert [(p.one.id, p.other.id) for p in near_pairs([one, other, blank], hashes)] == [("one", "other")]
    assert near_pairs([*train[:1], replace(other, side="test"), blank], hashes)[0].bits <= NEAR_BITS
    far = Recording("far", "far", "golf", "test", sha256="far")
    assert near_pairs([*train, far], [*hashes, picture_hash(picture("soccer"))]) == []
    copy = replace(other, sha256="one")
    assert near_pairs([one, copy, blank], hashes) == []
    assert near_pairs([blank], [None]) == []


def test_a_contact_sheet_shows_every_picture_and_marks_its_side():
    grays = range(40, 40 + 11 * 16, 16)
    cells = [Thumbnail(np.full((CELL, CELL, 3), gray, np.uint8), "a-long-name" * 6, "test") for gray in grays]
    sheet = cv2.imdecode(np.frombuffer(contact_sheet("golf", cells), np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None

    def pixels(*bgr: int) -> int:
        return int((np.abs(sheet.astype(int) - bgr).max(axis=2) < 8).sum())

    assert min(pixels(gray, gray, gray) for gray in grays) > 0.98 * CELL * CELL
    green = [int(COLOURS["test"][i : i + 2], 16) for i in (5, 3, 1)]
    assert pixels(*green) > 8 * CELL * 5
    assert sheet.shape[1] > COLUMNS * CELL


def test_a_sheet_is_chosen_evenly_over_the_sides():
    sides = ["train"] * 80 + ["validation"] * 10 + ["test"] * 10
    chosen = evenly([Recording(f"{i:03d}", "", "golf", side) for i, side in enumerate(sides)], 20)
    counts = [sum(r.side == side for r in chosen) for side in ("train", "validation", "test")]
    assert counts == [16, 2, 2]
    assert len({r.id for r in chosen}) == 20
    assert len(evenly([Recording("only", "", "golf")])) == 1


def test_what_has_no_picture_shows_its_sound(tmp_path: Path):
    dataset = by_hand(tmp_path, {"radio": second(0, picture=False), "tv": second(0)})
    radio, tv = (look_at(dataset, r) for r in dataset.recordings)
    assert radio.shape == tv.shape == (CELL, CELL, 3)
    assert len(np.unique(radio)) > 50
    assert not np.array_equal(radio, tv)
    assert np.array_equal(look_at(dataset, dataset.recordings[1], second=7), np.full_like(tv, 200))


def test_classes_are_counted_by_side_the_largest_first():
    recordings = [
        Recording("a", "", "golf", "train", 3),
        Recording("b", "", "golf", "test", 2),
        Recording("c", "", "tennis", "train", 9),
    ]
    golf, tennis = count_classes(recordings)
    assert (golf.label, golf.recordings, golf.seconds) == ("golf", {"train": 1, "test": 1}, {"train": 3, "test": 2})
    assert tennis.seconds == {"train": 9, "test": 0}
    (axes,) = draw_counts([golf, tennis], "seconds").axes
    assert [[bar.get_height() for bar in stack] for stack in axes.containers] == [[3, 9], [2, 0]]
