"""Test media, made once by PyAV's encoders and kept: a 720p30 match with 48 kHz sound, and an hour of it but small."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
"""What the benchmarks make and keep; `make clean` removes it."""
SAMPLE_RATE_HZ = 48000
AAC_FRAME = 1024
LOOP_SECONDS = 10.24
"""A whole number of pictures (256 at 25 a second) and of AAC frames (480), so that copies join without a seam."""
CAMERA = {"bf": "0", "maxrate": "4M", "bufsize": "1M"}
LIVE_LOOP_SECONDS = 304 / 30
"""The same at 30 pictures a second: 304, and 475 AAC frames."""


def match_clip(seconds: int = 20) -> Path:
    """Give a 720p30 H.264 clip of about 4 Mbit/s with 48 kHz AAC: a panned, textured field, players, sensor noise."""

    def write(path: Path) -> None:
        encode(path, seconds, size=(1280, 720), frame_rate=30, bit_rate=4_000_000)

    return cached(f"match-720p30-{seconds}s.mp4", write)


def long_recording(minutes: float) -> Path:
    """Give a 320x240 recording of this length: ten seconds, encoded once and muxed over and over."""
    source = cached(
        "loop-320x240.mp4", lambda path: encode(path, LOOP_SECONDS, size=(320, 240), frame_rate=25, bit_rate=200_000)
    )
    copies = max(1, round(minutes * 60 / LOOP_SECONDS))
    return cached(f"loop-320x240-{minutes:g}min.mp4", lambda path: _repeat(source, path, copies))


def live_shows() -> Path:
    """Give the folder of a sender (see `broadcast`) whose stream is that match as a camera sends it."""

    def write(folder: Path) -> None:
        folder.mkdir()
        length = LIVE_LOOP_SECONDS
        encode(folder / "normal.ts", length, size=(1280, 720), frame_rate=30, bit_rate=4_000_000, live=True)

    return cached("shows-720p30", write)


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Give the file or folder `name` of the cache, made first if it is not there; whole or not at all."""
    path = CACHE / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{os.getpid()}-{path.name}")
        make(scratch)
        scratch.rename(path)
    return path


def encode(
    path: Path, seconds: float, *, size: tuple[int, int], frame_rate: int, bit_rate: int, live: bool = False
) -> None:
    """Write a match of this length and size as H.264 with AAC.

    `live`: as a camera sends it, a transport stream of a steady rate, in which no picture needs a later one, and one
    each second none.
    """
    form = {"format": "mpegts", "options": {"pcr_period": "20"}} if live else {"format": "mp4"}
    with av.open(str(path), "w", **form) as container:
        # one slice a picture, as files have it; PyAV's own default would cut pictures into a slice a core
        options = {"preset": "veryfast", "x264-params": "sliced-threads=0", **(CAMERA if live else {})}
        video = container.add_stream("libx264", rate=frame_rate, options=options)
        first = int(live)  # the coder of sound begins before 0, which a transport stream cannot say
        if live:
            video.codec_context.gop_size = frame_rate
        video.width, video.height, video.pix_fmt, video.bit_rate = *size, "yuv420p", bit_rate
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="stereo")
        draw = Field(size)
        for k in range(round(seconds * frame_rate)):
            frame = av.VideoFrame.from_ndarray(draw(k / frame_rate), format="rgb24")
            frame.pts, frame.time_base = k + first * frame_rate, Fraction(1, frame_rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = crowd(round(seconds * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
        for at in range(0, len(samples), AAC_FRAME):
            block = np.stack([samples[at : at + AAC_FRAME]] * 2)
            sound = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            sound.sample_rate, sound.pts = SAMPLE_RATE_HZ, at + first * SAMPLE_RATE_HZ
            sound.time_base = Fraction(1, SAMPLE_RATE_HZ)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


def _repeat(source: Path, path: Path, copies: int) -> None:
    """Copy the packets of `source` one round after the other with shifted stamps; nothing is encoded again."""
    with av.open(str(source)) as reader, av.open(str(path), "w", format="mp4") as writer:
        outputs = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        for k in range(copies):
            reader.seek(0)
            for packet in reader.demux():
                if packet.dts is None or (k > 0 and packet.pts < 0):  # the end; the encoder's run-up, heard once
                    continue
                shift = round(k * LOOP_SECONDS / packet.time_base)
                packet.stream, packet.pts, packet.dts = (
                    outputs[packet.stream.index],
                    packet.pts + shift,
                    packet.dts + shift,
                )
                writer.mux(packet)


class Field:
    """Draws the picture at a time: texture as in nature (amplitude 1/f), panned and turned; sprites; fresh noise."""

    def __init__(self, size: tuple[int, int], seed: int = 0) -> None:
        self._size = width, height = size
        self._random = np.random.default_rng(seed)
        self._texture = _fractal(self._random, round(1.6 * height), round(1.6 * width))
        self._players = [
            (_fractal(self._random, height // 8, height // 16), self._random.uniform(0, 6.28, 4)) for _ in range(10)
        ]
        self._noise = self._random.normal(0, 2.5, (2 * height, 2 * width, 1)).astype(np.int16)

    def __call__(self, time: float) -> NDArray[np.uint8]:
        """Draw the picture at a time, in seconds: uint8 RGB [height, width, 3]."""
        width, height = self._size
        turn = cv2.getRotationMatrix2D(
            (0.8 * width, 0.8 * height), 4 * np.sin(0.5 * time), 1 + 0.1 * np.sin(0.7 * time)
        )
        turn[:, 2] -= (0.3 * width * (1 + 0.8 * np.sin(0.6 * time)), 0.3 * height * (1 + 0.5 * np.cos(0.4 * time)))
        picture = cv2.warpAffine(self._texture, turn, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        for sprite, (a, b, c, d) in self._players:
            x = int((width - sprite.shape[1]) * (0.5 + 0.5 * np.sin(a + (0.5 + 0.1 * b) * time)))
            y = int((height - sprite.shape[0]) * (0.5 + 0.5 * np.sin(c + (0.4 + 0.1 * d) * time)))
            picture[y : y + sprite.shape[0], x : x + sprite.shape[1]] = sprite
        top, left = self._random.integers(0, (height, width))
        noisy = picture + self._noise[top : top + height, left : left + width]
        return np.clip(noisy, 0, 255).astype(np.uint8)


def _fractal(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(random.normal(size=(3, height, width))) / frequency
    image = np.fft.ifft2(spectrum).real.transpose(1, 2, 0)
    image = 128 + 45 * (image - image.mean()) / image.std()
    return np.clip(image + 20 * random.normal(size=3), 0, 255).astype(np.uint8)


def crowd(samples: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """Make the sound of a match, float32 mono: noise that swells, a whistle every other second, hits of a ball."""
    random = np.random.default_rng(1)
    time = np.arange(samples) / sample_rate_hz
    murmur = 0.1 * random.normal(size=samples) * (1 + 0.6 * np.sin(2 * np.pi * 0.3 * time))
    whistle = 0.3 * np.sin(2 * np.pi * (3000 * time + 4 * np.sin(2 * np.pi * 20 * time))) * (time % 2 < 0.4)
    hit = 0.5 * np.exp(-40 * (time % 0.7)) * np.sin(2 * np.pi * 180 * time)
    return (murmur + whistle + hit).astype(np.float32)
