"""What nobody can do without, with nothing around it: decoding, flow and a mel spectrogram by their libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from edge.features import FRAMES_AT_ONCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.manifest import AudioFeatures, FlowFeatures


def decode(url: str) -> None:
    """Decode picture and sound with PyAV, threads as `edge.sources` sets them, and drop both."""
    with av.open(url) as container:
        container.streams.video[0].thread_type = "AUTO"
        for packet in container.demux(container.streams.video[0], container.streams.audio[0]):
            packet.decode()


def flow(seconds: Sequence[NDArray[np.uint8]], fields: Sequence[int], spec: FlowFeatures) -> Callable[[], object]:
    """Give OpenCV's flow on ready gray pictures: of each second's frames as many pairs, as large."""
    pairs = []
    for frames, count in zip(seconds, fields, strict=True):
        gray = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (spec.width, spec.height)) for frame in frames]
        pairs += list(pairwise(gray))[:count]
    arguments = (spec.pyramid_scale, spec.levels, spec.window_pixels, spec.iterations, spec.poly_n, spec.poly_sigma, 0)
    return lambda: [cv2.calcOpticalFlowFarneback(before, after, None, *arguments) for before, after in pairs]


def mel(seconds: Sequence[NDArray[np.float32]], spec: AudioFeatures) -> Callable[[], object]:
    """Give the least that a mel spectrogram takes in numpy: window, single-precision FFT, triangles, logarithm.

    It is faster than librosa's (see log_mel.py), which therefore is not what we measure against. What weights the
    triangles have does not matter for the time; each bin is part of two.
    """
    window = np.hanning(spec.fft_samples).astype(np.float32)
    bins = np.repeat(np.arange(spec.fft_samples // 2 + 1), 2)
    weights = np.random.default_rng(0).random(len(bins), np.float32)
    starts = np.linspace(0, len(bins) - 1, spec.bands).astype(int)

    def work() -> None:
        for audio in seconds:
            padded = np.pad(audio, spec.fft_samples // 2)
            frames = np.lib.stride_tricks.sliding_window_view(padded, spec.fft_samples)[:: spec.hop_samples]
            for block in np.array_split(frames, -(-len(frames) // FRAMES_AT_ONCE)):
                spectrum = np.fft.rfft(block * window)
                power = spectrum.real**2 + spectrum.imag**2
                10 * np.log10(np.maximum(np.add.reduceat(power[:, bins] * weights, starts, axis=1), 1e-10))

    return work
