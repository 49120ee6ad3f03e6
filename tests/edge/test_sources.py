"""Sources: odd media give what they have, bad ones one sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from media import write_sound, write_video

from edge.clip import Clip
from edge.manifest import ClipSpec
from edge.sources import Source, SourceError, SourceNotFoundError, ahead, paced
from edge.windows import Windower, clips

SPEC = ClipSpec(frames_per_second=5, width=32, height=24, sample_rate_hz=16000)


def read(path: Path) -> list[Clip]:
    with Source(str(path), SPEC.sample_rate_hz) as source:
        return list(clips(source, Windower(SPEC, video=source.video, audio=source.audio)))


def test_picture_and_sound_on_one_clock(tmp_path: Path):
    found = read(write_video(tmp_path / "a.mp4", seconds=3, frame_rate=25, audio_rate=48000))
    assert [clip.start for clip in found] == [0.0, 1.0, 2.0]
    assert all(len(clip.times) == 5 for clip in found)
    assert all(clip.audio is not None and clip.audio.shape == (16000,) for clip in found)


@pytest.mark.parametrize(("rate", "layout"), [(8000, "mono"), (44100, "stereo"), (96000, "mono"), (48000, "5.1")])
def test_any_rate_and_layout_becomes_mono_at_the_models_rate(rate: int, layout: str, tmp_path: Path):
    channels = len(av.AudioLayout(layout).channels)
    t = np.arange(2 * rate) / rate
    sine = np.repeat(0.5 * np.sin(2 * np.pi * 440 * t)[None], channels, axis=0)
    found = read(write_sound(tmp_path / "a.wav", sine, rate))
    assert len(found) == 2
    assert found[1].frames is None
    assert found[1].audio is not None
    spectrum = np.abs(np.fft.rfft(found[1].audio))
    assert int(spectrum.argmax()) == 440, "one bin is one hertz"


def test_a_tone_has_no_seams_between_seconds(tmp_path: Path):
    found = read(write_video(tmp_path / "a.mp4", seconds=3, audio_rate=44100))
    sound = np.concatenate([clip.audio for clip in found if clip.audio is not None])
    steps = np.abs(np.diff(sound[2000:-4000]))
    assert steps.max() <= 0.5 * 2 * np.pi * 440 / 16000 * 1.1, "no step is larger than the sine's own"


def test_variable_frame_rate_keeps_its_times(tmp_path: Path):
    times = [0.0, 0.05, 0.1, 0.55, 0.6, 1.0, 1.5, 1.9]
    found = read(write_video(tmp_path / "a.mp4", times=times))
    assert [clip.times for clip in found] == [pytest.approx((0.0, 0.55, 0.6)), pytest.approx((1.0, 1.5, 1.9))]


def test_a_stream_without_its_first_keyframe_starts_at_the_next(tmp_path: Path):
    whole = write_video(tmp_path / "a.ts", seconds=4, frame_rate=10).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[188 * 12 :])
    found = read(cut)
    assert found
    assert sum(len(clip.times) for clip in found) <= 15


def test_one_picture_is_one_second(tmp_path: Path):
    (only,) = read(write_video(tmp_path / "a.mp4", times=[0.0]))
    assert only.frames is not None
    assert only.frames.shape == (1, 24, 32, 3)


def test_a_photograph_is_a_recording_of_one_frame(tmp_path: Path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((100, 100, 3), 200, np.uint8))
    (only,) = read(tmp_path / "a.jpg")
    assert only.frames is not None
    assert abs(int(only.frames.mean()) - 200) <= 2


def test_sound_with_nan_is_left_out_second_by_second(tmp_path: Path):
    samples = np.zeros((1, 48000), np.float32)
    samples[0, 20000] = np.nan
    write_video(tmp_path / "a.mp4", seconds=3)
    write_sound(tmp_path / "a.wav", samples, 16000)
    found = read(tmp_path / "a.wav")
    assert [clip.start for clip in found] == [0.0, 2.0], "nothing is left of the second with NaN"


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path):
    data = bytearray(write_video(tmp_path / "a.ts", seconds=4, frame_rate=10).read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.integers(len(data) // 4, len(data) // 2, 400):
        data[at] = 0xFF
    (tmp_path / "b.ts").write_bytes(data)
    assert len(read(tmp_path / "b.ts")) >= 2


def bad_media(folder: Path) -> Iterator[tuple[Path, str]]:
    (folder / "folder.mp4").mkdir()
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "text.txt").write_text("this is no video\n" * 100)
    (folder / "empty.mp4").touch()
    whole = write_video(folder / "whole.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    write_sound(folder / "no-samples.wav", np.zeros((1, 0)), 16000)
    yield folder / "missing.mp4", "no such file"
    yield folder / "folder.mp4", "is a directory; name one media file"
    yield folder / "text.mp4", "not readable as media"
    yield folder / "text.txt", "not readable as media (it is text)"
    yield folder / "empty.mp4", "the file is empty"
    yield folder / "truncated.mp4", "not readable as media"
    yield folder / "no-samples.wav", "no picture or sound in it could be decoded"


def test_bad_media_are_one_sentence_that_names_the_file(tmp_path: Path):
    for path, sentence in bad_media(tmp_path):
        with pytest.raises(SourceError) as failure:
            read(path)
        message = str(failure.value)
        assert message.startswith(f"{path}: ")
        assert sentence in message
        assert "\n" not in message
        assert isinstance(failure.value, SourceNotFoundError) == (path.stem in ("missing", "folder", "empty"))


def test_a_source_without_what_the_bundle_judges_is_refused(tmp_path: Path):
    path = write_sound(tmp_path / "a.wav", np.zeros((1, 16000)), 16000)
    with pytest.raises(SourceError, match="has no picture that the bundle could judge"):
        Source(str(path), 16000, audio=False)


def test_pace_is_the_medias_own(tmp_path: Path):
    began = time.monotonic()
    with Source(str(write_video(tmp_path / "a.mp4", seconds=1)), 16000) as source:
        assert len(list(paced(source))) == 10
    assert 0.85 <= time.monotonic() - began <= 1.5


def test_ahead_keeps_order_and_bound_and_ends_its_thread():
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    threads = threading.active_count()
    taken = ahead(items(), depth=3)
    assert [next(taken) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.05)
    assert len(made) <= 5 + 3 + 2
    assert list(taken) == list(range(5, 100))
    abandoned = ahead(iter(range(1000)), depth=2)
    next(abandoned)
    abandoned.close()
    assert threading.active_count() == threads


def test_ahead_carries_failures_over():
    def items() -> Iterator[int]:
        yield 1
        msg = "the cable is out"
        raise SourceError(msg)

    taken = ahead(items(), depth=2)
    assert next(taken) == 1
    with pytest.raises(SourceError, match="the cable is out"):
        next(taken)


def test_a_rotated_recording_is_turned_upright(tmp_path: Path):
    plain = write_video(tmp_path / "plain.mp4", seconds=1)
    data = bytearray(plain.read_bytes())
    matrix = data.index(b"tkhd") + 44
    quarter_turn = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    data[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in quarter_turn)
    (tmp_path / "turned.mp4").write_bytes(data)
    spec = ClipSpec(frames_per_second=5, width=48, height=48, sample_rate_hz=16000)
    upright, turned = (
        next(clips(Source(str(path), 16000), Windower(spec, audio=False))).frames
        for path in (plain, tmp_path / "turned.mp4")
    )
    assert upright is not None
    assert turned is not None
    assert np.array_equal(turned, np.rot90(upright, -1, axes=(1, 2))), "the matrix turns clockwise"
