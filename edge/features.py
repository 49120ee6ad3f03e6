"""What the models look at, computed from a Clip: the same functions on the device and in training."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .clip import Clip, Modality
    from .manifest import FlowFeatures, Manifest

STILL = 128
"""The pixel value of no motion in a flow picture."""
FRAMES_AT_ONCE = 16
"""Frames in one Fourier transform: larger arrays go back to the system each time, which costs more than they save."""


def features(clip: Clip, manifest: Manifest, modality: Modality) -> NDArray[np.uint8] | NDArray[np.float32] | None:
    """Compute one modality's model input for a clip, `[n, ...]`; None when the clip lacks it."""
    if modality == "audio":
        return None if clip.audio is None else audio_tensor(clip.audio, manifest)
    if clip.frames is None:
        return None
    if modality == "rgb":
        return rgb_tensor(clip.frames, manifest)
    return flow_tensor(clip.frames, manifest, clip.times) if len(clip.frames) > 1 else None


def rgb_tensor(frames: NDArray[np.uint8], manifest: Manifest) -> NDArray[np.uint8]:
    """Scale RGB frames `[n, h, w, 3]` to the rgb model's input size by area averaging; uint8, values as they are."""
    spec = manifest.features.rgb
    assert spec is not None
    return _resize(frames, spec.width, spec.height)


def flow_tensor(
    frames: NDArray[np.uint8], manifest: Manifest, times: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """Turn RGB frames `[n, h, w, 3]` into flow pictures `[fields, h, w, 3]`, uint8.

    Channels are horizontal and vertical displacement per nominal gap (128 is still, full scale is the manifest's
    bound) and its magnitude. `times` in seconds correct for uneven gaps; without them gaps are taken as nominal.
    """
    spec = manifest.features.flow
    assert spec is not None
    nominal = 1 / manifest.clip.frames_per_second
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in _resize(frames, spec.width, spec.height)]
    pairs = len(gray) - 1
    chosen = np.unique(np.round(np.linspace(0, pairs - 1, min(spec.fields, pairs))).astype(int))
    pictures = []
    for i in chosen:
        gap = nominal if times is None else times[i + 1] - times[i]
        pictures.append(_flow_picture(_farneback(gray[i], gray[i + 1], spec) * (nominal / gap), spec.bound_pixels))
    return np.stack(pictures)


