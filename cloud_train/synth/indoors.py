"""The ten halls, rings and pools of the synthetic world."""

from __future__ import annotations

from .picture import Picture
from .shapes import (
    BLACK,
    BLUE,
    DARK,
    GREY,
    ORANGE,
    RED,
    WATER,
    WHITE,
    WOOD,
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
    line,
    net,
    oval,
    post,
    ropes,
)

RACKET_COURT = Picture(
    DARK,
    (38, 112, 84),
    (
        floor((48, 92, 170), -1, -1, 1, 1),
        box(WHITE, -0.92, -0.9, 0.92, 0.9),
        box(WHITE, -0.92, -0.68, 0.92, 0.68),
        box(WHITE, -0.45, -0.68, 0.45, 0.68),
        line(WHITE, (-0.45, 0), (0.45, 0)),
        *net(24),
    ),
    figures=4,
    figure_px=96,
    ball=(220, 240, 60),
)
INDOOR_HALL = Picture(
    (150, 150, 160),
    (84, 150, 178),
    (
        floor((226, 138, 62), -1, -1, 1, 1),
        box(WHITE, -0.96, -0.95, 0.96, 0.95),
        line(WHITE, (-0.32, -0.95), (-0.32, 0.95)),
        line(WHITE, (0.32, -0.95), (0.32, 0.95)),
        arc(YELLOW, (-0.96, 0), (0.5, 0.8), (-0.25, 0.25)),
        arc(YELLOW, (0.96, 0), (0.5, 0.8), (0.25, 0.75)),
        board(WOOD, *corners(-320, -62, 320, -50)),
    ),
    crowd=0.35,
    figures=4,
    figure_px=96,
)
RING = Picture(
    (58, 52, 64),
    (52, 40, 44),
    (
        floor((60, 110, 210), -1.15, -0.8, 1.15, 1.0),
        floor((180, 30, 40), -1.15, 1.0, 1.15, 1.4),
        disc((220, 220, 235), (0, 0.1), (0.4, 0.4)),
        *ropes(),
    ),
    crowd=0.5,
    figures=2,
    figure_px=120,
    ball=None,
)
MAT = Picture(
    (100, 96, 112),
    (40, 52, 100),
    (
        disc((220, 60, 50), (0, 0), (1.0, 1.0)),
        disc(YELLOW, (0, 0), (0.84, 0.84)),
        arc((200, 40, 40), (0, 0), (0.3, 0.3)),
        *(post(colour, (-320, y), (320, y), line_px=4) for colour, y in ((GREY, -62), (WHITE, -48), (GREY, -34))),
    ),
    crowd=0.5,
    figures=2,
    figure_px=120,
    ball=None,
)
HARDWOOD = Picture(
    (80, 72, 76),
    (140, 58, 54),
    (
        floor((216, 168, 104), -1, -0.95, 1, 0.95),
        *(line((198, 148, 88), (x, -0.95), (x, 0.95), line_px=1) for x in every(-0.9, 0.9, 0.1)),
        box(WHITE, -0.98, -0.93, 0.98, 0.93),
        floor((150, 40, 50), -0.98, -0.3, -0.5, 0.3),
        floor((150, 40, 50), 0.5, -0.3, 0.98, 0.3),
        arc(WHITE, (-0.98, 0), (0.66, 0.8), (-0.25, 0.25)),
        arc(WHITE, (0.98, 0), (0.66, 0.8), (0.25, 0.75)),
        arc(WHITE, (0, 0), (0.18, 0.26)),
        *(board(WHITE, *corners(x, -98, x + 34, -62)) for x in (-146, 112)),
        *(post(ORANGE, *oval((x, -62), (14, 4))) for x in (-116, 116)),
    ),
    ball=ORANGE,
)
BOWLING_LANE = Picture(
    (38, 26, 60),
    (56, 44, 70),
    (
        board((90, 40, 130), *corners(-320, -88, 320, -62)),
        *(
            area((214, 160, 90), (x - 0.3, -1), (x + 0.3, -1), (x + 0.3, 2), (x - 0.3, 2))
            for x in (-2.4, -1.6, -0.8, 0, 0.8, 1.6, 2.4)
        ),
        *(
            line((60, 40, 40), (x + edge, -1), (x + edge, 2), line_px=4)
            for x in (-1.6, -0.8, 0, 0.8, 1.6)
            for edge in (-0.32, 0.32)
        ),
        *(line((120, 60, 30), (x, 0.35), (x, 0.1), line_px=3) for x in every(-1.8, 1.8, 0.2)),
        *(
            post(
                WHITE,
                (96 * lane + shift, -34 - abs(shift) / 3),
                (96 * lane + shift, -56 - abs(shift) / 3),
                line_px=6,
            )
            for lane in (-2, -1, 0, 1, 2)
            for shift in (-21, -7, 7, 21)
        ),
    ),
    crowd=0,
    figures=2,
    figure_px=92,
    ball=(40, 60, 160),
)
GYM_FLOOR = Picture(
    (222, 190, 206),
    (150, 120, 180),
    (
        board((120, 60, 140), *corners(-320, -76, 320, -62)),
        floor((116, 196, 220), -1, -0.95, 1, 0.95),
        floor((240, 226, 196), -0.85, -0.8, 0.85, 0.8),
        post((150, 100, 60), (-130, -20), (-40, -20), line_px=8),
        *(post(GREY, (x, -18), (x, 10), line_px=4) for x in (-120, -50)),
        *(post(GREY, (x, 0), (x, -92), line_px=4) for x in (70, 140)),
        post((170, 90, 40), (70, -90), (140, -90), line_px=5),
    ),
    crowd=0,
    figures=3,
    figure_px=104,
    ball=None,
)
ICE_RINK = Picture(
    (50, 60, 90),
    (226, 236, 242),
    (
        board((200, 220, 235), *corners(-320, -74, 320, -50)),
        board(YELLOW, *corners(-320, -52, 320, -46)),
        line(RED, (0, -1.1), (0, 1.6), line_px=5),
        *(line(BLUE, (x, -1.1), (x, 1.6), line_px=7) for x in (-0.42, 0.42)),
        arc(BLUE, (0, 0), (0.22, 0.32)),
        *(arc(RED, (x, y), (0.2, 0.28)) for x in (-0.75, 0.75) for y in (-0.4, 0.5)),
        line(RED, (-1.02, -1.1), (-1.02, 1.6), line_px=3),
        line(RED, (1.02, -1.1), (1.02, 1.6), line_px=3),
    ),
    ball=BLACK,
)
POOL = Picture(
    (190, 200, 200),
    WATER,
    (
        floor((216, 214, 200), -6, -1.25, 6, -0.9),
        *(
            line(colour, (x, y), (x + 0.13, y), line_px=4)
            for y in every(-0.6, 1.4, 0.4)
            for colour, x in alternate((RED, WHITE, BLUE, WHITE), every(-4, 4, 0.26))
        ),
        *(board((230, 230, 235), *corners(x, -60, x + 26, -36)) for x in range(-310, 310, 62)),
    ),
    crowd=0.3,
    figure="swimmer",
    figures=6,
    ball=None,
)
TABLE = Picture(
    (60, 66, 82),
    (172, 44, 52),
    (
        board((30, 40, 70), *corners(-320, -66, 320, -40)),
        *(post(DARK, (x, 62), (x, 100), line_px=5) for x in (-84, 84)),
        board((22, 92, 96), (-74, 12), (74, 12), (104, 62), (-104, 62)),
        post(WHITE, (-74, 12), (74, 12), (104, 62), (-104, 62), (-74, 12), line_px=2),
        post(WHITE, (-88, 36), (88, 36), line_px=1),
        post(WHITE, (0, -2), (0, 48), line_px=5),
    ),
    crowd=0.2,
    figures=2,
    figure_px=110,
    ball=ORANGE,
)
