"""What the synthetic sports look like: one large, textured canvas per recording, painted from shapes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Point = tuple[float, float]
Image = npt.NDArray[np.uint8]

CANVAS_WIDTH, CANVAS_HEIGHT = 640, 480
VIEW_WIDTH, VIEW_HEIGHT = 320, 240  # what a camera at rest sees, in the middle of the canvas
HORIZON_PX = -50.0  # all canvas coordinates are px right and down of the middle

_CROWD = np.array(
    [
        (205, 40, 45),
        (40, 80, 190),
        (240, 205, 50),
        (240, 240, 240),
        (180, 140, 120),
        (60, 130, 90),
        (44, 44, 58),
    ]
)
_COURT = cv2.getPerspectiveTransform(
    np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32),
    np.array([(-120, -35), (120, -35), (190, 110), (-190, 110)], np.float32),
)


@dataclass(frozen=True)
class Shape:
    """A line or area: on the floor in court units (-1 to 1 both ways, y towards us), else in canvas px."""

    colour: Colour
    points: tuple[Point, ...]
    line_px: int = 2  # 0 fills the area
    on_floor: bool = True


@dataclass(frozen=True)
class Picture:
    """The look of a sport: backdrop, floor, shapes in painting order, and who plays on it."""

    backdrop: Colour
    floor: Colour
    shapes: tuple[Shape, ...]
    crowd: float = 0.8  # share of seats taken
    figure: str = "person"
    figures: int = 5
    figure_px: float = 84.0  # height in the middle of the floor
    ball: Colour | None = (250, 250, 240)
    tilt_rad: float = 0.04  # how crookedly the camera may be held
    stray_px: Point = (22.0, 14.0)  # how far from the middle the camera may rest


def paint(picture: Picture, rng: np.random.Generator) -> Image:
    """One recording's canvas [480, 640, 3] RGB, larger than the view so that a camera can move over it."""
    canvas = np.empty((CANVAS_HEIGHT, CANVAS_WIDTH, 3), np.uint8)
    horizon_row = round(CANVAS_HEIGHT / 2 + HORIZON_PX)
    canvas[:horizon_row] = picture.backdrop
    canvas[horizon_row:] = picture.floor
    _seat_crowd(canvas, picture.crowd, rng)
    for shape in picture.shapes:
        _draw(canvas, shape)
    textured = canvas + _mottle(rng)[:, :, None]
    return _jitter(textured, rng)


def _seat_crowd(canvas: Image, taken: float, rng: np.random.Generator) -> None:
    rows = range(6, round(CANVAS_HEIGHT / 2 + HORIZON_PX) - 12, 11)
    seats = [(x, y) for y in rows for x in range(3, CANVAS_WIDTH, 11)]
    shift = rng.integers(-2, 3, (len(seats), 2))
    clothes = 0.75 * _CROWD[rng.integers(len(_CROWD), size=len(seats))]
    for index in np.flatnonzero(rng.random(len(seats)) < taken):
        middle = (int(seats[index][0] + shift[index, 0]), int(seats[index][1] + shift[index, 1]))
        cv2.circle(canvas, middle, 5, clothes[index].tolist(), cv2.FILLED, cv2.LINE_AA)


def _draw(canvas: Image, shape: Shape) -> None:
    points = np.array([shape.points], np.float32)
    placed = cv2.perspectiveTransform(points, _COURT) if shape.on_floor else points
    pixels = np.rint(placed + np.array([CANVAS_WIDTH / 2, CANVAS_HEIGHT / 2])).astype(np.int32)
    if shape.line_px:
        cv2.polylines(canvas, pixels, isClosed=False, color=shape.colour, thickness=shape.line_px, lineType=cv2.LINE_AA)
    else:
        cv2.fillPoly(canvas, pixels, shape.colour, cv2.LINE_AA)


def _mottle(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    # Coarse blotches survive the squash to 64 px, where optical flow must find them; the rest is for the eye.
    size = (CANVAS_WIDTH, CANVAS_HEIGHT)
    total = np.zeros((CANVAS_HEIGHT, CANVAS_WIDTH), np.float32)
    for cell_px, strength in ((32, 9.0), (16, 12.0), (8, 10.0), (2, 4.0)):
        shape = (CANVAS_HEIGHT // cell_px, CANVAS_WIDTH // cell_px)
        noise = (strength * rng.standard_normal(shape)).astype(np.float32)
        total += cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR)
    return total


def _jitter(canvas: npt.NDArray[np.float32], rng: np.random.Generator) -> Image:
    tint = rng.uniform(0.82, 1.15) * rng.uniform(0.93, 1.07, 3)
    lit = (canvas - 128) * tint + 128 + rng.uniform(-16, 16)
    return np.clip(lit, 0, 255).astype(np.uint8)
