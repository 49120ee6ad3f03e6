"""The classifiers: ResNet50 or MobileNetV2 with two dense layers on top, taking device features as they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np

from edge.clip import Modality
from edge.features import audio_shape
from edge.manifest import Manifest

from .args import Backbone
from .recordings import DataError

BATCH_NORM_MOMENTUM = 0.9
"""Keras' own 0.999 leaves the moving statistics of a short training near their start: it then evaluates at chance."""
IMAGENET_BGR_MEANS = (103.939, 116.779, 123.68)
"""Subtracted by the original ResNet50, whose weights Keras carries ("caffe" preprocessing)."""


def input_shape(manifest: Manifest, modality: Modality) -> tuple[int, int, int]:
    """Give the shape of one look at a second, as `edge.features` makes it: height, width, channels."""
    if modality == "audio":
        return audio_shape(manifest)
    spec = manifest.features.rgb if modality == "rgb" else manifest.features.flow
    if spec is None:
        msg = f"the features hold no {modality}"
        raise DataError(msg)
    return spec.height, spec.width, 3


def build(
    modality: Modality,
    shape: tuple[int, int, int],
    classes: int,
    *,
    backbone: Backbone = "mobilenet_v2",
    alpha: float = 1.0,
    weights: str = "imagenet",
    dense_units: int = 256,
    dropout: float = 0.2,
) -> keras.Model:
    """Build a classifier whose input is device features and whose output is probabilities.

    `weights` is "imagenet" (Keras downloads them once), "none", or a file in Keras' no-top format. The layer named
    `backbone` is what the first step of fine-tuning freezes.
    """
    inputs = keras.Input(shape, name="features")
    network = _backbone(shape, backbone, alpha, weights)
    pooled = network(_preprocess(inputs, modality, backbone))
    # Averages of a network's last pictures are all positive and much alike: unless they are centred, one step of an
    # untrained head can shut every unit of the dense layer for good.
    centred = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="centred")(pooled)
    hidden = keras.layers.Dropout(dropout)(keras.layers.Dense(dense_units, activation="relu")(centred))
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(hidden)
    return keras.Model(inputs, outputs)


def _backbone(shape: tuple[int, int, int], backbone: Backbone, alpha: float, weights: str) -> keras.Model:
    arguments = {"input_shape": (*shape[:2], 3), "include_top": False, "pooling": "avg", "name": "backbone"}
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        msg = f"weights {weights}: no such file; give a file, `imagenet` or `none`"
        raise DataError(msg)
    arguments["weights"] = None if weights == "none" else weights
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Skipping")  # else what does not fit is left at random
            if backbone == "resnet50":
                network = keras.applications.ResNet50(**arguments)
            else:
                network = keras.applications.MobileNetV2(alpha=alpha, **arguments)
    except Exception as error:
        if "URL fetch failure" in str(error):
            reason = str(error).rpartition("]")[2].strip(" >")
            msg = f"weights {weights}: cannot be downloaded ({reason}); give a file, or `none`"
            raise DataError(msg) from None
        if not isinstance(error, ValueError | OSError | KeyError | UserWarning):
            raise
        width = f" at width {alpha:g}" if backbone == "mobilenet_v2" else ""
        msg = f"weights {weights}: do not fit {backbone}{width} without its top ({str(error).splitlines()[0][:160]})"
        raise DataError(msg) from None
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return network


def _preprocess(inputs: keras.KerasTensor, modality: Modality, backbone: Backbone) -> keras.KerasTensor:
    """Scale features to what the backbone was made for, inside the model: the device feeds them as they are."""
    if modality == "audio":
        scaled = keras.layers.Rescaling(1 / 50, offset=1.0)(inputs)  # -100..0 dB to -1..1
        image = keras.layers.Concatenate()([scaled] * 3)
        return keras.layers.Rescaling(127.5)(image) if backbone == "resnet50" else image
    if backbone == "mobilenet_v2":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    reorder = keras.layers.Conv2D(3, 1, trainable=False, name="rgb_to_centred_bgr")
    outputs = reorder(inputs)
    reorder.set_weights([np.eye(3)[::-1].reshape(1, 1, 3, 3), -np.array(IMAGENET_BGR_MEANS)])
    return outputs
