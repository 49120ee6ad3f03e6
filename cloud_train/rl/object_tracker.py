"""The object tracker of AWS RoboMaker's sample: drive up to a TurtleBot, by the camera's grey picture alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import gymnasium
import numpy as np

from edge.guard import Limits
from edge.manifest import PictureObservation

from .drive import Drive, Pose
from .interface import Interface
from .scene import Look, camera_picture, top_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIONS = ((0.1, 0.6), (0.1, -0.6), (0.1, 0.0), (0.1, 0.3), (0.1, -0.3))
"""m/s and rad/s, in the sample's order. Its notebook speaks of six; its code has these five."""
STEP_SECONDS, STEPS = 0.1, 1000
CAUGHT_METRES, LOST_METRES = 0.2, 5.0
AHEAD_METRES = 3.5
TARGET_MPS = 0.05
"""Of a target that moves."""


class ObjectTracker(gymnasium.Env[Any, Any]):
    """`ObjectTracker-v0`: a grey picture `[120, 160, 1]` in, one of five velocities out, every 0.1 s.

    The robot begins at the origin, the other one stands 3.5 m ahead and up to 1 m to a side. A step that comes nearer
    than any before is rewarded by 10/d^2, any other by 0. It ends nearer than 0.2 m, which only such a step can find,
    or beyond 5 m (aws-robotics/aws-robomaker-sample-application-objecttracker). Unlike there, velocities change no
    faster than the guard allows. With `moving` the other drives about; with `varied` each episode looks different.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - gymnasium's own form
    interface = Interface(limits=Limits(), actions=ACTIONS, picture=PictureObservation())

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        moving: bool = False,
        varied: bool = False,
        drive: Callable[[Limits], Drive] = Drive,
    ) -> None:
        self.render_mode, self._moving, self._varied, self._drive = render_mode, moving, varied, drive
        self.observation_space = self.interface.observation_space
        self.action_space = self.interface.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        self.robot = self._drive(self.interface.limits)
        side, heading = self.np_random.uniform(-1, 1), self.np_random.uniform(-math.pi, math.pi)
        self.target = Pose(AHEAD_METRES, float(side), float(heading))
        self._look = Look.drawn(self.np_random) if self._varied else Look()
        self._nearest = self.distance
        self._trail = [(0.0, 0.0)]
        return self._observe(), {"distance": self._nearest, "success": False}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Drive on for 0.1 s."""
        self.robot.go(*self.interface.velocity(action), STEP_SECONDS)
        if self._moving:
            turn = float(self.np_random.normal(0, 0.8))
            self.target = self.target.moved(TARGET_MPS, turn, STEP_SECONDS)
        distance = self.distance
        nearer = distance < self._nearest
        reward = 10 / distance**2 if nearer else 0.0
        caught = nearer and distance < CAUGHT_METRES
        self._nearest = min(self._nearest, distance)
        self._trail.append((self.robot.pose.x, self.robot.pose.y))
        ended = caught or distance > LOST_METRES
        return self._observe(), reward, ended, False, {"distance": distance, "success": caught}

    @property
    def distance(self) -> float:
        """From the middle of one robot to that of the other, metres."""
        return self.robot.pose.distance(self.target.x, self.target.y)

    def picture(self) -> NDArray[np.uint8]:
        """Give what the camera sees now: RGB `[120, 160, 3]`."""
        return camera_picture(self.robot.pose, self.target, self._look)

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override] # gymnasium leaves the kind of picture open
        """Show the camera's picture beside the scene from above: RGB `[360, 840, 3]`."""
        camera = cv2.resize(self.picture(), (480, 360), interpolation=cv2.INTER_NEAREST)
        return np.hstack([camera, top_view(self.robot.pose, self.target, self._trail)]).astype(np.uint8)

    def _observe(self) -> NDArray[np.float32]:
        return self.interface.see(self.picture())
