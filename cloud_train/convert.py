"""A Keras model to float TFLite to full int8, compared with the model after each step."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edge.manifest import BundleError
from edge.quiet import quiet
from edge.tflite import TfliteModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOAT_TOLERANCE = 1e-4
"""Largest difference allowed between Keras and the float TFLite file; a few 1e-6 is what one sees."""
INPUT = "features"


class ExportError(BundleError):
    """A model that did not survive a conversion; the message names the step and by how much it differs."""


@dataclass(frozen=True, eq=False)
class Converted:
    """What the trained model and its int8 file answer to the same looks, `[looks, classes]` each.

    `float_difference` is the largest difference of a probability between Keras and the float TFLite file.
    """

    expected: NDArray[np.float32]
    int8: NDArray[np.float32]
    float_difference: float


def convert(
    model: keras.Model, looks: NDArray[Any], calibration: NDArray[Any], out: Path, *, pixels: bool
) -> Converted:
    """Write a model's int8 file to `out`; ExportError if the float file answers `looks` otherwise than the model."""
    expected = model.predict(looks, batch_size=64, verbose=0)
    with tempfile.TemporaryDirectory() as scratch:
        saved, float_file = Path(scratch) / "saved", Path(scratch) / "float.tflite"
        save_frozen(model, saved)
        float_file.write_bytes(float_tflite(saved))
        difference = float(np.abs(TfliteModel(float_file)(looks.astype(np.float32)) - expected).max())
        if not difference <= FLOAT_TOLERANCE:
            msg = f"{out.name}: float TFLite differs from Keras by {difference:.2g}; allowed is {FLOAT_TOLERANCE:g}"
            raise ExportError(msg)
        out.write_bytes(int8_tflite(saved, calibration, pixels=pixels))
    return Converted(expected, TfliteModel(out)(looks), difference)


def save_frozen(model: keras.Model, folder: Path) -> None:
    """Write a Keras model as a SavedModel of constants: with variables, a Keras 3 model converts without weights."""
    signature = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name=INPUT)]
    function = tf.function(lambda x: model(x, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(*signature))
    classes = model.output_shape[-1]
    module = tf.Module()

    def serve(features: Any) -> dict[str, Any]:  # noqa: ANN401 - a symbolic tensor
        result = frozen(features)
        return {"probabilities": tf.reshape(result[0] if isinstance(result, list) else result, (-1, classes))}

    module.serve = tf.function(serve, input_signature=signature)
    with quiet():
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})


def float_tflite(saved: Path) -> bytes:
    """Convert a frozen SavedModel to float TFLite."""
    with quiet():
        data: bytes = tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert()
    return data


def int8_tflite(saved: Path, calibration: NDArray[Any], *, pixels: bool) -> bytes:
    """Convert a frozen SavedModel to full int8, input and output included, with ranges observed on `calibration`.

    For `pixels` two corner values of every sample hold the input range at 0..255, so that scale 1 and zero point -128
    store a pixel as it is.
    """
    samples = calibration.astype(np.float32)
    if pixels:
        samples[:, 0, :2] = np.array([0, 255])[:, None]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        data: bytes = converter.convert()
    return data
