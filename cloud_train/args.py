"""The settings of a training; their help texts are the command line's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from edge.clip import Modality

from .recordings import DataError

Backbone = Literal["mobilenet_v2", "resnet50"]
BatchNorm = Literal["auto", "frozen", "trained"]
Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]


@dataclass(frozen=True)
class Args:
    """How to train; the defaults are the reference's for pictures and motion: ResNet50, 10 epochs and then 30.

    The rates, and what keeps a network from learning by heart, are for some hundred recordings (docs/training.md).
    """

    backbone: Backbone = field(default="resnet50", metadata={"help": "the network below the two dense layers"})
    alpha: float = field(default=1.0, metadata={"help": "width of MobileNetV2"})
    weights: str = field(default="imagenet", metadata={"help": "imagenet (downloaded by Keras), none, or a file"})
    head_epochs: int = field(
        default=10, metadata={"least": 0, "help": "epochs of the first step: the backbone is frozen"}
    )
    epochs: int = field(default=30, metadata={"least": 1, "help": "epochs of the second step: everything is trained"})
    head_learning_rate: float = field(default=3e-3, metadata={"least": 0, "help": "rate in the first step"})
    learning_rate: float = field(
        default=3e-4, metadata={"least": 0, "help": "rate in the second step, falling as a cosine"}
    )
    weight_decay: float = field(
        default=0.01,
        metadata={"least": 0, "help": "share of each weight that AdamW takes off, times the rate, in a step"},
    )
    batch: int = field(
        default=16, metadata={"least": 2, "help": "looks in a batch, over all workers, two or more for each"}
    )
    dense_units: int = field(default=256, metadata={"least": 1, "help": "width of the first dense layer"})
    dropout: float = field(default=0.2, metadata={"least": 0, "below": 1, "help": "share of it dropped in training"})
    label_smoothing: float = field(
        default=0.1, metadata={"least": 0, "below": 1, "help": "share of the target spread over all classes"}
    )
    class_weights: Literal["balanced", "none"] = field(
        default="balanced", metadata={"help": "whether rare classes count more"}
    )
    augmentation: Literal["on", "mild", "off"] = field(
        default="on", metadata={"help": "how much looks are varied in training"}
    )
    batch_norm: BatchNorm = field(
        default="auto", metadata={"help": "batch normalisation in the second step; auto: frozen with given weights"}
    )
    precision: Precision = field(
        default="auto", metadata={"help": "of the arithmetic; auto: mixed_float16 on a GPU, else float32"}
    )
    patience: int = field(
        default=10,
        metadata={
            "least": 0,
            "help": "epochs without a better validation loss until a step ends at its best; 0: it runs to its last",
        },
    )
    seed: int = field(default=0, metadata={"least": 0, "help": "seed of weights, order and augmentation"})

    def __post_init__(self) -> None:
        """Raise DataError for a number out of its range."""
        for one in fields(self):
            least, below = one.metadata.get("least"), one.metadata.get("below", math.inf)
            value = getattr(self, one.name)
            if least is not None and not least <= value < below:
                limit = f"{least} or more" if below == math.inf else f"from {least} to below {below}"
                msg = f"{one.name.replace('_', ' ')} {value}: {limit} is right"
                raise DataError(msg)


DEFAULTS: dict[Modality, Args] = {
    "rgb": Args(),
    "flow": Args(),
    "audio": Args(
        backbone="mobilenet_v2", head_epochs=0, epochs=100, learning_rate=1e-3, batch_norm="trained", patience=20
    ),
}
"""The reference's settings for each modality; sound is trained whole from the start, for 100 epochs.

A spectrogram is no photograph: with the statistics of photographs frozen, batch normalisation learns nothing from it.
"""
