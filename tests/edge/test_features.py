"""Features: equal to the references, and robust where media are odd."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest

from edge.clip import Clip
from edge.features import audio_shape, audio_tensor, features, flow_tensor, log_mel, mfcc, rgb_tensor
from edge.manifest import AudioFeatures, ClipSpec, Features, FlowFeatures, Manifest, RgbFeatures

MANIFEST = Manifest(
    ("a", "b"),
    ClipSpec(5, 64, 48, 16000),
    Features(RgbFeatures(32, 32), FlowFeatures(64, 64), AudioFeatures()),
)


def noise(seed: int = 0, rate: int = 16000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 0.2, rate) * np.linspace(0, 1, rate)).astype(np.float32)


@pytest.mark.parametrize(("rate", "fft", "hop"), [(16000, 1024, 256), (22050, 2048, 512), (48000, 2048, 512)])
def test_log_mel_and_mfcc_equal_librosas(rate: int, fft: int, hop: int):
    spec = AudioFeatures(fft_samples=fft, hop_samples=hop)
    manifest = replace(MANIFEST, clip=ClipSpec(5, 64, 48, rate), features=Features(audio=spec))
    for audio in (
        noise(rate=rate),
        np.zeros(rate, np.float32),
        np.sin(np.arange(rate) * 0.3).astype(np.float32),
    ):
        power = librosa.feature.melspectrogram(y=audio, sr=rate, n_fft=fft, hop_length=hop, n_mels=128)
        expected = librosa.power_to_db(power)
        assert np.abs(log_mel(audio, manifest) - expected).max() <= 1e-4
        expected = librosa.feature.mfcc(S=expected, n_mfcc=33)
        assert np.abs(mfcc(audio, manifest) - expected).max() <= 2e-4


def test_audio_shape_is_the_shape_of_the_tensor():
    for kind in ("log_mel", "mfcc"):
        manifest = replace(MANIFEST, features=Features(audio=AudioFeatures(kind=kind)))
        assert audio_tensor(noise(), manifest).shape == (1, *audio_shape(manifest))


def textured(shift: float, size: int = 64) -> np.ndarray:
    """A smooth texture moved right by `shift` pixels, as an RGB frame."""
    x = np.arange(size)[None, :] - shift
    y = np.arange(size)[:, None]
    gray = 128 + 50 * np.sin(x / 4) + 50 * np.cos(y / 5)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)


def test_flow_measures_displacement_per_nominal_gap():
    frames = np.stack([textured(2.0 * i) for i in range(5)])
    pictures = flow_tensor(frames, MANIFEST)
    assert pictures.shape == (4, 64, 64, 3)
    middle = pictures[:, 16:48, 16:48].astype(float).mean(axis=(0, 1, 2))
    assert middle[0] == pytest.approx(128 + 127 * 2 / 12, abs=3)
    assert middle[1] == pytest.approx(128, abs=2)
    assert middle[2] == pytest.approx(255 * 2 / 12, abs=4)


def test_flow_corrects_for_uneven_gaps():
    frames = np.stack([textured(0.0), textured(4.0)])
    wide = flow_tensor(frames, MANIFEST, (0.0, 0.4))[0, 16:48, 16:48, 0].mean()
    assert wide == pytest.approx(128 + 127 * 2 / 12, abs=3)


def test_fewer_fields_are_spread_over_the_second():
    frames = np.stack([textured(float(i * i)) for i in range(5)])
    manifest = replace(MANIFEST, features=Features(flow=FlowFeatures(64, 64, fields=2)))
    assert np.array_equal(flow_tensor(frames, manifest), flow_tensor(frames, MANIFEST)[[0, 3]])


def test_rgb_is_scaled_by_area_and_untouched_when_it_fits():
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    scaled = rgb_tensor(frames, MANIFEST)
    assert scaled.shape == (3, 32, 32, 3)
    assert np.abs(scaled[0, 0, 0] - frames[0, :2, :2].mean(axis=(0, 1))).max() <= 0.5
    fitting = replace(MANIFEST, features=Features(rgb=RgbFeatures(64, 64)))
    assert rgb_tensor(frames, fitting) is frames


def test_features_are_none_where_the_clip_lacks_the_modality():
    one_picture = Clip(0.0, np.zeros((1, 48, 64, 3), np.uint8), (0.0,))
    assert features(one_picture, MANIFEST, "rgb") is not None
    assert features(one_picture, MANIFEST, "flow") is None
    assert features(one_picture, MANIFEST, "audio") is None
    assert features(Clip(0.0, audio=noise()), MANIFEST, "rgb") is None
