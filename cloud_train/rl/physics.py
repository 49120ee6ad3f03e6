"""The robot as a MuJoCo model: wheels with motors, mass and friction, to check what was learnt on the ideal one."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if "DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo looks when it is imported
import mujoco

from cloud_train.recordings import TrainingError

from .drive import Pose
from .scene import BODY, CAMERA_FORWARD, CAMERA_UP, FIELD_OF_VIEW, HEIGHT, TURRET, WIDTH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHEEL_RADIUS, WHEEL_GAP = 0.033, 0.287
"""Metres: of a TurtleBot3 Waffle Pi's wheels, and between them (turtlebot3_description)."""
MASS = 1.8
"""Kilogrammes."""
STEP_SECONDS = 0.002
_UPRIGHT = 2 * math.degrees(math.atan(math.tan(FIELD_OF_VIEW / 2) * HEIGHT / WIDTH))
"""Degrees: MuJoCo counts a camera's field of view from top to bottom."""

SCENE = f"""
<mujoco model="waffle">
  <option timestep="{STEP_SECONDS}" integrator="implicitfast"/>
  <visual><global offwidth="960" offheight="720"/><headlight ambient=".6 .6 .6" diffuse=".5 .5 .5"/></visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".78 .82 .86" rgb2=".6 .66 .72" width="64" height="64"/>
    <texture name="grid" type="2d" builtin="checker" rgb1=".55 .57 .58" rgb2=".49 .51 .52" width="256" height="256"/>
    <material name="floor" texture="grid" texrepeat="8 8" texuniform="false"/>
  </asset>
  <default>
    <default class="tyre"><geom type="sphere" size="{WHEEL_RADIUS}" mass=".05" friction="1.2 .005 .0001" rgba="0 0 0 0"/></default>
    <default class="seen"><geom contype="0" conaffinity="0" mass="0"/></default>
  </default>
  <worldbody>
    <light pos="0 0 6" dir="0 0 -1" castshadow="false"/>
    <geom name="floor" type="plane" size="8 8 .1" material="floor"/>
    <body name="robot" pos="0 0 {WHEEL_RADIUS}">
      <freejoint name="free"/>
      <geom type="box" size=".13 .12 .03" pos="-.064 0 .03" mass="{MASS}" rgba=".2 .35 .6 1"/>
      <geom class="seen" type="cylinder" size=".035 .02" pos="-.064 0 .085" rgba=".15 .15 .17 1"/>
      <geom class="seen" type="box" size=".01 .02 .01" pos="{CAMERA_FORWARD} 0 {CAMERA_UP - WHEEL_RADIUS}" rgba=".1 .1 .1 1"/>
      <geom type="sphere" size=".01" pos="-.177 0 -.023" condim="1" priority="1"/>
      <camera name="eye" pos="{CAMERA_FORWARD + 0.012} 0 {CAMERA_UP - WHEEL_RADIUS}" xyaxes="0 -1 0 0 0 1" fovy="{_UPRIGHT}"/>
      <camera name="behind" pos="-1.1 0 .75" xyaxes="0 -1 0 .5 0 1" fovy="55"/>
      <body pos="0 {WHEEL_GAP / 2} 0">
        <joint name="left" axis="0 1 0" armature=".001"/><geom class="tyre"/>
        <geom class="seen" type="cylinder" size="{WHEEL_RADIUS} .009" zaxis="0 1 0" rgba=".1 .1 .1 1"/>
      </body>
      <body pos="0 {-WHEEL_GAP / 2} 0">
        <joint name="right" axis="0 1 0" armature=".001"/><geom class="tyre"/>
        <geom class="seen" type="cylinder" size="{WHEEL_RADIUS} .009" zaxis="0 1 0" rgba=".1 .1 .1 1"/>
      </body>
    </body>
    <body name="target" mocap="true" pos="0 0 -5">
      <geom class="seen" type="box" size="{BODY[0] / 2} {BODY[1] / 2} {BODY[2] / 2}" pos="0 0 {BODY[2] / 2}" rgba=".16 .16 .18 1"/>
      <geom class="seen" type="box" size="{TURRET[0] / 2} {TURRET[1] / 2} .026" pos="0 0 {BODY[2] + 0.026}" rgba=".12 .12 .13 1"/>
    </body>
  </worldbody>
  <actuator><velocity joint="left" kv=".4"/><velocity joint="right" kv=".4"/></actuator>
</mujoco>
"""  # noqa: E501 - one line for each part
"""Tyres touch the floor in a point, so that they roll and do not scrub; the rear caster glides."""


@lru_cache(maxsize=1)
def _model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(SCENE)


class Physical:
    """A body for `Drive` with mass, motors and friction: its velocities are those it has, not those it is told."""

    def __init__(self) -> None:
        self.data = mujoco.MjData(_model())
        self.data.qpos[2] = WHEEL_RADIUS
        mujoco.mj_forward(_model(), self.data)

    @property
    def pose(self) -> Pose:
        """Of the middle between the wheels."""
        x, y, _, w, i, j, k = map(float, self.data.qpos[:7])
        return Pose(x, y, math.atan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k)))

    @property
    def velocities(self) -> tuple[float, float]:
        """Of now: m/s along its heading, rad/s."""
        heading = self.pose.heading
        along = self.data.qvel[0] * math.cos(heading) + self.data.qvel[1] * math.sin(heading)
        return float(along), float(self.data.qvel[5])

    def move(self, linear: float, angular: float, seconds: float) -> None:
        """Tell the motors how fast the wheels shall turn, and let so much time pass."""
        half = angular * WHEEL_GAP / 2
        self.data.ctrl[:] = ((linear - half) / WHEEL_RADIUS, (linear + half) / WHEEL_RADIUS)
        mujoco.mj_step(_model(), self.data, round(seconds / STEP_SECONDS))


@contextmanager
def viewer(height: int = 360, width: int = 480) -> Iterator[Callable[[Physical, Pose | None], NDArray[np.uint8]]]:
    """Give what draws the scene from behind a robot, with a target if there is one: RGB `[height, width, 3]`.

    On the GPU where there is one, else on the processor, ten pictures a second. TrainingError where nothing can be
    drawn on.
    """
    try:
        renderer = mujoco.Renderer(_model(), height, width)
    except (ImportError, AttributeError, RuntimeError, mujoco.FatalError) as error:
        msg = f"MuJoCo cannot draw here ({error}); install libegl1, or libosmesa6 and set MUJOCO_GL=osmesa"
        raise TrainingError(msg) from None

    def draw(body: Physical, target: Pose | None) -> NDArray[np.uint8]:
        if target is not None:
            body.data.mocap_pos[0] = (target.x, target.y, 0)
            body.data.mocap_quat[0] = (math.cos(target.heading / 2), 0, 0, math.sin(target.heading / 2))
        mujoco.mj_forward(_model(), body.data)
        renderer.update_scene(body.data, "behind")
        picture: NDArray[np.uint8] = renderer.render()
        return picture

    with renderer:
        yield draw
