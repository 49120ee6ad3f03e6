"""The synthetic world keeps the promises that training and fusion build on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from cloud_train import synth
from cloud_train.synth import LABELS, SPORTS, frames, sound, write_recording, write_world

SOUND_ONLY = [("badminton", "tennis"), ("fieldhockey", "lacrosse"), ("volleyball", "handball")]
MOTION_ONLY = [("cycling", "athletics"), ("football", "rugby")]
PICTURE_ONLY = [("boxing", "wrestling"), ("golf", "cricket"), ("baseball", "basketball")]


def _frames(label: str, seed: int, seconds: float = 0.4) -> np.ndarray:
    return np.stack(list(frames(SPORTS[label], seed=seed, seconds=seconds, width=64, height=48, frame_rate=10)))


def _sound(label: str, seed: int) -> np.ndarray:
    return sound(SPORTS[label], seed=seed, seconds=1, sample_rate_hz=16000)


def test_there_are_25_labels_in_order() -> None:
    assert len(LABELS) == 25
    assert list(LABELS) == sorted(LABELS)
    assert all(SPORTS[label].label == label for label in LABELS)


@pytest.mark.parametrize(
    ("pairs", "different"), [(SOUND_ONLY, "sound"), (MOTION_ONLY, "motion"), (PICTURE_ONLY, "picture")]
)
def test_a_pair_differs_in_one_modality_only(pairs: list[tuple[str, str]], different: str) -> None:
    for one, other in pairs:
        for modality in ("picture", "motion", "sound"):
            same = getattr(SPORTS[one], modality) == getattr(SPORTS[other], modality)
            assert same == (modality != different), (one, other, modality)


@pytest.mark.parametrize(("pairs", "modality"), [(SOUND_ONLY, "sound"), (MOTION_ONLY, "motion")])
def test_what_tells_a_pair_apart_is_used_by_no_other_class(pairs: list[tuple[str, str]], modality: str) -> None:
    uses = Counter(getattr(sport, modality) for sport in SPORTS.values())
    assert all(uses[getattr(SPORTS[label], modality)] == 1 for pair in pairs for label in pair)


def test_only_all_three_modalities_together_name_every_class() -> None:
    sports = SPORTS.values()
    assert len({(id(sport.picture), sport.motion, sport.sound) for sport in sports}) == 25
    assert len({id(sport.picture) for sport in sports}) == 20
    assert len({sport.motion for sport in sports}) == 10
    assert len({sport.sound for sport in sports}) == 15


@pytest.mark.parametrize("label", LABELS)
def test_every_sport_can_be_seen_moving_and_heard(label: str) -> None:
    pictures, samples = _frames(label, seed=1), _sound(label, seed=1)
    assert pictures.shape == (4, 48, 64, 3)
    assert pictures.dtype == np.uint8
    assert pictures.std() > 15
    assert np.abs(np.diff(pictures.astype(int), axis=0)).mean() > 0.5
    assert samples.shape == (16000,)
    assert samples.dtype == np.float32
    assert 0.2 < np.abs(samples).max() <= 1


def test_the_same_seed_gives_the_same_recording_and_another_seed_another() -> None:
    assert np.array_equal(_frames("golf", seed=5), _frames("golf", seed=5))
    assert np.array_equal(_sound("golf", seed=5), _sound("golf", seed=5))
    assert not np.array_equal(_frames("golf", seed=5), _frames("golf", seed=6))
    assert not np.array_equal(_sound("golf", seed=5), _sound("golf", seed=6))


def test_a_recording_holds_its_segments_with_picture_and_sound_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "match.mp4"
    write_recording(path, [("tennis", 1.2), ("swimming", 0.8)], seed=3)
    with av.open(str(path)) as container:
        video, track = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, track.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height) == (320, 240)
        assert video.average_rate == 15
        assert (track.rate, track.channels) == (32000, 1)
        packets = [
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.dts is not None and packet.time_base is not None
        ]
    seconds = {"video": 0.0, "audio": 0.0}
    for _, kind, at_seconds in sorted(packets):  # as they lie in the file
        seconds[kind] = at_seconds
        assert abs(seconds["video"] - seconds["audio"]) < 1
    assert sum(kind == "video" for _, kind, _ in packets) == 30
    assert seconds["audio"] == pytest.approx(2, abs=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["match.mp4"]


def test_the_same_seed_writes_the_same_file(tmp_path: Path) -> None:
    written = []
    for _ in range(4):
        write_recording(tmp_path / "one.mp4", [("americanfootball", 3.0)], seed=3)
        written.append((tmp_path / "one.mp4").read_bytes())
    assert len(set(written)) == 1


def test_a_world_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def write(count: int) -> list[Path]:
        return write_world(
            tmp_path,
            recordings_per_class=count,
            seconds=0.4,
            seed=7,
            processes=1,
            labels=("golf",),
        )

    (first,) = write(1)
    assert first == tmp_path / "golf" / "golf-7-000.mp4"
    first.write_bytes(b"already here")
    paths = write(2)
    assert first.read_bytes() == b"already here"
    assert paths == sorted((tmp_path / "golf").iterdir())
    assert paths[1].stat().st_size > 1000


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([("golf", 1.0), ("chess", 1.0)], "unknown sport 'chess'"),
        ([("golf", 0.0)], "'golf' lasts 0.0 seconds"),
        ([], "at least one segment"),
    ],
)
def test_a_wrong_segment_is_refused_before_anything_is_written(
    tmp_path: Path, segments: list[tuple[str, float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_recording(tmp_path / "match.mp4", segments, seed=1)
    assert not list(tmp_path.iterdir())


def test_a_world_with_an_unknown_label_is_refused_whole(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown sport 'chess'"):
        write_world(tmp_path, recordings_per_class=1, seconds=1, seed=1, labels=("golf", "chess"))
    assert not list(tmp_path.iterdir())


def test_a_failure_halfway_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "out of tune"

    def breaks(*_: object, **__: object) -> np.ndarray:
        raise RuntimeError(message)

    whole = synth.sound

    def sound_once(sport: synth.Sport, **knobs: float) -> np.ndarray:
        return breaks() if sport.label == "golf" else whole(sport, **knobs)  # type: ignore[arg-type]

    monkeypatch.setattr(synth, "sound", sound_once)
    with pytest.raises(RuntimeError, match=message):
        write_recording(tmp_path / "match.mp4", [("tennis", 0.4), ("golf", 0.4)], seed=1)
    assert not list(tmp_path.iterdir())
