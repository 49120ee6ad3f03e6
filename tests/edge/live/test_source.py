"""Live sources for real, over loopback: every way in, what is kept of them, and readers that crash and hang."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from brokers import free_port, until
from live_media import Hls, rtsp, srt
from sound_card import SoundCard

from edge.sources import SourceError

pytestmark = pytest.mark.slow


def seconds(source, count, limit=20.0):
    """The next clips."""
    timer = threading.Timer(limit, source.close)
    timer.start()
    found = []
    for clip in source:
        found.append(clip)
        if len(found) == count:
            break
    timer.cancel()
    assert len(found) == count, source.health()
    return found


def judge(clips):
    """Whole seconds, one after the other, with picture and sound."""
    assert [clip.start for clip in clips] == [clips[0].start + k for k in range(len(clips))]
    for clip in clips[1:]:
        assert clip.frames.shape == (5, 32, 32, 3)
        assert clip.audio.shape == (16_000,)
        assert np.abs(clip.audio).max() > 0.1
        assert clip.faults == ()


def test_a_transport_stream_over_udp(live, sender, tmp_path):
    source = live(sender.url)
    clips = seconds(source, 5)
    judge(clips[1:])  # it joins between two key frames
    late = time.monotonic() - source.origin - clips[-1].start - 1
    assert -0.05 < late < 1.5, "media time is the time at which it came"
    assert abs(clips[-1].av_offset_ms) < 30
    assert clips[-1].av_uncertainty_ms < 100
    assert until(source.preview, 5)
    jpeg, at = until(source.preview, 5)
    assert jpeg[:2] == b"\xff\xd8"
    assert 0 < time.monotonic() - source.origin - at < 3
    end = clips[-1].start + 1
    clip, picture = tmp_path / "event.mp4", tmp_path / "event.jpg"
    began, ended = source.save_clip(end - 3, end + 1, clip, picture, at=end - 1).result(10)
    assert end - 5 < began <= end - 3
    assert end + 0.8 <= ended <= end + 1
    with av.open(str(clip)) as container:
        kinds = {stream.type: stream.codec_context.name for stream in container.streams}
        assert kinds == {"video": "h264", "audio": "aac"}
        frames = sum(1 for _ in container.decode(video=0))
        assert frames == pytest.approx(25 * (ended - began), abs=3)
        assert container.duration / 1e6 == pytest.approx(ended - began, abs=0.2)
    with av.open(str(picture)) as container:
        assert next(container.decode(video=0)).width == 320
    assert sorted(path.name for path in tmp_path.iterdir()) == ["event.jpg", "event.mp4"]
    with pytest.raises(SourceError, match=r"no clip: nothing of that time is kept"):
        source.save_clip(-100, -90, tmp_path / "old.mp4").result(10)
    with pytest.raises(SourceError, match=r"no clip: no such file or directory"):
        source.save_clip(end - 1, end, tmp_path / "none" / "x.mp4").result(10)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_with_a_password_that_nobody_sees(live, closing, transport):
    port = free_port()
    closing(rtsp(port, "me", "s3cret"))
    source = live(f"rtsp://me:s3cret@127.0.0.1:{port}/stream?transport={transport}")
    judge(seconds(source, 3)[1:])
    command = Path(f"/proc/{source._process.pid}/cmdline").read_bytes()
    assert b"s3cret" not in command
    assert "s3cret" not in f"{source.shown}{source.name}{source.health()}"


def test_rtsp_that_is_refused_or_dies_says_why_and_comes_back(live, closing):
    port = free_port()
    server = closing(rtsp(port, "me", "s3cret"))
    refused = live(f"rtsp://me:wrong@127.0.0.1:{port}/stream", online=False)
    assert until(lambda: refused.health().state == "offline", 10)
    assert refused.health().message == "user or password is refused; it is tried again"
    source = live(f"rtsp://me:s3cret@127.0.0.1:{port}/stream")
    server.process.kill()
    server.process.wait()
    assert until(lambda: source.health().state == "offline", 3), source.health()
    time.sleep(1)
    server.start()
    assert until(lambda: source.health().state == "online", 6), source.health()
    assert source.health().reconnects == 1


def test_srt_with_a_passphrase(live, closing, sender):
    port = free_port()
    closing(srt(int(sender.url.rpartition(":")[2]), port, "secret123456"))
    source = live(f"srt://127.0.0.1:{port}?passphrase=secret123456")
    judge(seconds(source, 3)[1:])
    assert "secret" not in source.shown


def test_hls_in_segments_is_played_as_it_would_have_come(live, closing, tmp_path):
    hls = closing(Hls(tmp_path, free_port()))
    source = live(hls.url)
    judge(seconds(source, 4)[1:])
    assert source.health().state == "online"


def test_a_playlist_cannot_name_files_of_this_machine(live, closing, tmp_path):
    hls = closing(Hls(tmp_path, free_port()))
    evil = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/all0.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "evil.m3u8").write_text(evil)
    assert (tmp_path / "all0.ts").exists()
    source = live(hls.url.replace("live", "evil"), online=False)
    assert until(lambda: source.health().state == "offline", 10)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the player's pipe, as the card is killed
def test_a_microphone_alone_and_beside_a_picture(live, sender, tmp_path, monkeypatch):
    card = SoundCard(tmp_path, monkeypatch)
    try:
        threading.Thread(target=card.play, args=(1000, 40), daemon=True).start()
        alone = live("mic://default")
        clip = seconds(alone, 3)[-1]
        assert clip.frames is None
        strength = np.abs(np.fft.rfft(clip.audio * np.hanning(16_000)))
        assert np.argmax(strength) == pytest.approx(1000, abs=3)
        began, ended = alone.save_clip(clip.start, clip.start + 1, tmp_path / "sound.mp4").result(10)
        assert ended - began > 0.8
        alone.close()
        both = live(sender.url, sound="mic://default")
        clip = seconds(both, 3)[-1]
        assert clip.frames.shape[0] == 5
        assert np.abs(clip.audio).max() == pytest.approx(0.5, abs=0.05)
        assert (clip.av_offset_ms, clip.av_uncertainty_ms) == (0.0, 100.0)
        card.kill()
        assert until(lambda: both.health().state == "no_sound", 6), both.health()
        clip = seconds(both, 2)[-1]
        assert (clip.frames is None, clip.audio is None) == (False, True)
    finally:
        card.kill()


def test_a_reader_that_crashes_or_hangs_is_started_anew_and_time_goes_on(live, sender):
    source = live(sender.url)
    before = seconds(source, 1)[-1]
    os.kill(source._process.pid, signal.SIGSEGV)
    assert until(lambda: "ended by signal 11" in source.health().message, 3), source.health()
    assert until(lambda: source.health().state == "online", 10)
    middle = seconds(source, 2)[-1]
    assert middle.start == pytest.approx(time.monotonic() - source.origin - 1.5, abs=2)
    assert middle.start > before.start
    hung = source._process
    os.kill(hung.pid, signal.SIGSTOP)
    assert until(lambda: source.health().state == "stalled", 3.2), source.health()
    assert until(lambda: source.health().state == "offline", 8), source.health()
    assert hung.poll() is not None or until(lambda: hung.poll() is not None, 2)
    assert until(lambda: source.health().state == "online", 10)
    assert source.health().reconnects == 2


def test_a_reader_ends_with_its_owner(sender, tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(
        "import sys, time\nfrom edge.live.source import LiveSource\nfrom edge.manifest import ClipSpec\n"
        "source = LiveSource(sys.argv[1], ClipSpec(5, 32, 32, 16000))\nnext(iter(source))\n"
        "print(source._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    owner = subprocess.Popen([os.sys.executable, str(script), sender.url], stdout=subprocess.PIPE, text=True)
    reader = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert until(lambda: not Path(f"/proc/{reader}/cmdline").exists(), 3)


def test_closing_leaves_no_thread_no_file_and_no_process(live, sender):
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    source = live(sender.url)
    reader = source._process
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1.5
    assert reader.poll() is not None
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == (threads, files)
