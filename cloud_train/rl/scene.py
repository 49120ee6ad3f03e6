"""The object tracker's scene as its camera sees it, and from above: a floor with a grid, and the robot to follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .drive import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 120
FIELD_OF_VIEW = math.radians(62.2)
"""Horizontal, of a TurtleBot3 Waffle Pi's camera (Raspberry Pi camera v2)."""
FOCAL = WIDTH / 2 / math.tan(FIELD_OF_VIEW / 2)
"""Pixels."""
CAMERA_FORWARD, CAMERA_UP = 0.073, 0.107
"""Where the Waffle Pi's camera sits, metres from the middle of its wheels and the floor (turtlebot3_description)."""
BODY = (0.138, 0.178, 0.141)
TURRET = (0.07, 0.07, 0.192)
"""A TurtleBot3 Burger: length, width and height in metres of its body, and of the laser scanner that stands on it."""
NEAR = 0.02
"""Metres before the camera; what is nearer is cut away."""
GRID_METRES, GRID_REACH = 1.0, 8
_LINES = np.arange(-GRID_REACH, GRID_REACH + 1) * GRID_METRES
_GRID = np.array(
    [[[k, _LINES[0], 0.0], [k, _LINES[-1], 0.0]] for k in _LINES]
    + [[[_LINES[0], k, 0.0], [_LINES[-1], k, 0.0]] for k in _LINES]
)
SHIFT = 4
"""OpenCV draws polygons to a sixteenth of a pixel."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Look:
    """What the scene looks like: RGB colours, and the share of them that the light leaves."""

    sky: Colour = (178, 178, 178)
    floor: Colour = (120, 120, 120)
    lines: Colour = (96, 96, 96)
    robot: Colour = (38, 38, 42)
    light: float = 1.0

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Look:
        """Draw another: grounds from grey to light in any tint, the robot always darker than what is behind it."""

        def tint(low: int, high: int) -> Colour:
            r, g, b = random.integers(low, high, 3)
            return int(r), int(g), int(b)

        return cls(tint(150, 230), tint(95, 170), tint(80, 200), tint(15, 60), float(random.uniform(0.6, 1.1)))

    def lit(self, colour: Colour, share: float = 1.0) -> Colour:
        """Give a colour in this light, on a face that gets `share` of it."""
        r, g, b = (min(255, round(value * self.light * share)) for value in colour)
        return r, g, b


def camera_picture(robot: Pose, target: Pose, look: Look | None = None) -> NDArray[np.uint8]:
    """Draw what the robot's camera sees: RGB `[120, 160, 3]`.

    A pinhole camera that looks straight ahead, level; polygons are cut at the near plane and painted from far to near.
    """
    look = look or Look()
    picture = _ground(look).copy()
    camera = Pose(
        robot.x + CAMERA_FORWARD * math.cos(robot.heading),
        robot.y + CAMERA_FORWARD * math.sin(robot.heading),
        robot.heading,
    )
    cv2.polylines(
        picture,
        list(_floor_lines(camera)),
        isClosed=False,
        color=look.lit(look.lines),
        lineType=cv2.LINE_8,
        shift=SHIFT,
    )
    for shape in (BODY, TURRET):
        for corners, share in _faces(target, shape, camera):
            visible = _cut(_seen(corners, camera))
            if len(visible) >= 3:
                cv2.fillConvexPoly(picture, _pixels(visible), look.lit(look.robot, share), cv2.LINE_8, SHIFT)
    return picture


def project(point: Sequence[float], robot: Pose) -> tuple[float, float] | None:
    """Tell at which column and row the camera sees a point x, y, z; None behind it."""
    forward = Pose(
        robot.x + CAMERA_FORWARD * math.cos(robot.heading),
        robot.y + CAMERA_FORWARD * math.sin(robot.heading),
        robot.heading,
    )
    depth, left, up = _seen(np.array([point], float), forward)[0]
    if depth < NEAR:
        return None
    return WIDTH / 2 - FOCAL * left / depth, HEIGHT / 2 - FOCAL * up / depth


def top_view(robot: Pose, target: Pose, trail: Sequence[tuple[float, float]], pixels: int = 360) -> NDArray[np.uint8]:
    """Draw both robots from above with the way that one came: RGB `[pixels, pixels, 3]`, 8 m wide, north is x."""
    picture = np.full((pixels, pixels, 3), 236, np.uint8)
    scale = pixels / 8

    def at(x: float, y: float) -> tuple[int, int]:
        return round(pixels / 2 - y * scale), round(pixels * 0.8 - x * scale)

    for k in range(-8, 9):
        cv2.line(picture, at(k, -8), at(k, 8), (214, 214, 214), 1)
        cv2.line(picture, at(-8, k), at(8, k), (214, 214, 214), 1)
    for side in (-FIELD_OF_VIEW / 2, FIELD_OF_VIEW / 2):
        end = robot.moved(0, side, 1).moved(3, 0, 1)
        cv2.line(picture, at(robot.x, robot.y), at(end.x, end.y), (170, 190, 220), 1, cv2.LINE_AA)
    if len(trail) > 1:
        way = np.array([at(x, y) for x, y in trail])
        cv2.polylines(picture, [way], isClosed=False, color=(60, 110, 190), lineType=cv2.LINE_AA)
    for pose, colour in ((target, (40, 40, 44)), (robot, (30, 90, 180))):
        nose = pose.moved(0.22, 0, 1)
        cv2.circle(picture, at(pose.x, pose.y), max(3, round(0.12 * scale)), colour, -1, cv2.LINE_AA)
        cv2.line(picture, at(pose.x, pose.y), at(nose.x, nose.y), colour, 2, cv2.LINE_AA)
    return picture


@lru_cache(maxsize=8)
def _ground(look: Look) -> NDArray[np.uint8]:
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[: HEIGHT // 2] = look.lit(look.sky)
    picture[HEIGHT // 2 :] = look.lit(look.floor)
    return picture


def _floor_lines(camera: Pose) -> NDArray[np.int32]:
    """Project the floor's lines around the camera, each cut at the near plane: `[n, 2, 2]`."""
    around = [round(camera.x / GRID_METRES) * GRID_METRES, round(camera.y / GRID_METRES) * GRID_METRES, 0.0]
    ends = _seen((_GRID + around).reshape(-1, 3), camera).reshape(-1, 2, 3)
    ends = ends[(ends[:, :, 0] > NEAR).any(1)]
    first, second = ends[:, 0], ends[:, 1]
    share = (NEAR - first[:, :1]) / np.where(first[:, :1] == second[:, :1], 1.0, second[:, :1] - first[:, :1])
    cut = first + (second - first) * share
    behind = ends[:, :, :1] < NEAR
    return _pixels(np.where(behind, cut[:, None], ends).reshape(-1, 3)).reshape(-1, 2, 2)


