"""Small real media files for the tests, made by PyAV's encoders."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    *,
    seconds: float = 2.0,
    frame_rate: int = 10,
    audio_rate: int = 0,
    layout: str = "mono",
    audio_codec: str = "aac",
    times: list[float] | None = None,
    draw: Callable[[float], np.ndarray] | None = None,
) -> Path:
    """Write a moving gradient, with a 440 Hz tone if `audio_rate` is given; `times` make the frame rate variable.

    `draw` gives another picture for a time, 48 x 64.
    """
    times = [i / frame_rate for i in range(round(seconds * frame_rate))] if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=frame_rate, options={"sc_threshold": "0", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = frame_rate
        stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream(audio_codec, rate=audio_rate, layout=layout) if audio_rate else None
        for time in times:
            frame = av.VideoFrame.from_ndarray((draw or gradient)(time), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for block in tone(seconds, audio_rate, layout):
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def gradient(time: float) -> np.ndarray:
    """One picture, 48 x 64, that moves right with time."""
    row = (np.arange(64) * 4 - time * 40) % 256
    return np.repeat(np.repeat(row[None, :, None], 48, axis=0), 3, axis=2).astype(np.uint8)


def tone(seconds: float, rate: int, layout: str) -> list[av.AudioFrame]:
    """A 440 Hz sine in frames of 1024 samples, the same in every channel."""
    samples = (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)
    frames = []
    for at in range(0, len(samples), 1024):
        block = samples[at : at + 1024]
        channels = len(av.AudioLayout(layout).channels)
        frame = av.AudioFrame.from_ndarray(np.repeat(block[None], channels, axis=0), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        frames.append(frame)
    return frames


def write_sound(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write float32 samples `[channels, n]` as a float WAV, as they are."""
    channels = len(samples)
    data = samples.T.astype("<f4").tobytes()
    header = b"fmt " + (16).to_bytes(4, "little") + (3).to_bytes(2, "little") + channels.to_bytes(2, "little")
    header += rate.to_bytes(4, "little") + (rate * channels * 4).to_bytes(4, "little")
    header += (channels * 4).to_bytes(2, "little") + (32).to_bytes(2, "little")
    body = b"WAVE" + header + b"data" + len(data).to_bytes(4, "little") + data
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    return path
