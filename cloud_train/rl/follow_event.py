"""Turn to where the event happens: the detector's probabilities and the bearing of the sound, in one policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import gymnasium
import numpy as np

from edge.guard import Limits
from edge.manifest import VectorField

from .drive import Drive, wrapped
from .interface import Interface

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMITS = Limits(
    linear_most_mps=0.0, angular_most_radps=1.5, angular_acceleration=6.0, angular_jerk=120.0, stop_angular=40.0
)
ACTIONS = ((0.0, 0.0), (0.0, 0.5), (0.0, -0.5), (0.0, 1.5), (0.0, -1.5))
"""Stand, turn slowly, turn fast; left is positive."""
EVENT, OTHER = "tennis", "badminton"
"""Labels of the shipped demo bundle: the event to follow, and the one on the neighbouring court."""
STEP_SECONDS, STEPS = 0.1, 300
EVENT_SECONDS, PAUSE_SECONDS = (4.0, 10.0), (1.0, 5.0)
BEARING_NOISE = 0.15
"""Standard deviation of the sound's direction, rad: what a small microphone array reaches in a hall."""
FACING = 0.35
TURN_COST = 0.05


class FollowEvent(gymnasium.Env[Any, Any]):
    """`FollowEvent-v0`: probabilities of two labels, the sound's bearing and the own turning rate in; a turn out.

    Events happen by turns on some side of the robot, and move a little; in between, or at the same time, something else
    does on another, which is louder in one step of three. The probabilities come once a second for the second before,
    as the detector gives them, and err; the bearing is that of the loudest sound. Each of 300 steps of 0.1 s is
    rewarded by exp(-(bearing/0.35)^2) during an event, and costs 0.05 of the turning rate's share at any time.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - gymnasium's own form
    interface = Interface(
        limits=LIMITS,
        actions=ACTIONS,
        vector=(
            VectorField(f"probability/{EVENT}", least=0.0, most=1.0),
            VectorField(f"probability/{OTHER}", least=0.0, most=1.0),
            VectorField("sound_bearing_rad", least=-math.pi, most=math.pi),
            VectorField("angular_radps", scale=1.5, least=-2.0, most=2.0),
        ),
    )

    def __init__(self, render_mode: str | None = None, *, drive: Callable[[Limits], Drive] = Drive) -> None:
        self.render_mode, self._drive = render_mode, drive
        self.observation_space = self.interface.observation_space
        self.action_space = self.interface.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode, in a pause."""
        super().reset(seed=seed, options=options)
        self.robot, self._steps = self._drive(self.interface.limits), 0
        self.happens, self._left = False, self._seconds(PAUSE_SECONDS)
        self.event_at, self.other_at = self._somewhere(), self._somewhere()
        self._heard = 0
        self._probabilities = (0.0, 0.5)
        return self._observe(), {"success": False}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Go on for 0.1 s."""
        self.robot.go(*self.interface.velocity(action), STEP_SECONDS)
        self._steps += 1
        self._heard += self.happens
        if self._steps % round(1 / STEP_SECONDS) == 0:
            self._decide()
        self._left -= STEP_SECONDS
        if self._left <= 0:
            self.happens = not self.happens
            self._left = self._seconds(EVENT_SECONDS if self.happens else PAUSE_SECONDS)
            if self.happens:
                self.event_at, self.other_at = self._somewhere(), self._somewhere()
        self.event_at = wrapped(self.event_at + float(self.np_random.normal(0, 0.02)))
        bearing = wrapped(self.event_at - self.robot.pose.heading)
        turning = abs(self.robot.velocities[1]) / LIMITS.angular_most_radps
        reward = math.exp(-((bearing / FACING) ** 2)) * self.happens - TURN_COST * turning
        info = {"success": not self.happens or abs(bearing) < FACING, "happens": self.happens, "bearing": bearing}
        return self._observe(), reward, False, False, info

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override] # gymnasium leaves the kind of picture open
        """Show the robot from above, the sides where something happens, and the probabilities: RGB `[360, 360, 3]`."""
        picture = np.full((360, 360, 3), 236, np.uint8)
        for angle, colour, on in (
            (self.event_at, (30, 140, 70), self.happens),
            (self.other_at, (190, 110, 40), True),
        ):
            at = (round(180 - 140 * math.sin(angle)), round(180 - 140 * math.cos(angle)))
            cv2.circle(picture, at, 14, colour, -1 if on else 1, cv2.LINE_AA)
        heading = self.robot.pose.heading
        nose = (round(180 - 60 * math.sin(heading)), round(180 - 60 * math.cos(heading)))
        cv2.circle(picture, (180, 180), 16, (30, 90, 180), -1, cv2.LINE_AA)
        cv2.line(picture, (180, 180), nose, (30, 90, 180), 4, cv2.LINE_AA)
        for k, (label, value) in enumerate(zip((EVENT, OTHER), self._probabilities, strict=True)):
            cv2.rectangle(picture, (10, 320 + 16 * k), (10 + round(120 * value), 330 + 16 * k), (60, 60, 60), -1)
            cv2.putText(picture, label, (136, 330 + 16 * k), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1)
        return picture

    def _decide(self) -> None:
        """Say what the detector says of the second that is over: sure where it was mostly one thing, and not always."""
        share = self._heard * STEP_SECONDS
        self._heard = 0
        certain = float(self.np_random.beta(8, 2))
        event = certain * share + (1 - certain) * float(self.np_random.uniform(0, 0.4))
        other = (1 - event) * float(self.np_random.uniform(0.4, 1.0))
        self._probabilities = (event, other)

    def _observe(self) -> NDArray[np.float32]:
        loud = self.happens and self.np_random.random() > 1 / 3
        side = (self.event_at if loud else self.other_at) + float(self.np_random.normal(0, BEARING_NOISE))
        values = {
            f"probability/{EVENT}": self._probabilities[0],
            f"probability/{OTHER}": self._probabilities[1],
            "sound_bearing_rad": wrapped(side - self.robot.pose.heading),
            "angular_radps": self.robot.velocities[1],
        }
        return self.interface.sense(values)

    def _somewhere(self) -> float:
        return float(self.np_random.uniform(-math.pi, math.pi))

    def _seconds(self, ends: tuple[float, float]) -> float:
        return float(self.np_random.uniform(*ends))
