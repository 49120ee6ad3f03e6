"""WAV files and raw ones: samples encoded, and a header whose sizes are right."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.voice import Speech, VoiceError, resampled, write_whole

from .formats import Encoding, Format

TAGS: dict[Encoding, int] = {"pcm16": 1, "alaw": 6, "ulaw": 7}
"""WAVE_FORMAT_PCM, _ALAW and _MULAW of RFC 2361."""
_CODECS: dict[Encoding, str] = {"alaw": "pcm_alaw", "ulaw": "pcm_mulaw"}
MOST_BYTES = 2**32 - 256
"""A RIFF chunk tells its size in 32 bits."""


def encode(speech: Speech, form: Format) -> bytes:
    """Give the bytes of a whole file; VoiceError if it is longer than a WAV file can be."""
    if speech.rate_hz != form.rate_hz:
        speech = resampled(speech, form.rate_hz)
    data = _encoded(speech.samples, form)
    if form.raw:
        return data
    if len(data) > MOST_BYTES:
        msg = f"text: lasts {speech.seconds / 3600:.0f} hours, longer than a WAV file can be; take a raw format"
        raise VoiceError(msg)
    return header(form, len(speech.samples)) + data + bytes(len(data) % 2)


def header(form: Format, samples: int) -> bytes:
    """Give all that comes before the samples; what is not PCM needs the longer form, and to say how many there are."""
    data_bytes = samples * form.sample_bytes
    layout = struct.pack(
        "<HHIIHH",
        TAGS[form.encoding],
        1,
        form.rate_hz,
        form.rate_hz * form.sample_bytes,
        form.sample_bytes,
        8 * form.sample_bytes,
    )
    if form.encoding == "pcm16":
        chunks = _chunk(b"fmt ", layout)
    else:
        chunks = _chunk(b"fmt ", layout + struct.pack("<H", 0)) + _chunk(b"fact", struct.pack("<I", samples))
    size = 4 + len(chunks) + 8 + data_bytes + data_bytes % 2
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + chunks + struct.pack("<4sI", b"data", data_bytes)


def write_sound(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all, or into a pipe or device that is there; OSError says why it cannot be."""
    path = Path(path)
    if path.exists() and not path.is_file():
        with path.open("wb") as pipe:
            pipe.write(data)
    else:
        write_whole(path, data)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content


def _encoded(samples: NDArray[np.int16], form: Format) -> bytes:
    if form.encoding == "pcm16":
        return samples.astype("<i2").tobytes()
    if not len(samples):
        return b""
    codec = av.CodecContext.create(_CODECS[form.encoding], "w")
    codec.sample_rate, codec.layout, codec.format = form.rate_hz, "mono", "s16"  # type: ignore[attr-defined]
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = form.rate_hz
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])  # type: ignore[attr-defined]
