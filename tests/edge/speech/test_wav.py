"""Files that phone systems take, judged by sox, ffprobe and Python's wave."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import threading
import wave

import numpy as np
import pytest
from brokers import program

from edge.speech import wav
from edge.speech.formats import FORMATS, SYSTEMS, Format, FormatError, format_of
from edge.speech.wav import encode, header, write_sound
from edge.voice import Speech, VoiceError, speak

ALL = [*FORMATS, *(Format(form.encoding, form.rate_hz, raw=True) for form in FORMATS), Format("pcm16", 22_050)]
SOX_NAMES = {
    "pcm16": ("signed-integer", "Signed Integer PCM", 16),
    "ulaw": ("mu-law", "u-law", 8),
    "alaw": ("a-law", "A-law", 8),
}
CODECS = {"pcm16": "pcm_s16le", "ulaw": "pcm_mulaw", "alaw": "pcm_alaw"}


@pytest.fixture(scope="module")
def speech():
    return speak("Welcome. Please press one for tickets.", rate_hz=16_000)


def run(*words: str, data: bytes = b"") -> bytes:
    done = subprocess.run([program(words[0]), *words[1:]], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"" or b"clipped" in done.stderr, done.stderr.decode()  # sox warns about what is not right
    return done.stdout


def raw_options(form: Format) -> list[str]:
    if not form.raw:
        return ["-t", "wav"]
    name, _, bits = SOX_NAMES[form.encoding]
    return ["-t", "raw", "-r", str(form.rate_hz), "-c", "1", "-e", name, "-b", str(bits)]


def by_sox(data: bytes, form: Format) -> np.ndarray:
    told = run("sox", "-D", *raw_options(form), "-", "-t", "raw", "-e", "signed", "-b", "16", "-", data=data)
    return np.frombuffer(told, "<i2")


@pytest.mark.parametrize("form", ALL, ids=str)
def test_sox_hears_what_was_said_in_every_format(speech, form, tmp_path):
    file = tmp_path / f"x{form.suffix}"
    file.write_bytes(encode(speech, form))
    if not form.raw:
        told = run("soxi", str(file)).decode()
        assert f"Channels       : 1\nSample Rate    : {form.rate_hz}\n" in told
        assert SOX_NAMES[form.encoding][1] in told
    heard = by_sox(file.read_bytes(), form)
    assert abs(len(heard) / form.rate_hz - speech.seconds) < 0.002
    assert np.abs(heard.astype(int)).max() > 3000
    assert np.sqrt(np.mean(heard.astype(float) ** 2)) > 500


@pytest.mark.parametrize("form", [form for form in ALL if not form.raw], ids=str)
def test_ffprobe_finds_codec_rate_channel_and_duration(speech, form, tmp_path):
    file = tmp_path / "x.wav"
    file.write_bytes(encode(speech, form))
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", str(file)]
    (stream,) = json.loads(run(*command))["streams"]
    assert (stream["codec_name"], stream["channels"]) == (CODECS[form.encoding], 1)
    assert int(stream["sample_rate"]) == form.rate_hz
    assert float(stream["duration"]) == pytest.approx(speech.seconds, abs=0.002)


def test_python_reads_pcm_and_every_chunk_has_its_size(speech):
    with wave.open(io.BytesIO(encode(speech, FORMATS[1]))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(file.getnframes()) == speech.samples.astype("<i2").tobytes()
    odd = Speech(np.arange(7, dtype=np.int16), 8_000)
    data = encode(odd, Format("ulaw", 8_000))
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert (len(data) % 2, data[12:20]) == (0, b"fmt \x12\0\0\0")
    at, found = 12, {}
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        found[data[at : at + 4]] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    assert at == len(data)
    assert (found[b"fact"], len(found[b"data"])) == (struct.pack("<I", 7), 7)


@pytest.mark.parametrize(("encoding", "name"), [("ulaw", "mu-law"), ("alaw", "a-law")])
def test_g711_is_that_of_sox_within_one_step_for_every_sample(encoding, name):
    samples = np.arange(-32768, 32768).astype(np.int16)
    ours = np.frombuffer(encode(Speech(samples, 8_000), Format(encoding, 8_000, raw=True)), np.uint8)
    raw = ["-t", "raw", "-r", "8000", "-c", "1"]
    convert = ["sox", "-D", *raw, "-e", "signed", "-b", "16", "-", *raw, "-e", name, "-b", "8", "-"]
    theirs = np.frombuffer(run(*convert, data=samples.tobytes()), np.uint8)
    invert = 0xFF if encoding == "ulaw" else 0x55
    steps = [np.where((c ^ invert) & 0x80, -1, 1) * ((c ^ invert) & 0x7F).astype(int) for c in (ours, theirs)]
    assert np.abs(steps[0] - steps[1]).max() <= 1
    back = by_sox(ours.tobytes(), Format(encoding, 8_000, raw=True)).astype(int)
    apart = np.abs(back - samples)
    assert (apart <= np.maximum(np.abs(samples.astype(int)) / 16, 16) + 1).all()  # a step is a 16th of its segment


def test_a_pipe_gets_right_sizes_and_stays_a_pipe(speech, tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_sound(pipe, encode(speech, FORMATS[0]))
    reader.join(10)
    assert got == [encode(speech, FORMATS[0])]
    assert pipe.is_fifo()


def test_formats_are_found_by_name_by_system_and_by_parameters():
    assert [format_of(str(form)) for form in ALL] == ALL
    assert format_of("amazon-connect") == Format("ulaw", 8_000)
    assert format_of("alaw-11.025k-raw") == Format("alaw", 11_025, raw=True)
    assert all(system.source.startswith("http") for system in SYSTEMS.values())
    for wrong in ("mp3", "pcm16", "pcm24-8k", "pcm16-4k", "pcm16-96k", "ulaw-8k-raw-raw"):
        with pytest.raises(FormatError, match=f"format: '{wrong}'"):
            format_of(wrong)


def test_what_no_wav_file_holds_is_refused(monkeypatch):
    monkeypatch.setattr(wav, "MOST_BYTES", 100)
    long = Speech(np.zeros(100, np.int16), 8_000)
    with pytest.raises(VoiceError, match="longer than a WAV file can be"):
        encode(long, FORMATS[0])
    assert len(encode(long, Format("pcm16", 8_000, raw=True))) == 200
    assert len(header(FORMATS[0], 0)) == 44
