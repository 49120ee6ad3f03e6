"""A voice that needs no network: espeak-ng, in a process of its own, says a text as sound."""

from __future__ import annotations

import io
import os
import re
import subprocess
import threading
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

PROGRAM = "espeak-ng"
VOICE = "en"
RATE_HZ = 16_000
LEAST_RATE_HZ, MOST_RATE_HZ = 4_000, 192_000
LONGEST_TEXT = 6000
"""Characters of a text, tags included: seven minutes of speech."""
RENDER_SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_-]*")


class VoiceError(Exception):
    """A text that cannot be said as asked; the message says why and what would be right."""


@dataclass(frozen=True, eq=False)
class Speech:
    """What a voice said: `samples` are int16 mono `[n]` at `rate_hz`."""

    samples: NDArray[np.int16]
    rate_hz: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate_hz

    def write(self, path: str | Path) -> None:
        """Write a WAV file, whole or not at all: under a name of its own first; OSError says why it cannot be."""
        write_whole(path, self.wav())

    def wav(self) -> bytes:
        """Give the bytes of a WAV file: 16 bit, one channel."""
        whole = io.BytesIO()
        with wave.open(whole, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(self.rate_hz)
            out.writeframes(self.samples.astype("<i2").tobytes())
        return whole.getvalue()


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file that appears whole or not at all: under a name of its own first; OSError says why it cannot be."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def speak(text: str, *, voice: str = VOICE, rate_hz: int = RATE_HZ, ssml: bool = False) -> Speech:
    """Say a text, or SSML, in a voice of espeak-ng, such as `en`, `de` or `en-us+f3`, at a sample rate.

    Raises VoiceError if espeak-ng is not installed, has no such voice, or finds nothing to say.
    """
    if not _NAME.fullmatch(voice):
        msg = f"voice {voice!r}: must be a name as `{PROGRAM} --voices` lists them, such as en or de"
        raise VoiceError(msg)
    if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
        msg = f"sample rate: must be {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz, not {rate_hz}"
        raise VoiceError(msg)
    if len(text) > LONGEST_TEXT:
        msg = f"text: has {len(text)} characters, at most {LONGEST_TEXT} are said"
        raise VoiceError(msg)
    speech = _rendered(text.replace("\0", " "), voice, ssml=ssml)
    if not speech.samples.any():
        msg = f"text: there is nothing to say in {text[:40]!r}"
        raise VoiceError(msg)
    return speech if speech.rate_hz == rate_hz else resampled(speech, rate_hz)


def _rendered(text: str, voice: str, *, ssml: bool) -> Speech:
    # The text goes through stdin: a command line would take one that begins with a dash for an option.
    command = [PROGRAM, "-v", voice, "-b", "1", *(["-m"] if ssml else []), "--stdin", "--stdout"]
    try:
        said = subprocess.run(
            command, input=text.encode(errors="replace"), capture_output=True, timeout=RENDER_SECONDS, check=False
        )
    except FileNotFoundError:
        msg = f"{PROGRAM} is not installed, and is the offline voice: apt-get install {PROGRAM}"
        raise VoiceError(msg) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{PROGRAM}: could not be run ({error})"
        raise VoiceError(msg) from None
    if said.returncode:
        complaint = said.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {said.returncode}"]
        msg = f"{PROGRAM}, voice {voice!r}: {complaint[-1].removeprefix('Error: ')}"
        raise VoiceError(msg)
    return _read_stream(said.stdout)


def _read_stream(data: bytes) -> Speech:
    """Read the WAV that espeak-ng streams: it cannot know its length, so the data go on to the end."""
    start = data.find(b"data") + 8
    if not data:  # it says nothing at all where there is nothing to say
        return Speech(np.zeros(0, np.int16), RATE_HZ)
    if data[:4] != b"RIFF" or start < 8:
        msg = f"{PROGRAM}: what it said is no WAV"
        raise VoiceError(msg)
    rate_hz = int.from_bytes(data[24:28], "little")
    whole = data[start : start + (len(data) - start) // 2 * 2]
    return Speech(np.frombuffer(whole, "<i2").astype(np.int16), rate_hz)


def resampled(speech: Speech, rate_hz: int) -> Speech:
    """Give the same sound at another sample rate."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    frame = av.AudioFrame.from_ndarray(speech.samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = speech.rate_hz
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return Speech(np.concatenate([each.to_ndarray()[0] for each in frames]), rate_hz)
