"""What a live source keeps, as a file: of any length, with one stream for each medium."""

from __future__ import annotations

import av
import pytest
from media import write_video

from edge.live import ring
from edge.live.ring import Coded, form_of, write_clip


def coded(path):
    """The packets of a file, as a feed keeps them."""
    with av.open(str(path)) as container:
        forms = {stream.index: form_of(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                at, sent = (float(stamp * packet.time_base) for stamp in (packet.pts, packet.dts))
                form = forms[packet.stream_index]
                yield Coded(packet.stream.type, at, sent, packet.is_keyframe, bytes(packet), form)


def test_a_long_clip_has_one_stream_for_each_medium(tmp_path, monkeypatch):
    items = list(coded(write_video(tmp_path / "v.mp4", seconds=16, frame_rate=30, audio_rate=48_000)))
    assert len(items) > 1000, "more than FFmpeg lets a file have streams"
    tracks, make = [], ring._Track
    monkeypatch.setattr(ring, "_Track", lambda *arguments: tracks.append(make(*arguments)) or tracks[-1])
    start, end = write_clip(items, tmp_path / "clip.mp4", 16_000)
    assert len(tracks) == 2
    assert end - start == pytest.approx(16, abs=0.1)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
        assert sum(1 for _ in container.decode(video=0)) == 480
