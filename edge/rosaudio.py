"""Sound in ROS messages, of either package named audio_common_msgs, as mono float samples at a model's rate; no ROS."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

STAMPED, DATA_STAMPED = "audio_common_msgs/AudioStamped", "audio_common_msgs/AudioDataStamped"
"""Of mgonzs13's package and of ros-drivers': they share a name, so only one can be installed, and neither need be."""
PORTAUDIO = {1: "float32_data", 2: "int32_data", 8: "int16_data", 16: "int8_data", 32: "uint8_data"}
"""Where mgonzs13's AudioData keeps samples of PortAudio's formats (paFloat32, paInt32, paInt16, paInt8, paUInt8)."""
CODED = {"S16LE": "<i2", "S32LE": "<i4", "F32LE": "<f4", "S8": "i1", "U8": "u1", "S16BE": ">i2", "F32BE": ">f4"}
"""Of ros-drivers' AudioInfo.sample_format, as GStreamer names them."""


NANOSECONDS = 1_000_000_000
GAP_NS = 100_000_000


class AudioError(Exception):
    """Sound that cannot be used; the message says why and what would be right."""


def stamped_samples(message: Any) -> tuple[int, NDArray[np.float32]]:  # noqa: ANN401 - AudioStamped
    """Read mgonzs13's AudioStamped: the rate in Hz, and samples `[n, channels]` of -1 to 1."""
    about = message.audio.info
    field = PORTAUDIO.get(about.format)
    if field is None:
        msg = f"info.format {about.format} is not taken; known are {', '.join(map(str, PORTAUDIO))}"
        raise AudioError(msg)
    return _checked(about.rate, about.channels, np.asarray(getattr(message.audio.audio_data, field)))


def coded_samples(message: Any, about: Any) -> tuple[int, NDArray[np.float32]]:  # noqa: ANN401 - and its AudioInfo
    """Read ros-drivers' AudioDataStamped by its AudioInfo: the rate in Hz, and samples `[n, channels]` of -1 to 1."""
    if about is None:
        msg = "audio_info has said nothing yet; without it the format of audio is not known"
        raise AudioError(msg)
    if about.coding_format.lower() not in ("wave", "raw", "pcm") or about.sample_format not in CODED:
        msg = (
            f"audio of coding_format {about.coding_format!r} and sample_format {about.sample_format!r} is not taken;"
            f" wave of {', '.join(CODED)} is"
        )
        raise AudioError(msg)
    kind = np.dtype(CODED[about.sample_format])
    data = bytes(message.audio.data)
    if len(data) % kind.itemsize:
        msg = f"{len(data)} bytes are no whole number of samples of {about.sample_format}"
        raise AudioError(msg)
    return _checked(about.sample_rate, about.channels, np.frombuffer(data, kind))


def _checked(rate: int, channels: int, stored: NDArray[Any]) -> tuple[int, NDArray[np.float32]]:
    if not (1000 <= rate <= 400_000 and 1 <= channels <= 64) or len(stored) % channels:
        msg = f"{len(stored)} samples in {channels} channels at {rate} Hz make no sound"
        raise AudioError(msg)
    real: NDArray[np.float32]
    if stored.dtype.kind == "u":
        real = (stored.astype(np.float32) - np.float32(128)) / np.float32(128)
    elif stored.dtype.kind == "i":
        real = stored.astype(np.float32) / np.float32(-float(np.iinfo(stored.dtype).min))
    else:
        real = stored.astype(np.float32, copy=False)
    return rate, real.reshape(-1, channels)


class Resampler:
    """Brings sound to mono at one rate: `push(stamp_ns, rate, samples)` gives `(stamp_ns, samples)` of what is ready.

    Samples that are so already pass as they are. A gap of more than 0.1 s begins anew.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._made: tuple[int, int] | None = None
        self._origin_ns = self._taken = self._given = 0

    def push(self, stamp_ns: int, rate: int, samples: NDArray[np.float32]) -> list[tuple[int, NDArray[np.float32]]]:
        """Take samples `[n, channels]` whose first has the stamp."""
        channels = samples.shape[1]
        if (rate, channels) == (self._rate_hz, 1):
            return [(stamp_ns, samples[:, 0])]
        expected_ns = self._origin_ns + self._taken * NANOSECONDS // rate
        if self._made != (rate, channels) or abs(stamp_ns - expected_ns) > GAP_NS:
            self._made, self._origin_ns, self._taken, self._given = (rate, channels), stamp_ns, 0, 0
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self._rate_hz)
        mixed = np.ascontiguousarray(samples.mean(1), np.float32)[None]
        frame = av.AudioFrame.from_ndarray(mixed, format="flt", layout="mono")
        frame.rate = rate
        self._taken += len(samples)
        ready = []
        for out in self._resampler.resample(frame):
            block = out.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            ready.append((self._origin_ns + self._given * NANOSECONDS // self._rate_hz, block))
            self._given += len(block)
        return ready
