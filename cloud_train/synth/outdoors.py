"""The ten sports grounds of the synthetic world."""

from __future__ import annotations

from .picture import Picture
from .shapes import (
    BLACK,
    BLUE,
    BROWN,
    CLAY,
    GRASS,
    LAWN,
    RED,
    SAND,
    SKY,
    WATER,
    WHITE,
    YELLOW,
    alternate,
    arc,
    area,
    board,
    box,
    corners,
    disc,
    every,
    floor,
    goal,
    lanes,
    line,
    post,
    stripes,
    trees,
    yards,
)

STICK_TURF = Picture(
    (70, 70, 100),
    (28, 120, 140),
    (
        floor((24, 96, 172), -1, -0.95, 1, 0.95),
        box(WHITE, -0.98, -0.93, 0.98, 0.93),
        *yards(WHITE, 0.49, 0.49),
        arc(YELLOW, (-0.98, 0), (0.4, 0.62), (-0.25, 0.25)),
        arc(YELLOW, (0.98, 0), (0.4, 0.62), (0.25, 0.75)),
        *goal(-1),
        *goal(1),
    ),
)
TRACK = Picture(
    (80, 90, 120),
    CLAY,
    (
        floor(GRASS, -6, -1.2, 6, -0.85),
        *lanes(WHITE, 0.32),
        *(line(WHITE, (x, -0.8), (x - 0.12, 1.6)) for x in every(-3.6, 3.6, 1.2)),
        *(
            board(colour, *corners(x, -62, x + 40, -48))
            for colour, x in alternate((BLUE, YELLOW, WHITE, RED), range(-320, 320, 40))
        ),
    ),
    stray_px=(240, 40),
    ball=None,
)
POSTS_FIELD = Picture(
    (96, 96, 96),
    (72, 128, 40),
    (
        *stripes((88, 146, 50), 0.5),
        *yards(WHITE, 0.6, 1.8),
        line(WHITE, (-3, -0.95), (3, -0.95)),
        line(WHITE, (-3, 0.9), (3, 0.9)),
        line(YELLOW, (-3, 0.0), (3, 0.0)),
        *(post(WHITE, (x, 12), (x, -112), line_px=5) for x in (-104, -56, 56, 104)),
        *(post(WHITE, (x, -34), (x + 48, -34), line_px=5) for x in (-104, 56)),
    ),
    tilt_rad=0.2,
)
GRIDIRON = Picture(
    (60, 40, 90),
    (34, 104, 60),
    (
        floor((96, 40, 140), -3, -0.95, -0.72, 0.95),
        floor((200, 150, 40), 0.72, -0.95, 3, 0.95),
        box(WHITE, -1.2, -0.95, 1.2, 0.95),
        *yards(WHITE, 0.16, 0.72),
        *(line(WHITE, (x, y), (x + 0.07, y)) for x in every(-0.68, 0.66, 0.08) for y in (-0.3, 0.3)),
        post(YELLOW, (118, 20), (118, -40), line_px=5),
        post(YELLOW, (90, -108), (90, -40), (146, -40), (146, -108), line_px=5),
    ),
    figures=6,
    ball=BROWN,
)
SOCCER_PITCH = Picture(
    (90, 40, 44),
    (44, 150, 66),
    (
        *stripes((74, 178, 84), 0.25),
        box(WHITE, -0.97, -0.95, 0.97, 0.95),
        line(WHITE, (0, -0.95), (0, 0.95)),
        arc(WHITE, (0, 0), (0.26, 0.36)),
        box(WHITE, -0.97, -0.55, -0.62, 0.55),
        box(WHITE, 0.62, -0.55, 0.97, 0.55),
        *goal(-1, 4),
        *goal(1, 4),
    ),
)
GOLF_GREEN = Picture(
    SKY,
    (94, 160, 62),
    (
        *trees((36, 96, 50), 22),
        disc(LAWN, (0.1, 0.0), (0.95, 0.75)),
        disc(SAND, (-0.75, 0.55), (0.34, 0.26)),
        disc(SAND, (0.9, -0.6), (0.3, 0.2)),
        disc(WATER, (1.0, 0.75), (0.4, 0.2)),
        post(WHITE, (38, 20), (38, -70)),
        board(RED, (38, -70), (72, -60), (38, -48)),
        disc(BLACK, (0.25, -0.12), (0.03, 0.03)),
    ),
    crowd=0,
    figures=3,
)
CRICKET_OVAL = Picture(
    (190, 205, 220),
    (124, 176, 48),
    (
        board((240, 240, 235), *corners(-320, -68, 320, -50)),
        *(board(colour, *corners(x, -66, x + 50, -53)) for colour, x in alternate((RED, BLUE), range(-310, 300, 64))),
        arc(WHITE, (0, 0), (1.5, 0.95)),
        area((222, 192, 132), (-0.75, -0.22), (0.75, -0.22), (0.75, 0.34), (-0.75, 0.34)),
        *(line(WHITE, (x, -0.22), (x, 0.34)) for x in (-0.6, 0.6)),
        *(post((250, 230, 180), (x + shift, 36), (x + shift, 4), line_px=3) for x in (-92, 84) for shift in (0, 7, 14)),
    ),
    crowd=0.25,
    figures=3,
    ball=RED,
)
DIAMOND = Picture(
    (66, 84, 76),
    (40, 112, 44),
    (
        floor(BROWN, -6, -1.2, 6, -0.98),
        area((214, 160, 112), (0, 1.3), (1.15, 0.05), (0.95, -0.85), (-0.95, -0.85), (-1.15, 0.05)),
        area((52, 122, 52), (0, 0.75), (0.62, 0.05), (0, -0.5), (-0.62, 0.05)),
        line(WHITE, (0, 1.2), (2.4, -0.95)),
        line(WHITE, (0, 1.2), (-2.4, -0.95)),
        disc(BROWN, (0, 0.12), (0.16, 0.14)),
        *(disc(WHITE, spot, (0.06, 0.06)) for spot in ((0, 0.95), (0.85, 0.05), (0, -0.64), (-0.85, 0.05))),
    ),
)
CIRCUIT = Picture(
    (130, 160, 190),
    (84, 86, 92),
    (
        floor((96, 160, 70), -6, -1.25, 6, -0.85),
        *(floor(colour, x, -0.85, x + 0.25, -0.72) for colour, x in alternate((RED, WHITE), every(-6, 5.75, 0.25))),
        *(floor(colour, x, 0.95, x + 0.25, 1.15) for colour, x in alternate((RED, WHITE), every(-6, 5.75, 0.25))),
        *(line(WHITE, (x, 0.1), (x + 0.3, 0.1), line_px=3) for x in every(-4, 4, 0.6)),
        board((200, 200, 205), *corners(-320, -58, 320, -48)),
    ),
    crowd=0.6,
    figure="car",
    figures=3,
    ball=None,
)
SLOPE = Picture(
    (96, 160, 232),
    (236, 240, 246),
    (
        board(
            (210, 220, 235),
            (-320, -50),
            (-180, -120),
            (-90, -70),
            (20, -138),
            (150, -60),
            (240, -110),
            (320, -50),
        ),
        *trees((30, 70, 56), 36),
        *(line((196, 210, 230), (x, -1.2), (1.4 * x + 0.2, 2), line_px=3) for x in every(-3, 3, 0.45)),
        *(
            shape
            for index, (x, y) in enumerate(((-110, 0), (-40, 30), (50, 4), (120, 44), (-130, 80), (60, 96)))
            for shape in (
                post((RED, BLUE)[index % 2], (x, y), (x, y - 44), line_px=4),
                board((RED, BLUE)[index % 2], *corners(x, y - 44, x + 24, y - 24)),
            )
        ),
    ),
    crowd=0,
    figure="skier",
    figures=3,
    ball=None,
)