def _seen(points: NDArray[np.float64], camera: Pose) -> NDArray[np.float64]:
    """Turn points `[n, 3]` of the world to what the camera calls ahead, left and up."""
    c, s = math.cos(camera.heading), math.sin(camera.heading)
    x, y = points[:, 0] - camera.x, points[:, 1] - camera.y
    return np.stack([c * x + s * y, c * y - s * x, points[:, 2] - CAMERA_UP], 1)


def _cut(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a convex polygon at the near plane (Sutherland and Hodgman)."""
    if (points[:, 0] >= NEAR).all():
        return points
    kept: list[NDArray[np.float64]] = []
    for here, after in zip(points, np.roll(points, -1, 0), strict=True):
        if here[0] >= NEAR:
            kept.append(here)
        if (here[0] >= NEAR) != (after[0] >= NEAR):
            kept.append(here + (after - here) * (NEAR - here[0]) / (after[0] - here[0]))
    return np.array(kept).reshape(-1, 3)


def _pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:
    columns = WIDTH / 2 - FOCAL * points[:, 1] / points[:, 0]
    rows = HEIGHT / 2 - FOCAL * points[:, 2] / points[:, 0]
    # OpenCV takes the middle of a pixel for its whole numbers, and overflows far outside the picture.
    return np.round((np.clip(np.stack([columns, rows], 1), -4000, 4000) - 0.5) * 2**SHIFT).astype(np.int32)


def _faces(pose: Pose, shape: tuple[float, float, float], camera: Pose) -> list[tuple[NDArray[np.float64], float]]:
    """List the sides of a box on the floor that face the camera, each with its share of the light."""
    length, width, height = shape
    c, s = math.cos(pose.heading), math.sin(pose.heading)
    corners = [(length / 2, width / 2), (-length / 2, width / 2), (-length / 2, -width / 2), (length / 2, -width / 2)]
    floor = [(pose.x + c * u - s * v, pose.y + s * u + c * v) for u, v in corners]
    found = []
    for k, share in enumerate((1.35, 0.75, 1.35, 1.0)):
        (x0, y0), (x1, y1) = floor[k], floor[(k + 1) % 4]
        # Counter-clockwise corners: the outside is to the right of the way from one to the next.
        if (camera.x - x0) * (y1 - y0) - (camera.y - y0) * (x1 - x0) > 0:
            side = [(x0, y0, 0.0), (x1, y1, 0.0), (x1, y1, height), (x0, y0, height)]
            found.append((np.array(side), share))
    return found