def log_mel(audio: NDArray[np.float32], manifest: Manifest) -> NDArray[np.float32]:
    """Compute the log-mel spectrogram of one second `[samples]`: `[bands, frames]` in dB, float32.

    Equal to librosa's `power_to_db(melspectrogram(...))` with its defaults: periodic Hann window, centred with zero
    padding, power 2, Slaney scale and area norm, reference 1, top_db below the loudest.
    """
    spec = manifest.features.audio
    assert spec is not None
    n, hop = spec.fft_samples, spec.hop_samples
    padded = np.pad(audio.astype(np.float32, copy=False), n // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, n)[::hop]  # [frames, n]
    power = np.empty((len(windows), n // 2 + 1), np.float32)
    for i in range(0, len(windows), FRAMES_AT_ONCE):
        # In double precision: single is 1e-4 dB off beside loud tones.
        spectrum = np.fft.rfft(windows[i : i + FRAMES_AT_ONCE] * _hann(n))
        power[i : i + FRAMES_AT_ONCE] = spectrum.real**2 + spectrum.imag**2
    bins, weights, starts = _mel_bands(manifest.clip.sample_rate_hz, n, spec.bands)
    mel = np.add.reduceat(power[:, bins] * weights, starts, axis=1).T  # [bands, frames]
    decibel = 10.0 * np.log10(np.maximum(mel, 1e-10))
    limited: NDArray[np.float32] = np.maximum(decibel, decibel.max() - spec.top_db).astype(np.float32)
    return limited


def mfcc(audio: NDArray[np.float32], manifest: Manifest) -> NDArray[np.float32]:
    """Compute the mel-frequency cepstral coefficients of one second: `[coefficients, frames]`, float32.

    They are the orthonormal DCT-II of the log-mel spectrogram over its bands, as librosa's `mfcc` computes them.
    """
    spec = manifest.features.audio
    assert spec is not None
    cepstrum = np.einsum("cb,bt->ct", _dct(spec.bands)[: spec.coefficients], log_mel(audio, manifest))
    single: NDArray[np.float32] = cepstrum.astype(np.float32)
    return single


def audio_tensor(audio: NDArray[np.float32], manifest: Manifest) -> NDArray[np.float32]:
    """Compute the audio model's input for one second of sound: `[1, bands or coefficients, frames, 1]`."""
    spec = manifest.features.audio
    assert spec is not None
    picture = log_mel(audio, manifest) if spec.kind == "log_mel" else mfcc(audio, manifest)
    return picture[None, :, :, None]


def audio_shape(manifest: Manifest) -> tuple[int, int, int]:
    """Give the shape of `audio_tensor` for this manifest, without the first axis."""
    spec = manifest.features.audio
    assert spec is not None
    rows = spec.bands if spec.kind == "log_mel" else spec.coefficients
    return rows, 1 + manifest.clip.sample_rate_hz // spec.hop_samples, 1


def _resize(frames: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])


def _farneback(before: NDArray[np.uint8], after: NDArray[np.uint8], spec: FlowFeatures) -> NDArray[np.float32]:
    """Dense optical flow in pixels (Farnebäck, "Two-Frame Motion Estimation Based on Polynomial Expansion", 2003)."""
    return cv2.calcOpticalFlowFarneback(  # type: ignore[call-overload,no-any-return]
        before, after, None, spec.pyramid_scale, spec.levels, spec.window_pixels, spec.iterations,
        spec.poly_n, spec.poly_sigma, 0,
    )  # fmt: skip


def _flow_picture(flow: NDArray[np.float32], bound_pixels: float) -> NDArray[np.uint8]:
    scaled = flow / bound_pixels  # [h, w, 2], full scale is 1
    magnitude = np.hypot(scaled[..., 0], scaled[..., 1])
    pixels = np.dstack([STILL + 127 * scaled, 255 * magnitude])
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _hann(n: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


@lru_cache(maxsize=8)
def _mel_bands(
    sample_rate_hz: int, fft_samples: int, bands: int
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.intp]]:
    """Lay the mel filters out sparsely: the bins of each band, one band after the other, their weights, the starts.

    A dense matrix product of this size wakes BLAS' threads: it was seen to take 8 ms instead of 0.1 on two cores, and
    its rounding depends on their number.
    """
    filters = _mel_filters(sample_rate_hz, fft_samples, bands)
    used = filters > 0
    used[~used.any(axis=1), 0] = True  # a band between two bins sums one bin with weight 0
    rows, bins = np.nonzero(used)
    starts = np.searchsorted(rows, np.arange(bands))
    return bins, filters[rows, bins], starts


def _mel_filters(sample_rate_hz: int, fft_samples: int, bands: int) -> NDArray[np.float32]:
    """Triangular filters `[bands, bins]`, evenly spaced on Slaney's mel scale, each of unit area.

    Source: M. Slaney, Auditory Toolbox, 1998: linear below 1 kHz (15 mel), logarithmic above (27 mel per factor 6.4).
    """
    log_step = np.log(6.4) / 27
    top = sample_rate_hz / 2
    top_mel = 15 + np.log(top / 1000) / log_step if top >= 1000 else top * 3 / 200
    mel = np.linspace(0, top_mel, bands + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (mel - 15)))
    bins = np.linspace(0, top, fft_samples // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: NDArray[np.float32] = (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    return filters


@lru_cache(maxsize=8)
def _dct(bands: int) -> NDArray[np.float64]:
    k, n = np.arange(bands)[:, None], np.arange(bands)
    basis: NDArray[np.float64] = np.cos(np.pi * k * (2 * n + 1) / (2 * bands)) * np.sqrt(2 / bands)
    basis[0] /= np.sqrt(2)
    return basis
