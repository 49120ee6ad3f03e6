"""The classifiers: built on device features, loaded from files, trained in two steps, converted with parity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud_train.backend import load_tensorflow
from cloud_train.recordings import DataError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:__array__ implementation")]

load_tensorflow()

import keras  # noqa: E402

from cloud_train.convert import ExportError, convert  # noqa: E402
from cloud_train.models import IMAGENET_BGR_MEANS, build  # noqa: E402
from edge.tflite import TfliteModel  # noqa: E402

SHAPE = (32, 32, 3)


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet50"])
def test_weights_of_a_file_are_the_networks(backbone: str, tmp_path: Path):
    """The file is of the format of the ImageNet weights that Keras downloads: the network without its top."""
    source = build("rgb", SHAPE, 4, backbone=backbone, alpha=0.35, weights="none")
    file = tmp_path / "no_top.weights.h5"
    source.get_layer("backbone").save_weights(file)
    loaded = build("rgb", SHAPE, 4, backbone=backbone, alpha=0.35, weights=str(file))
    for mine, theirs in zip(
        loaded.get_layer("backbone").get_weights(), source.get_layer("backbone").get_weights(), strict=True
    ):
        assert np.array_equal(mine, theirs)


def test_weights_that_do_not_fit_are_one_sentence(tmp_path: Path):
    file = tmp_path / "other.weights.h5"
    build("rgb", SHAPE, 4, alpha=0.5, weights="none").get_layer("backbone").save_weights(file)
    with pytest.raises(DataError, match=r"do not fit mobilenet_v2 at width 0.35 without its top") as failure:
        build("rgb", SHAPE, 4, alpha=0.35, weights=str(file))
    assert "\n" not in str(failure.value)
    with pytest.raises(DataError, match=r"nowhere.h5: no such file"):
        build("rgb", SHAPE, 4, weights="nowhere.h5")


def test_weights_that_cannot_be_downloaded_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(DataError, match=r"weights imagenet: cannot be downloaded \(.*\); give a file, or `none`"):
        build("rgb", (96, 96, 3), 4, alpha=0.35)


def test_resnet50_gets_centred_bgr_as_its_imagenet_weights_expect():
    model = build("rgb", SHAPE, 4, backbone="resnet50", weights="none")
    seen = keras.Model(model.input, model.get_layer("rgb_to_centred_bgr").output)
    red = np.zeros((1, *SHAPE), np.float32)
    red[..., 0] = 255
    expected = np.array([0, 0, 255]) - np.array(IMAGENET_BGR_MEANS)
    assert np.allclose(np.asarray(seen(red))[0, 5, 5], expected, atol=1e-3)


def test_int8_and_float_answer_alike_and_a_difference_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keras.utils.set_random_seed(0)
    model = build("rgb", SHAPE, 4, alpha=0.35, weights="none")
    converted = convert(model, pixels(8), pixels(16, seed=1), tmp_path / "rgb.tflite", pixels=True)
    assert converted.float_difference <= 1e-4
    assert np.abs(converted.int8 - converted.expected).mean() <= 0.02
    file = TfliteModel(tmp_path / "rgb.tflite")
    assert (file.input.dtype, file.input.scale, file.input.zero_point) == ("int8", 1.0, -128)
    assert file.output.dtype == "int8"
    monkeypatch.setattr("cloud_train.convert.FLOAT_TOLERANCE", -1.0)
    with pytest.raises(ExportError, match=r"^other.tflite: float TFLite differs from Keras by"):
        convert(model, pixels(2), pixels(2), tmp_path / "other.tflite", pixels=True)
    assert not (tmp_path / "other.tflite").exists()
