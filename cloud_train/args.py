"""The settings of a training; their help texts are the command line's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Backbone = Literal["mobilenet_v2", "resnet50"]


@dataclass(frozen=True)
class Args:
    """How to train; the epoch counts default to the reference's: 10 and 30, or 100 for sound in one go."""

    backbone: Backbone = field(default="mobilenet_v2", metadata={"help": "the network below the two dense layers"})
    alpha: float = field(default=1.0, metadata={"help": "width of MobileNetV2"})
    weights: str = field(default="imagenet", metadata={"help": "imagenet (downloaded by Keras), none, or a file"})
    head_epochs: int = field(default=10, metadata={"help": "epochs of the first step: the backbone is frozen"})
    epochs: int = field(default=30, metadata={"help": "epochs of the second step: everything is trained"})
    head_learning_rate: float = field(default=1e-3, metadata={"help": "Adam's rate in the first step"})
    learning_rate: float = field(default=1e-4, metadata={"help": "Adam's rate in the second step, falling as a cosine"})
    batch: int = field(default=32, metadata={"help": "looks in a batch"})
    dense_units: int = field(default=256, metadata={"help": "width of the first dense layer"})
    dropout: float = field(default=0.2, metadata={"help": "share of it dropped in training"})
    label_smoothing: float = field(default=0.0, metadata={"help": "share of the target spread over all classes"})
    seed: int = field(default=0, metadata={"help": "seed of weights, order and augmentation"})
