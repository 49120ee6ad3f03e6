"""A learned policy on the device: an observation in, an action out. It proposes; the guard disposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from .manifest import BundleError, PictureObservation, PolicySpec, VectorField
from .tflite import TfliteModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .bundle import Bundle


class PolicyError(Exception):
    """An observation that cannot be used, or an answer that is none; the message says which and why."""


@dataclass(frozen=True)
class Action:
    """What the policy wants: `index` into its actions (-1: it answers in velocities) and the `scores` behind it."""

    index: int
    linear_mps: float
    angular_radps: float
    scores: tuple[float, ...]


class Policy:
    """The policy of a bundle; call it with an observation tensor `[1, ...]` for an Action.

    BundleError if the bundle has none.
    """

    def __init__(self, bundle: Bundle) -> None:
        if bundle.manifest.policy is None:
            msg = f"{bundle.path}: the bundle has no policy; its manifest needs the section `policy`"
            raise BundleError(msg)
        self.spec = bundle.manifest.policy
        self._model = TfliteModel(bundle.path / self.spec.file, threads=1)

    def __call__(self, observation: NDArray[Any]) -> Action:
        """Decide; PolicyError where the observation or any score is not finite."""
        if observation.dtype.kind == "f" and not np.isfinite(observation).all():
            msg = "the observation holds NaN or infinite values"
            raise PolicyError(msg)
        return action(self._model(observation)[0], self.spec)


def action(scores: NDArray[np.float32], spec: PolicySpec) -> Action:
    """Choose the action of the highest score; PolicyError where any score is not finite.

    That is looked at first, since argmax of NaN is an index like any other.
    """
    if not np.isfinite(scores).all():
        msg = "the policy's answer holds NaN or infinite values"
        raise PolicyError(msg)
    found = tuple(map(float, scores))
    if not spec.actions:
        return Action(-1, found[0], found[1], found)
    index = int(np.argmax(scores))
    return Action(index, *spec.actions[index], found)


def picture_observation(frame: NDArray[np.uint8], picture: PictureObservation) -> NDArray[np.float32]:
    """Make the observation `[1, height, width, 1]` of an RGB picture `[h, w, 3]`: scaled by area, then grey."""
    if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        msg = f"the picture has the shape {frame.shape}; it must be [height, width, 3]"
        raise PolicyError(msg)
    small = cv2.resize(frame, (picture.width, picture.height), interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32) @ np.array(picture.grey_weights, np.float32) * np.float32(picture.scale)
    return grey[None, :, :, None]


def vector_observation(values: Mapping[str, float], fields: Sequence[VectorField]) -> NDArray[np.float32]:
    """Make the observation `[1, fields]`: each field less its offset, over its scale; PolicyError names one missing."""
    numbers = []
    for field in fields:
        value = values.get(field.name)
        if value is None or not np.isfinite(value):
            msg = f"{field.name} is {'missing' if value is None else 'not finite'}"
            raise PolicyError(msg)
        low, high = field.least, field.most
        if (low is not None and value < low) or (high is not None and value > high):
            msg = f"{field.name} is {value:g}; the policy knows {low} to {high}"
            raise PolicyError(msg)
        numbers.append((value - field.offset) / field.scale)
    return np.array([numbers], np.float32)
