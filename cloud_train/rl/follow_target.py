"""Follow what moves, by its bearing and range: small numbers, for training in seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import gymnasium
import numpy as np

from edge.guard import Limits
from edge.manifest import VectorField

from .drive import Drive, Pose
from .interface import Interface
from .scene import camera_picture, top_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMITS = Limits(
    linear_least_mps=-0.1, linear_most_mps=0.26, angular_most_radps=1.82,
    linear_acceleration=1.0, angular_acceleration=6.0, linear_jerk=20.0, angular_jerk=120.0,
    stop_angular=40.0,
)  # fmt: skip
"""A TurtleBot3 Waffle Pi's own top speeds; backwards only slowly."""
FIELDS = (
    VectorField("target_bearing_rad", least=-math.pi, most=math.pi),
    VectorField("target_range_m", offset=1.0, least=0.0, most=6.0),
    VectorField("linear_mps", scale=0.26, least=-0.3, most=0.3),
    VectorField("angular_radps", scale=1.82, least=-2.0, most=2.0),
)
STEP_SECONDS, STEPS = 0.1, 200
KEPT_METRES, NEAREST_METRES, FARTHEST_METRES = 1.0, 0.25, 5.0
BEARING_WIDTH, RANGE_WIDTH = 0.35, 0.5
ACTION_COST, LOST_REWARD = 0.02, -5.0
TARGET_MPS = (0.05, 0.15)
BEARING_NOISE, RANGE_NOISE = 0.01, 0.02
"""Standard deviations of the measurement, rad and m."""


class FollowTarget(gymnasium.Env[Any, Any]):
    """`FollowTarget-v0`: bearing, range and own velocities in, two velocities out, every 0.1 s for 20 s.

    A target drives about at 0.05 to 0.15 m/s. Each step is rewarded by exp(-(bearing/0.35)^2) exp(-((range-1)/0.5)^2)
    - 0.02 |action|^2; nearer than 0.25 m or beyond 5 m it is lost, at -5, and the episode over.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - gymnasium's own form
    interface = Interface(limits=LIMITS, vector=FIELDS)

    def __init__(self, render_mode: str | None = None, *, drive: Callable[[Limits], Drive] = Drive) -> None:
        self.render_mode, self._drive = render_mode, drive
        self.observation_space = self.interface.observation_space
        self.action_space = self.interface.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        draw = self.np_random.uniform
        self.robot = self._drive(self.interface.limits)
        where = Pose(0.0, 0.0, float(draw(-1.0, 1.0))).moved(float(draw(0.6, 2.5)), 0.0, 1.0)
        self.target = Pose(where.x, where.y, float(draw(-math.pi, math.pi)))
        self._speed, self._turn = float(draw(*TARGET_MPS)), 0.0
        self._trail = [(0.0, 0.0)]
        return self._observe(), {"success": False}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Drive on for 0.1 s."""
        asked = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self.robot.go(*self.interface.velocity(asked), STEP_SECONDS)
        # Its turning rate wanders and is drawn back to zero: a smooth way, another each time.
        self._turn += -0.1 * self._turn + float(self.np_random.normal(0, 0.15))
        self.target = self.target.moved(self._speed, self._turn, STEP_SECONDS)
        self._trail.append((self.robot.pose.x, self.robot.pose.y))
        bearing, distance = self._measured()
        lost = not NEAREST_METRES <= distance <= FARTHEST_METRES
        aim = math.exp(-((bearing / BEARING_WIDTH) ** 2) - ((distance - KEPT_METRES) / RANGE_WIDTH) ** 2)
        reward = LOST_REWARD if lost else aim - ACTION_COST * float(asked @ asked)
        on_target = abs(bearing) < BEARING_WIDTH and abs(distance - KEPT_METRES) < RANGE_WIDTH
        return self._observe(), reward, lost, False, {"success": on_target, "distance": distance}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override] # gymnasium leaves the kind of picture open
        """Show what a camera would see beside the scene from above: RGB `[360, 840, 3]`."""
        picture = camera_picture(self.robot.pose, self.target)
        camera = cv2.resize(picture, (480, 360), interpolation=cv2.INTER_NEAREST)
        return np.hstack([camera, top_view(self.robot.pose, self.target, self._trail)]).astype(np.uint8)

    def _measured(self) -> tuple[float, float]:
        pose = self.robot.pose
        return pose.bearing(self.target.x, self.target.y), pose.distance(self.target.x, self.target.y)

    def _observe(self) -> NDArray[np.float32]:
        bearing, distance = self._measured()
        linear, angular = self.robot.velocities
        values = {
            "target_bearing_rad": bearing + float(self.np_random.normal(0, BEARING_NOISE)),
            "target_range_m": distance + float(self.np_random.normal(0, RANGE_NOISE)),
            "linear_mps": linear,
            "angular_radps": angular,
        }
        return self.interface.sense(values)
