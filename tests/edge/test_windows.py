"""The Windower: aligned seconds from packets that come as they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clip import Clip, Packet
from edge.manifest import ClipSpec
from edge.windows import Windower

SPEC = ClipSpec(frames_per_second=5, width=8, height=6, sample_rate_hz=1000)


def video(seconds: float, frame_rate: float, start: float = 0.0) -> list[Packet]:
    """Pictures whose every pixel counts the frame."""
    count = round(seconds * frame_rate)
    return [Packet(start + i / frame_rate, frame=np.full((6, 8, 3), i % 256, np.uint8)) for i in range(count)]


def sound(seconds: float, block: int = 160, start: float = 0.0) -> list[Packet]:
    """Samples that count themselves, in blocks."""
    samples = np.arange(round(seconds * 1000), dtype=np.float32)
    return [Packet(start + i / 1000, audio=samples[i : i + block]) for i in range(0, len(samples), block)]


def cut(packets: list[Packet], **media: bool) -> list[Clip]:
    windower = Windower(SPEC, **media)
    clips = [clip for packet in packets for clip in windower.push(packet)]
    return clips + windower.flush()


def interleaved(*tracks: list[Packet]) -> list[Packet]:
    return sorted((p for track in tracks for p in track), key=lambda p: p.time)


def test_every_second_holds_its_own_frames_and_samples():
    clips = cut(interleaved(video(3, 25), sound(3)))
    assert [clip.start for clip in clips] == [0.0, 1.0, 2.0]
    for k, clip in enumerate(clips):
        assert clip.frames is not None
        assert clip.frames.shape == (5, 6, 8, 3)
        assert clip.frames[:, 0, 0, 0].tolist() == [25 * k + 5 * i for i in range(5)]
        assert clip.times == pytest.approx([k + 0.2 * i for i in range(5)])
        assert clip.audio is not None
        assert clip.audio.tolist() == list(range(1000 * k, 1000 * (k + 1)))


def test_frames_that_no_model_looks_at_are_not_converted(monkeypatch: pytest.MonkeyPatch):
    converted = []
    monkeypatch.setattr("edge.windows.picture", lambda frame, *_: converted.append(frame) or frame)
    cut(video(2, 30), audio=False)
    assert len(converted) == 10


def test_a_slow_camera_gives_the_frames_there_are():
    clips = cut(video(3, 2), audio=False)
    assert [len(clip.times) for clip in clips] == [2, 2, 2]


def test_missing_modality_is_none_never_zeros():
    assert all(clip.audio is None for clip in cut(video(2, 10), audio=False))
    assert all(clip.frames is None for clip in cut(sound(2), video=False))


def test_sound_that_ends_early_is_not_waited_for_and_its_rest_is_dropped():
    clips = cut(interleaved(video(6, 10), sound(2.2)))
    assert [clip.audio is not None for clip in clips] == [True, True, False, False, False, False]
    assert clips[2].faults == ("sound covers only 20% of the second",)


def test_a_hole_gives_no_clip():
    clips = cut(video(2, 10) + video(2, 10, start=7.0), audio=False)
    assert [clip.start for clip in clips] == [0.0, 1.0, 7.0, 8.0]


def test_late_packets_are_dropped_and_counted():
    windower = Windower(SPEC, audio=False)
    for packet in video(3, 10):
        windower.push(packet)
    assert windower.push(Packet(0.5, frame=np.zeros((6, 8, 3), np.uint8))) == []
    assert windower.late == 1


def test_last_second_that_is_mostly_missing_is_dropped_but_a_short_recording_stands():
    assert len(cut(video(2.2, 10), audio=False)) == 2
    assert len(cut(video(2.6, 10), audio=False)) == 3
    assert len(cut(sound(0.3), video=False)) == 1
    assert len(cut(video(0.1, 10), audio=False)) == 1


def test_sound_with_nan_is_left_out_and_said():
    packets = sound(1)
    packets[3] = Packet(packets[3].time, audio=np.full(160, np.nan, np.float32))
    (clip,) = cut(interleaved(video(1, 10), packets))
    assert clip.audio is None
    assert clip.faults == ("sound holds NaN or infinite samples",)


def test_stamps_that_codecs_round_leave_no_hole_in_the_sound():
    packets = [Packet(p.time + (0.001 if i % 2 else 0.0), audio=p.audio) for i, p in enumerate(sound(2))]
    clips = cut(packets, video=False)
    assert np.concatenate([clip.audio for clip in clips if clip.audio is not None]).tolist() == list(range(2000))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(1, 60))
def test_any_blocks_and_any_frame_rate_give_the_same_seconds(blocks: list[int], frame_rate: int):
    samples = np.arange(3000, dtype=np.float32)
    packets, at = [], 0
    while at < len(samples):
        size = blocks[len(packets) % len(blocks)]
        packets.append(Packet(at / 1000, audio=samples[at : at + size]))
        at += size
    clips = cut(interleaved(video(3, frame_rate), packets))
    assert [clip.start for clip in clips] == [0.0, 1.0, 2.0]
    for k, clip in enumerate(clips):
        assert clip.audio is not None
        assert np.array_equal(clip.audio, samples[1000 * k : 1000 * (k + 1)])
        assert len(clip.times) == min(5, frame_rate)
        assert all(k <= t < k + 1 for t in clip.times)
