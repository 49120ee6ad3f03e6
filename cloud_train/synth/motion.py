"""How the synthetic sports move: a camera over a painted canvas, and figures on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from .picture import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    HORIZON_PX,
    VIEW_HEIGHT,
    VIEW_WIDTH,
    Colour,
    Image,
    Picture,
    paint,
)

Matrix = npt.NDArray[np.float64]
Rng = np.random.Generator

_SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 px, so slow figures glide instead of stepping
_SHIRTS: tuple[Colour, ...] = (
    (220, 40, 40),
    (40, 70, 210),
    (245, 245, 245),
    (250, 210, 40),
    (30, 30, 34),
    (240, 120, 30),
)
_SKINS: tuple[Colour, ...] = ((236, 194, 160), (190, 140, 104), (120, 80, 58))


@dataclass(frozen=True)
class Motion:
    """Speeds in px per second of the 320x240 view; everything turns back each `turn_seconds`."""

    pan_px: float = 0.0
    bob_px: float = 0.0
    zoom: float = 0.0  # e-folds per second
    roll_rad: float = 0.0
    truck: float = 0.0  # px sideways per second and px below the horizon
    run_px: float = 0.0  # figures side to side, each at its own time
    jump_px: float = 0.0  # figures up and down, each at its own time
    meet_px: float = 0.0  # figures left and right of the middle, towards each other and apart
    turn_seconds: float = 0.6
    keeps_up: bool = False  # sideways, the camera goes with the figures and only the ground passes by


PAN = Motion(pan_px=120, turn_seconds=2.5, keeps_up=True)
BOB = Motion(bob_px=80, keeps_up=True)
ZOOM = Motion(zoom=0.8, turn_seconds=0.5)
ROLL = Motion(roll_rad=0.8, turn_seconds=0.5)
SWEEP = Motion(pan_px=80, bob_px=60)
TRUCK = Motion(truck=0.75, turn_seconds=0.7)
DRIFT = Motion(pan_px=14, bob_px=5, turn_seconds=3)
RALLY = Motion(run_px=110, turn_seconds=0.55)
JUMP = Motion(jump_px=90, turn_seconds=0.45)
MEET = Motion(meet_px=100, turn_seconds=0.55)


@dataclass(frozen=True)
class _Camera:
    """How one recording is filmed: where the camera rests, and how it swings about that."""

    motion: Motion
    offset_px: npt.NDArray[np.float64]
    log_zoom: float
    tilt_rad: float
    side: float  # -1 or 1
    rise: float  # -1 or 1
    pace: float
    phase: float
    wobble: npt.NDArray[np.float64]  # [x and y; amplitude in px, frequency in Hz, phase]

    def swing_seconds(self, time: float, phase: float = 0.0) -> float:
        """A triangle wave: seconds of travel at full speed from the middle of the swing."""
        turn = self.motion.turn_seconds
        return turn * (abs((time * self.pace / turn + self.phase + phase) % 2 - 1) - 0.5)

    def view(self, time: float, *, of_figures: bool, scale: npt.NDArray[np.float64]) -> Matrix:
        """The affine map [2, 3] from canvas px, from its middle, to frame px."""
        swing, motion = self.swing_seconds(time), self.motion
        shake = self.wobble[:, 0] * np.sin(2 * np.pi * self.wobble[:, 1] * time + self.wobble[:, 2])
        sideways = not (of_figures and motion.keeps_up)
        slide = np.array([self.side * motion.pan_px, self.rise * motion.bob_px])
        lean = self.side * motion.truck * swing
        zoom = np.exp(self.log_zoom + self.rise * motion.zoom * swing)
        angle = self.tilt_rad + self.side * motion.roll_rad * swing
        turn = zoom * scale[:, None] * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = (self.offset_px + slide * swing) * (sideways, 1) + shake + (lean * HORIZON_PX, 0)
        linear = turn @ np.array([[1.0, lean], [0.0, 1.0]])
        shift = scale * (VIEW_WIDTH / 2, VIEW_HEIGHT / 2) - turn @ middle
        return np.column_stack([linear, shift])


@dataclass(frozen=True)
class _Figure:
    foot_px: npt.NDArray[np.float64]  # on the canvas, from its middle
    height_px: float
    facing: float  # -1 or 1
    phase: float
    stride_hz: float
    shirt: Colour
    shorts: Colour
    skin: Colour

    def moved(self, camera: _Camera, time: float) -> npt.NDArray[np.float64]:
        """Where the feet are at `time`."""
        motion, own = camera.motion, camera.swing_seconds(time, self.phase)
        together = camera.swing_seconds(time)
        side = 1.0 if self.foot_px[0] < 0 else -1.0
        across = self.facing * motion.run_px * own + side * motion.meet_px * together
        up = motion.jump_px * (own + motion.turn_seconds / 2)
        x, y = self.foot_px
        return np.array([x + across, y - up])


def render(
    picture: Picture, motion: Motion, rng: Rng, *, seconds: float, width: int, height: int, frame_rate: float
) -> Iterator[Image]:
    """Frames [height, width, 3] RGB of one recording."""
    canvas = paint(picture, rng)
    camera, figures = _camera(picture, motion, rng), _cast(picture, rng)
    scale = np.array([width / VIEW_WIDTH, height / VIEW_HEIGHT])
    noise = _noise(rng, width, height)
    for index in range(round(seconds * frame_rate)):
        time = index / frame_rate
        frame = _film(canvas, camera.view(time, of_figures=False, scale=scale), width, height)
        on_screen = camera.view(time, of_figures=True, scale=scale)
        for figure in figures:
            _FIGURES[picture.figure](frame, figure, on_screen, figure.moved(camera, time), time)
        _throw_ball(frame, picture.ball, on_screen, camera.phase, time)
        top, left = rng.integers(0, height), rng.integers(0, width)
        grain = noise[top : top + height, left : left + width]
        yield np.asarray(cv2.add(frame, grain, dtype=cv2.CV_8U), np.uint8)


def _camera(picture: Picture, motion: Motion, rng: Rng) -> _Camera:
    return _Camera(
        motion=motion,
        offset_px=rng.uniform(-1, 1, 2) * picture.stray_px,
        log_zoom=rng.uniform(-0.18, 0.18),
        tilt_rad=rng.uniform(-1, 1) * picture.tilt_rad,
        side=rng.choice((-1.0, 1.0)),
        rise=rng.choice((-1.0, 1.0)),
        pace=rng.uniform(0.85, 1.15),
        phase=rng.uniform(0, 2),
        wobble=rng.uniform([[0.3, 0.3, 0]] * 2, [[1.6, 0.9, 2 * np.pi]] * 2),
    )


def _cast(picture: Picture, rng: Rng) -> list[_Figure]:
    shirts = rng.permutation(len(_SHIRTS))
    edges = np.linspace(-125, 125, picture.figures + 1)
    feet = [(rng.uniform(left + 8, right - 8), rng.uniform(18, 98)) for left, right in pairwise(edges)]
    figures = [_figure(picture, np.array(foot), [_SHIRTS[shirt] for shirt in shirts], rng) for foot in feet]
    return sorted(figures, key=lambda figure: float(figure.foot_px[1]))


def _figure(picture: Picture, foot_px: npt.NDArray[np.float64], shirts: list[Colour], rng: Rng) -> _Figure:
    team = int(rng.integers(2))
    return _Figure(
        foot_px=foot_px,
        height_px=picture.figure_px * (0.72 + 0.0045 * foot_px[1]) * rng.uniform(0.9, 1.1),
        facing=rng.choice((-1.0, 1.0)),
        phase=rng.uniform(0, 2),
        stride_hz=rng.uniform(1.2, 2.0),
        shirt=shirts[team],
        shorts=shirts[team + 2],
        skin=_SKINS[rng.integers(len(_SKINS))],
    )


def _noise(rng: Rng, width: int, height: int) -> npt.NDArray[np.int16]:
    # Twice the frame: a random cut of one noise sheet per frame costs far less than new noise.
    strength = rng.uniform(1.0, 5.0)
    noise = strength * rng.standard_normal((2 * height, 2 * width, 3), np.float32)
    return np.asarray(np.rint(noise), np.int16)


def _film(canvas: Image, view: Matrix, width: int, height: int) -> Image:
    middle = np.array([CANVAS_WIDTH / 2, CANVAS_HEIGHT / 2])
    from_corner = np.column_stack([view[:, :2], view[:, 2] - view[:, :2] @ middle])
    filmed = cv2.warpAffine(
        canvas, from_corner, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(filmed, np.uint8)


def _throw_ball(frame: Image, colour: Colour | None, view: Matrix, phase: float, time: float) -> None:
    if colour is None:
        return
    turn = 2 * np.pi * (0.45 * time + phase)
    spot = view @ (110 * np.sin(turn), 44 - 50 * abs(np.cos(1.7 * turn)), 1.0)
    scale = 1 << _SUBPIXEL_BITS
    radius = round(4.5 * scale * np.sqrt(abs(np.linalg.det(view[:, :2]))))
    middle = (round(scale * spot[0]), round(scale * spot[1]))
    cv2.circle(frame, middle, radius, colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


class _Pen:
    """Draws in units of one figure's height, y up from its feet, upright on the frame."""

    def __init__(self, frame: Image, figure: _Figure, view: Matrix, foot_px: npt.NDArray[np.float64]) -> None:
        self.frame, self.facing = frame, figure.facing
        self.foot = view @ (*foot_px, 1.0)
        self.unit = figure.height_px * float(np.sqrt(abs(np.linalg.det(view[:, :2]))))

    def at(self, x: float, y: float) -> tuple[int, int]:
        scale = 1 << _SUBPIXEL_BITS
        across = self.foot[0] + self.facing * x * self.unit
        return round(scale * across), round(scale * (self.foot[1] - y * self.unit))

    def line(self, colour: Colour, start: tuple[float, float], end: tuple[float, float], width: float) -> None:
        thickness = max(1, round(width * self.unit))
        cv2.line(self.frame, self.at(*start), self.at(*end), colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def dot(self, colour: Colour, middle: tuple[float, float], radius: float) -> None:
        size = round(radius * self.unit * (1 << _SUBPIXEL_BITS))
        cv2.circle(self.frame, self.at(*middle), size, colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


Drawing = Callable[[Image, _Figure, Matrix, npt.NDArray[np.float64], float], None]


def _person(frame: Image, figure: _Figure, view: Matrix, foot_px: npt.NDArray[np.float64], time: float) -> None:
    pen = _Pen(frame, figure, view, foot_px)
    stride = 0.1 * np.sin(2 * np.pi * (figure.stride_hz * time + figure.phase))
    for side in (-1, 1):
        pen.line(figure.shorts, (0, 0.48), (side * (0.09 + stride), 0), 0.11)
        pen.line(figure.skin, (side * 0.1, 0.76), (side * 0.24, 0.56 + side * stride), 0.07)
    pen.line(figure.shirt, (0, 0.5), (0, 0.74), 0.24)
    pen.dot(figure.skin, (0.02, 0.92), 0.085)


def _skier(frame: Image, figure: _Figure, view: Matrix, foot_px: npt.NDArray[np.float64], time: float) -> None:
    _person(frame, figure, view, foot_px, time)
    pen = _Pen(frame, figure, view, foot_px)
    pen.line((230, 60, 120), (-0.4, -0.04), (0.45, 0.02), 0.04)
    pen.line((60, 60, 70), (0.24, 0.6), (-0.1, 0.0), 0.025)


def _swimmer(frame: Image, figure: _Figure, view: Matrix, foot_px: npt.NDArray[np.float64], time: float) -> None:
    pen = _Pen(frame, figure, view, foot_px)
    stroke = np.sin(2 * np.pi * (figure.stride_hz * time + figure.phase))
    pen.line((225, 245, 250), (-0.75, 0.0), (0.1, 0.0), 0.16)
    pen.line(figure.skin, (-0.4, 0.06), (0.05, 0.06), 0.13)
    pen.line(figure.skin, (0.05, 0.08), (0.12 + 0.2 * stroke, 0.3), 0.07)
    pen.dot(figure.shirt, (0.17, 0.1), 0.1)


def _car(frame: Image, figure: _Figure, view: Matrix, foot_px: npt.NDArray[np.float64], time: float) -> None:
    pen = _Pen(frame, figure, view, foot_px)
    spin = 2 * np.pi * (figure.stride_hz * time + figure.phase)
    hub_x, hub_y = 0.04 * np.cos(spin), 0.04 * np.sin(spin)
    pen.line(figure.shirt, (-0.55, 0.17), (0.6, 0.13), 0.17)
    pen.line(figure.shorts, (-0.62, 0.36), (-0.5, 0.2), 0.09)
    pen.line(figure.shorts, (0.62, 0.06), (0.78, 0.06), 0.06)
    pen.dot(figure.skin, (-0.02, 0.31), 0.07)
    for x in (-0.4, 0.45):
        pen.dot((24, 24, 28), (x, 0.09), 0.14)
        pen.dot((150, 150, 155), (x + hub_x, 0.09 + hub_y), 0.05)


_FIGURES: dict[str, Drawing] = {"person": _person, "skier": _skier, "swimmer": _swimmer, "car": _car}
