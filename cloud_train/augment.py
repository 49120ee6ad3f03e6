"""Looks varied in training, without changing what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.clip import Modality

if TYPE_CHECKING:
    from numpy.typing import NDArray


def augment(x: NDArray[np.float32], modality: Modality, rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary a batch of looks in place, without changing what they show."""
    if modality == "audio":
        x += rng.uniform(-6, 6, (len(x), 1, 1, 1)).astype(np.float32)  # dB
        return x
    mirrored = rng.random(len(x)) < 0.5
    x[mirrored] = x[mirrored, :, ::-1]
    if modality == "flow":
        x[mirrored, :, :, 0] = 256 - x[mirrored, :, :, 0]  # what moved left now moves right
        return np.clip(x, 0, 255, out=x)
    x *= rng.uniform(0.8, 1.2, (len(x), 1, 1, 3)).astype(np.float32)
    x += rng.uniform(-15, 15, (len(x), 1, 1, 1)).astype(np.float32)
    return np.clip(x, 0, 255, out=x)
