"""The colours and shapes from which the pictures of the synthetic sports are made."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from math import cos, pi, sin

from .picture import Colour, Point, Shape

WHITE, BLACK, GREY, DARK = (240, 240, 240), (20, 20, 24), (120, 122, 126), (44, 44, 58)
RED, BLUE, YELLOW, ORANGE = (205, 40, 45), (40, 80, 190), (240, 205, 50), (225, 120, 40)
GRASS, LAWN, WOOD, SAND = (58, 130, 52), (112, 186, 84), (205, 155, 98), (228, 206, 150)
SKY, WATER, CLAY, BROWN = (150, 200, 240), (40, 165, 205), (176, 82, 58), (150, 104, 66)


def line(colour: Colour, *points: Point, line_px: int = 2) -> Shape:
    """A line along the floor."""
    return Shape(colour, points, line_px)


def area(colour: Colour, *points: Point) -> Shape:
    """A filled area of the floor."""
    return Shape(colour, points, 0)


def corners(left: float, far: float, right: float, near: float) -> tuple[Point, ...]:
    """The four corners of an upright rectangle."""
    return (left, far), (right, far), (right, near), (left, near)


def box(colour: Colour, left: float, far: float, right: float, near: float) -> Shape:
    """The outline of a rectangle on the floor."""
    outline = corners(left, far, right, near)
    return Shape(colour, (*outline, outline[0]))


def floor(colour: Colour, left: float, far: float, right: float, near: float) -> Shape:
    """A filled rectangle of the floor."""
    return Shape(colour, corners(left, far, right, near), 0)


def oval(middle: Point, radius: Point, turn: tuple[float, float] = (0, 1)) -> tuple[Point, ...]:
    """Points around an ellipse, from one share of a full turn to another."""
    angles = (2 * pi * (turn[0] + (turn[1] - turn[0]) * step / 32) for step in range(33))
    return tuple((middle[0] + radius[0] * cos(angle), middle[1] + radius[1] * sin(angle)) for angle in angles)


def arc(colour: Colour, middle: Point, radius: Point, turn: tuple[float, float] = (0, 1)) -> Shape:
    """Part of an ellipse on the floor."""
    return Shape(colour, oval(middle, radius, turn))


def disc(colour: Colour, middle: Point, radius: Point) -> Shape:
    """A filled ellipse on the floor."""
    return Shape(colour, oval(middle, radius), 0)


def post(colour: Colour, *points: Point, line_px: int = 3) -> Shape:
    """A line in canvas px, for what stands upright."""
    return Shape(colour, points, line_px, on_floor=False)


def board(colour: Colour, *points: Point) -> Shape:
    """A filled area in canvas px, for what stands upright."""
    return Shape(colour, points, 0, on_floor=False)


def every(start: float, stop: float, step: float) -> Iterable[float]:
    """Evenly spaced numbers, both ends included."""
    return (start + step * index for index in range(round((stop - start) / step) + 1))


def alternate(colours: Iterable[Colour], places: Iterable[float]) -> Iterable[tuple[Colour, float]]:
    """The colours, over and over, one for each place."""
    return zip(cycle(colours), places, strict=False)


def stripes(colour: Colour, width: float) -> tuple[Shape, ...]:
    """Mown stripes across the whole floor."""
    return tuple(floor(colour, x, -1.15, x + width, 2) for x in every(-4, 4, 2 * width))


def yards(colour: Colour, step: float, reach: float) -> tuple[Shape, ...]:
    """Lines across the court."""
    return tuple(line(colour, (x, -1), (x, 1)) for x in every(-reach, reach, step))


def lanes(colour: Colour, step: float, line_px: int = 2) -> tuple[Shape, ...]:
    """Lines along the whole floor."""
    return tuple(line(colour, (-5, y), (5, y), line_px=line_px) for y in every(-0.8, 2.4, step))


def trees(colour: Colour, step: float) -> tuple[Shape, ...]:
    """A row of firs on the horizon."""
    return tuple(
        board(colour, (x - 15, -46), (x, -95 - 19 * (index % 3)), (x + 15, -46))
        for index, x in enumerate(every(-316, 316, step))
    )


def goal(side: int, line_px: int = 3) -> tuple[Shape, ...]:
    """A goal with its net, at the left (-1) or right (1) end."""
    mouth = post(WHITE, (side * 136, 36), (side * 136, -22), (side * 122, -48), (side * 122, 8), line_px=line_px)
    net = tuple(post(GREY, (side * 136, y), (side * 122, y - 27), line_px=1) for y in (-12, -2, 8, 18, 28))
    return mouth, *net


def net(height_px: float) -> tuple[Shape, ...]:
    """A net across the middle of the court."""
    strings = tuple(post(DARK, (0, y), (0, y - height_px), line_px=1) for y in range(-34, 110, 6))
    return (
        *strings,
        post(WHITE, (0, -36 - height_px), (0, 108 - height_px), line_px=4),
        post(GREY, (0, 110), (0, 108 - height_px)),
    )


def ropes() -> tuple[Shape, ...]:
    """The ropes and corner posts of a ring."""
    back = tuple(post(colour, (-150, y), (150, y), line_px=4) for colour, y in ((RED, -62), (WHITE, -48), (BLUE, -34)))
    sides = tuple(
        post(colour, (side * 150, y), (side * 230, y + 90), line_px=4)
        for side in (-1, 1)
        for colour, y in ((RED, -62), (WHITE, -48), (BLUE, -34))
    )
    corners = tuple(post(colour, (x, -68), (x, -16), line_px=8) for colour, x in ((RED, -150), (BLUE, 150)))
    return *back, *sides, *corners
