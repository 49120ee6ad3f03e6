"""The offline voice, by the real espeak-ng: what it says is sound, at the rate that was asked for."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from edge.voice import VoiceError, speak


def read(data: bytes):
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return file.getframerate(), file.getnchannels(), file.getsampwidth(), samples


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_a_text_becomes_sixteen_bit_mono_at_the_rate_asked_for(rate_hz):
    rate, channels, width, samples = read(speak("badminton, high confidence", rate_hz=rate_hz).wav())
    assert (rate, channels, width) == (rate_hz, 1, 2)
    assert 1.0 < len(samples) / rate_hz < 4.0
    assert np.abs(samples.astype(np.int32)).max() > 3000
    assert np.sqrt(np.mean(samples.astype(np.float64) ** 2)) > 500


def test_every_rate_says_the_same():
    speeches = [speak("one two three", rate_hz=rate_hz) for rate_hz in (8_000, 22_050, 48_000)]
    lengths = [speech.seconds for speech in speeches]
    assert max(lengths) - min(lengths) < 0.01
    loud = [np.sqrt(np.mean(speech.samples.astype(np.float64) ** 2)) for speech in speeches]
    assert max(loud) < 1.5 * min(loud)


def test_longer_texts_last_longer_and_languages_differ():
    assert speak("badminton, high confidence, in court seven").seconds > speak("badminton").seconds + 0.5
    english, german = speak("tennis"), speak("tennis", voice="de")
    assert english.samples.shape != german.samples.shape or (english.samples != german.samples).any()


def test_a_text_is_never_an_option():
    assert speak("--version").seconds > 0.3


def test_ssml_may_pause():
    plain = speak("<speak>one two</speak>", ssml=True)
    paused = speak('<speak>one <break time="2s"/> two</speak>', ssml=True)
    assert paused.seconds > plain.seconds + 1


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "text: there is nothing to say in ''"),
        (" \n\0", {}, "text: there is nothing to say"),
        ("x" * 7000, {}, "text: has 7000 characters, at most 6000 are said"),
        ("hello", {"voice": "xx"}, "espeak-ng, voice 'xx': The specified espeak-ng voice does not exist"),
        ("hello", {"voice": "-w/tmp/x"}, "voice '-w/tmp/x': must be a name as `espeak-ng --voices` lists them"),
        ("hello", {"rate_hz": 10}, "sample rate: must be 4000 to 192000 Hz, not 10"),
    ],
)
def test_what_cannot_be_said_is_refused_in_a_sentence(text, options, sentence):
    with pytest.raises(VoiceError) as refused:
        speak(text, **options)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_missing_program_is_named_with_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VoiceError, match="is not installed, and is the offline voice: apt-get install espeak-ng"):
        speak("hello")


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    speech = speak("hello")
    speech.write(tmp_path / "hello.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["hello.wav"]
    rate, _, _, samples = read((tmp_path / "hello.wav").read_bytes())
    assert rate == 16_000
    assert (samples == speech.samples).all()
    with pytest.raises(OSError, match="nowhere"):
        speech.write(tmp_path / "nowhere" / "hello.wav")
