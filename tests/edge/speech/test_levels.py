"""Loudness, silence and joints, measured on real speech and against FFmpeg's own meter."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from brokers import program

from edge.speech.finish import Finish, finished
from edge.speech.formats import FORMATS, format_of
from edge.speech.levels import CEILING_DBFS, joined, loudness_lufs, normalised, padded, peak_dbfs
from edge.voice import Speech, VoiceError, speak


@pytest.fixture(scope="module")
def speech():
    return speak("Thank you for calling. All lines are busy, please hold the line.", rate_hz=8_000)


def by_ffmpeg(speech: Speech, folder) -> float:
    file = folder / "x.wav"
    speech.write(file)
    command = [program("ffmpeg"), "-nostats", "-hide_banner", "-i", str(file), "-af", "ebur128", "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", told)[-1])


def test_loudness_is_what_ffmpeg_measures(speech, tmp_path):
    assert loudness_lufs(speech) == pytest.approx(by_ffmpeg(speech, tmp_path), abs=0.1)


@pytest.mark.parametrize("lufs", [-30.0, -23.0, -19.0, -16.0])
def test_speech_comes_to_the_loudness_asked_for_and_never_clips(speech, lufs, tmp_path):
    louder = normalised(speech, lufs)
    assert by_ffmpeg(louder, tmp_path) == pytest.approx(lufs, abs=0.5)
    assert peak_dbfs(louder) <= CEILING_DBFS + 0.01
    assert len(louder.samples) == len(speech.samples)


def test_a_word_shorter_than_a_block_is_brought_there_too():
    word = Speech(speak("one", rate_hz=8_000).samples[:2400], 8_000)
    assert loudness_lufs(normalised(word, -23.0)) == pytest.approx(-23.0, abs=0.5)


def test_silence_is_silent_and_as_long_as_asked(speech):
    whole = padded(speech, 0.25, 0.5)
    assert len(whole.samples) == len(speech.samples) + 2_000 + 4_000
    assert not whole.samples[:2_000].any()
    assert not whole.samples[-4_000:].any()
    assert (whole.samples[2_000:-4_000] == speech.samples).all()


def test_joints_do_not_click():
    tone = (np.sin(np.arange(4_001) * 2 * np.pi * 440 / 8_000 + 1.5) * 20_000).astype(np.int16)
    whole = joined([Speech(tone, 8_000)] * 3).samples.astype(int)
    steepest = np.abs(np.diff(tone.astype(int))).max()
    assert np.abs(np.diff(np.concatenate([[0], whole, [0]]))).max() <= steepest
    quiet = np.flatnonzero(np.abs(whole) > 200)
    assert np.diff(quiet).max() / 8_000 == pytest.approx(0.3, abs=0.01)


def test_a_pause_that_is_there_is_not_made_longer():
    word = np.concatenate([np.zeros(2_400, np.int16), np.full(800, 5_000, np.int16)])
    assert len(joined([Speech(word, 8_000)] * 2).samples) == 2 * len(word)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lufs": 3.0}, "loudness: must be -40 to -5 LUFS, not 3"),
        ({"before_seconds": -1.0}, "silence: must be 0 to 60 seconds, not -1"),
        ({"after_seconds": float("nan")}, "silence: must be 0 to 60 seconds, not nan"),
    ],
)
def test_levels_that_cannot_be_are_refused(speech, options, sentence):
    with pytest.raises(VoiceError, match=sentence):
        finished(speech, Finish(FORMATS[0], **options))


def test_a_finished_file_holds_what_was_asked(speech):
    heard, data = finished(speech, Finish(format_of("ulaw-8k-raw"), 0.1, 0.2, -20.0))
    assert len(data) == len(heard.samples) == len(speech.samples) + 800 + 1_600
