"""`touchline overlay`: the recording itself, with the very decisions of `touchline run` drawn in."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from media import write_sound, write_video

from edge import bars
from edge.__main__ import main
from edge.bundle import DEMO, Bundle
from edge.diff import watch
from edge.events import SegmenterConfig

MATCH = Path(__file__).parents[2] / "examples" / "match.mp4"


def pictures(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """The times and the brightness planes of a file's pictures."""
    with av.open(str(path)) as media:
        frames = [(frame.time, frame.to_ndarray(format="gray")) for frame in media.decode(video=0)]
    return [time for time, _ in frames], [picture for _, picture in frames]


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as media:
        return [bytes(packet) for packet in media.demux(audio=0)]


def rounded(probabilities) -> list[float]:
    """As messages carry them."""
    return [round(probability, 4) for probability in probabilities]


def fails(capsys, *arguments: object) -> tuple[int, str]:
    code = main(["overlay", *map(str, arguments)])
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return code, err


@pytest.fixture(scope="module")
def watched():
    return watch(Bundle.load(DEMO), str(MATCH), SegmenterConfig(), keep=False, progress=lambda _: None)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("overlay") / "drawn.mp4"
    assert main(["overlay", str(MATCH), "-o", str(out)]) == 0
    return out


def test_pictures_keep_their_times_and_size_and_what_is_above_the_band(drawn: Path):
    times, before = pictures(MATCH)
    drawn_times, after = pictures(drawn)
    assert drawn_times == times
    assert after[0].shape == before[0].shape
    top = before[0].shape[0] - bars.form(*before[0].shape[::-1]).height
    for a, b in zip(before[::50], after[::50], strict=True):
        assert np.abs(a[:top].astype(int) - b[:top]).mean() < 3
        assert np.abs(a[top:].astype(int) - b[top:]).mean() > 15


def test_sound_is_copied_byte_for_byte(drawn: Path):
    assert sound(drawn) == sound(MATCH)


def test_seconds_are_those_of_run(watched, tmp_path: Path):
    out = tmp_path / "run.jsonl"
    assert main(["run", str(MATCH), "--quiet", "--jsonl", str(out)]) == 0
    messages = [json.loads(line) for line in out.read_text().splitlines()]
    ticks = [m for m in messages if m["schema"] == "tick/1"]
    ended = [m for m in messages if m["schema"] == "event/1" and m["type"] == "end"]
    assert [(s.start, s.label, rounded([s.score]), rounded(s.probabilities)) for s in watched.seconds] == [
        (t["media_start"], t["label"], [t["score"]], t["probabilities"]) for t in ticks
    ]
    assert [{vote.modality: rounded(vote.probabilities) for vote in s.votes} for s in watched.seconds] == [
        {name: vote["probabilities"] for name, vote in t["fusion"]["votes"].items()} for t in ticks
    ]
    assert [(e.start, e.end) for e in watched.events] == [(m["media_start"], m["media_end"]) for m in ended]


def test_other_sound_is_encoded_anew_in_sync(tmp_path: Path):
    """A flash and a beep at 1.5 s, in FLAC: both are still there, at most a frame of sound apart."""
    flash = [np.zeros((240, 320, 3), np.uint8), np.full((240, 320, 3), 255, np.uint8)]
    out, mixed = tmp_path / "out.mp4", tmp_path / "in.mkv"
    with av.open(str(mixed), "w") as media:
        stream = media.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        ear = media.add_stream("flac", rate=48000, layout="mono")
        for k in range(75):
            media.mux(stream.encode(av.VideoFrame.from_ndarray(flash[37 < k < 42], "rgb24")))
        media.mux(stream.encode(None))
        samples = np.zeros((1, 144000), np.int16)
        samples[0, 72960:76800] = 12000 * np.sin(np.arange(3840) * 0.13)
        block = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        block.sample_rate, block.pts = 48000, 0
        media.mux(ear.encode(block))
        media.mux(ear.encode(None))
    assert main(["overlay", str(mixed), "-o", str(out)]) == 0
    times, seen = pictures(out)
    lit = next(time for time, picture in zip(times, seen, strict=True) if picture[:100].mean() > 128)
    with av.open(str(out)) as media:
        assert media.streams.audio[0].codec_context.name == "aac"
        heard = [(f.time, f.to_ndarray()[0], f.sample_rate) for f in media.decode(audio=0)]
    loud = next(time + np.argmax(abs(s) > 0.05) / rate for time, s, rate in heard if abs(s).max() > 0.05)
    assert lit == pytest.approx(1.52, abs=0.001)
    assert loud == pytest.approx(lit, abs=0.025)


def test_what_cannot_be_drawn_is_said_and_nothing_is_left(tmp_path: Path, capsys):
    video = write_video(tmp_path / "small.mp4", seconds=1)
    tone = write_sound(tmp_path / "tone.wav", np.zeros((1, 32000), np.float32), 16000)
    out = tmp_path / "out.mp4"
    for arguments, code, sentence in (
        ((video, "-o", out), 1, "its picture is 64 x 48; bars need 320 x 180 to be read"),
        ((tone, "-o", out), 1, "has no picture"),
        ((tmp_path / "none.mp4", "-o", out), 2, "no such file"),
        ((MATCH, "-o", tmp_path / "out.avi"), 2, "what is written is MP4"),
        ((MATCH, "-o", MATCH), 2, "is the recording itself"),
        ((MATCH, "-o", tmp_path / "no" / "out.mp4"), 1, "out.mp4: cannot be written (no such file or directory)"),
    ):
        found = fails(capsys, *arguments)
        assert found[0] == code, sentence
        assert sentence in found[1]
    assert {path.name for path in tmp_path.iterdir()} == {"small.mp4", "tone.wav"}


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path):
    """The process may write 200 kB and no more; the older file stays."""
    out = tmp_path / "out.mp4"
    out.write_bytes(b"older")
    done = subprocess.run(
        [sys.executable, "-m", "edge", "overlay", str(MATCH), "-o", str(out)],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"touchline: {out}: cannot be written (file too large)"
    assert out.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (354, 492), (1920, 1080), (1080, 1920)])
def test_bars_are_as_long_as_probabilities_say(watched, size: tuple[int, int]):
    form = bars.form(*size)
    assert form.height < size[1] * 0.5
    second = watched.seconds[8]
    labels = watched.bundle.manifest.labels
    pixels, cover = bars.band(second, 8, labels=labels, events=watched.events, duration=27, form=form)
    assert pixels.shape == (form.height, form.width, 3)
    assert cover.min() >= round(255 * bars.OPACITY)
    track = (form.width - (20 + 8 * (form.columns - 1)) * form.unit) / form.columns
    for judge, (_, colour) in bars.JUDGES.items():
        votes = {vote.modality: vote.probabilities for vote in second.votes} | {"": second.probabilities}
        longest = max(np.all(row == colour, axis=1).sum() for row in pixels)
        assert longest == pytest.approx(track * max(votes[judge]), abs=3), judge


def test_what_is_missing_is_not_drawn(watched):
    form = bars.form(640, 360)
    labels = watched.bundle.manifest.labels
    second = watched.seconds[8]
    deaf = replace(second, votes=tuple(vote for vote in second.votes if vote.modality != "audio"))
    for shown, judges in ((None, set()), (deaf, {"rgb", "flow", ""})):
        pixels, _ = bars.band(shown, 8, labels=labels, events=(), duration=27, form=form)
        drawn = {name for name, (_, colour) in bars.JUDGES.items() if np.all(pixels == colour, axis=2).sum() > 50}
        assert drawn == judges
