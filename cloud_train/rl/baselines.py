"""What a learnt policy is compared with: chance, and a controller made by hand for each task."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .follow_event import FollowEvent
from .follow_target import FIELDS, KEPT_METRES, LIMITS
from .interface import Interface
from .object_tracker import ACTIONS, STEP_SECONDS
from .scene import FOCAL, WIDTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

Act = Callable[["NDArray[np.float32]"], Any]
"""An observation in, an action out; it may remember what it saw, and is made anew for each episode."""

DARK = 0.55
"""Share of the picture's mean below which a pixel belongs to the robot ahead."""


def at_random(interface: Interface, seed: int) -> Act:
    """Draw each action evenly."""
    space = interface.action_space
    space.seed(seed)
    return lambda _observation: space.sample()


def _nearest(actions: tuple[tuple[float, float], ...], turn: float) -> int:
    return int(np.argmin([abs(angular - turn) for _, angular in actions]))


def _tracker() -> Act:
    """Turn toward the middle of what is dark in the picture; where nothing is, as before."""
    before = [0.0]

    def act(picture: NDArray[np.float32]) -> int:
        dark = picture[:, :, 0] < DARK * picture.mean()
        bearing = before[0]
        if dark.any():
            column = float(np.nonzero(dark)[1].mean())
            bearing = math.atan2(WIDTH / 2 - column, FOCAL)
        turn = 2.0 * bearing + 0.2 * (bearing - before[0]) / STEP_SECONDS
        before[0] = bearing
        return _nearest(ACTIONS, turn)

    return act


def _follower() -> Act:
    """Turn by bearing, drive by range; what is turned and driven already is the derivative."""

    def act(observation: NDArray[np.float32]) -> NDArray[np.float32]:
        bearing, distance, linear, angular = (
            float(value) * one.scale + one.offset for value, one in zip(observation, FIELDS, strict=True)
        )
        turn = 4.0 * bearing - 0.3 * angular
        forward = (2.0 * (distance - KEPT_METRES) - 0.3 * linear) * max(0.0, math.cos(bearing))
        wish = (forward / LIMITS.linear_most_mps, turn / LIMITS.angular_most_radps)
        return np.clip(np.array(wish, np.float32), -1, 1)

    return act


def _listener() -> Act:
    """Turn toward the sound while the detector says that the event happens, else stand."""
    actions = FollowEvent.interface.actions

    def act(observation: NDArray[np.float32]) -> int:
        event, _, bearing, angular = map(float, observation)
        turn = 2.0 * bearing - 0.2 * angular * 1.5 if event > 0.5 else 0.0
        return _nearest(actions, turn)

    return act


CONTROLLERS: dict[str, Callable[[], Act]] = {
    "ObjectTracker-v0": _tracker,
    "FollowTarget-v0": _follower,
    "FollowEvent-v0": _listener,
}
"""The proportional-derivative controller of each of our tasks, made anew for each episode."""
