"""What a policy observes and does: the contract between a simulator, the training, and the robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from edge.guard import Limits
from edge.manifest import PictureObservation, VectorField
from edge.policy import picture_observation, vector_observation

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Interface:
    """A picture or a vector of named numbers in, one of `actions` or two velocities out, within `limits`.

    The bundle's manifest says the same of the policy, so that what is learnt is what the robot runs. Without `actions`
    an action is two numbers of -1 to 1: shares of the highest forward and turning velocity.
    """

    limits: Limits = field(default_factory=Limits)
    actions: tuple[tuple[float, float], ...] = ()
    picture: PictureObservation | None = None
    vector: tuple[VectorField, ...] = ()

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation: `[height, width, 1]` or `[fields]`."""
        if self.picture is not None:
            return (self.picture.height, self.picture.width, 1)
        return (len(self.vector),)

    @property
    def observation_space(self) -> spaces.Box:
        """All that can be observed, as gymnasium says it: single precision."""
        if self.picture is not None:
            most = 255 * sum(self.picture.grey_weights) * self.picture.scale
            return spaces.Box(0.0, float(np.nextafter(np.float32(most), np.float32(np.inf))), self.observation_shape)
        ends = [[(end - one.offset) / one.scale for end in _ends(one)] for one in self.vector]
        low, high = np.sort(np.array(ends, np.float32), axis=1).T
        return spaces.Box(low, high)

    @property
    def action_space(self) -> spaces.Discrete[np.int64] | spaces.Box:
        """All that can be done."""
        return spaces.Discrete(len(self.actions)) if self.actions else spaces.Box(-1.0, 1.0, (2,))

    @property
    def velocity_scale(self) -> tuple[float, float]:
        """What an action without a table is multiplied by: m/s and rad/s."""
        return self.limits.linear_most_mps, self.limits.angular_most_radps

    def velocity(self, action: Any) -> tuple[float, float]:  # noqa: ANN401 - an index or two numbers
        """Give the forward (m/s) and turning (rad/s) velocity that an action asks for, cut to the limits."""
        if self.actions:
            return self.actions[int(action)]
        forward, turning = self.velocity_scale
        linear = min(max(float(action[0]) * forward, self.limits.linear_least_mps), forward)
        return linear, min(max(float(action[1]) * turning, -turning), turning)

    def see(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Make the observation of a camera picture, RGB `[h, w, 3]`, by the device's own function."""
        assert self.picture is not None
        return picture_observation(frame, self.picture)[0]

    def sense(self, values: Mapping[str, float]) -> NDArray[np.float32]:
        """Make the observation of named numbers, cut to what the policy knows, by the device's own function."""
        cut = {one.name: float(np.clip(values[one.name], *_ends(one))) for one in self.vector}
        return vector_observation(cut, self.vector)[0]


def _ends(one: VectorField) -> tuple[float, float]:
    return (-np.inf if one.least is None else one.least, np.inf if one.most is None else one.most)


@runtime_checkable
class Task(Protocol):
    """What an environment of your own needs beyond gymnasium's interface.

    `interface` is an attribute of the class. Each `info` of `step` has `success`: whether the robot does, just now,
    what it is for.
    """

    interface: Interface
