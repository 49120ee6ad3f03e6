"""Makes the models of `backbones`, in a process of its own: conversions.py tflite|onnx KIND PIXELS FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import media
import numpy as np
from backbones import CLASSES, KINDS, manifest

from edge.features import features
from edge.quiet import quiet
from edge.sources import Source
from edge.windows import Windower, clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.clip import Modality
    from edge.manifest import Manifest

CALIBRATION_LOOKS = 16


def make_tflite(kind: str, pixels: int, path: Path) -> None:
    """Build a network and write it as float32, int8 and uint8 TFLite."""
    from cloud_train.backend import load_tensorflow

    load_tensorflow()
    from cloud_train.convert import float_tflite, int8_tflite, save_frozen
    from cloud_train.models import build, input_shape

    spec, draft = KINDS[kind], manifest(pixels)
    shape = input_shape(draft, spec.modality)
    model = build(spec.modality, shape, CLASSES, backbone=spec.backbone, alpha=spec.alpha, weights="none")
    looks = calibration(draft, spec.modality)
    settle(model, looks)
    path.mkdir(parents=True, exist_ok=True)
    saved = path / "saved"
    save_frozen(model, saved)
    (path / "float32.tflite").write_bytes(float_tflite(saved))
    (path / "int8.tflite").write_bytes(int8_tflite(saved, looks, pixels=spec.modality != "audio"))
    if spec.modality == "audio":
        (path / "waveform.tflite").write_bytes(waveform_tflite(saved, draft))
    else:
        (path / "uint8.tflite").write_bytes(uint8_tflite(saved, looks))


def make_onnx(kind: str, pixels: int, path: Path) -> None:
    """Convert the float32 file to ONNX, and that to int8 as onnxruntime advises: uint8 activations, static ranges."""
    import tf2onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    path.mkdir(parents=True, exist_ok=True)
    whole = path / "float32.onnx"
    source = media.CACHE / f"{kind}-{pixels}" / "float32.tflite"
    model, _ = tf2onnx.convert.from_tflite(str(source), opset=17, output_path=str(whole))
    looks = calibration(manifest(pixels), KINDS[kind].modality).astype(np.float32)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest = iter([{model.graph.input[0].name: look[None]} for look in looks])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._rest, None)

    quantize_static(
        whole, path / "int8.onnx", Reader(), per_channel=True, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )  # fmt: skip


def settle(model: Any, looks: NDArray[Any]) -> None:  # noqa: ANN401 - a keras.Model
    """Give the batch normalizations what they see, or activations fade to nothing, layer by layer."""
    import keras

    for layer in model.get_layer("backbone").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(looks.astype(np.float32), training=True)


def calibration(draft: Manifest, modality: Modality) -> NDArray[Any]:
    """Look at the test clip, for the ranges of int8."""
    with Source(str(media.match_clip(20)), draft.clip.sample_rate_hz) as source:
        tensors = [features(clip, draft, modality) for clip in clips(source, Windower(draft.clip))]
    looks = np.concatenate([tensor for tensor in tensors if tensor is not None])
    return looks[:: -(-len(looks) // CALIBRATION_LOOKS)]


def uint8_tflite(saved: Path, looks: NDArray[Any]) -> bytes:
    """Convert to int8 with uint8 at both ends, the only quantized models that MediaPipe takes."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([look[None].astype(np.float32)] for look in looks)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    with quiet():
        data: bytes = converter.convert()
    return data


def waveform_tflite(saved: Path, draft: Manifest) -> bytes:
    """Convert with the log-mel spectrogram inside: what MediaPipe's classifier of sound wants."""
    import tempfile

    import tensorflow as tf

    from cloud_train.convert import float_tflite
    from edge.features import _hann, _mel_filters  # the same numbers, or the answers could not be compared

    spec, rate = draft.features.audio, draft.clip.sample_rate_hz
    assert spec is not None
    window = tf.constant(_hann(spec.fft_samples), tf.float32)
    filters = tf.constant(_mel_filters(rate, spec.fft_samples, spec.bands))
    module = tf.Module()
    module.classifier = tf.saved_model.load(str(saved))
    classify = module.classifier.signatures["serving_default"]

    def serve(audio: Any) -> dict[str, Any]:  # noqa: ANN401 - a symbolic tensor
        padded = tf.pad(audio, [[0, 0], [spec.fft_samples // 2] * 2])
        frames = tf.signal.frame(padded, spec.fft_samples, spec.hop_samples)
        mel = tf.matmul(tf.square(tf.abs(tf.signal.rfft(frames * window))), filters, transpose_b=True)
        decibel = 10 / np.log(10) * tf.math.log(tf.maximum(mel, 1e-10))
        limited = tf.maximum(decibel, tf.reduce_max(decibel) - spec.top_db)
        return {"probabilities": classify(tf.transpose(limited, [0, 2, 1])[..., None])["probabilities"]}

    module.serve = tf.function(serve, input_signature=[tf.TensorSpec((1, rate), tf.float32, name="audio")])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        return float_tflite(Path(folder))


if __name__ == "__main__":
    {"tflite": make_tflite, "onnx": make_onnx}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
