"""The band that `touchline overlay` draws for a second: the decision, bars for each judge, the events on a line."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .clip import MODALITIES, UNKNOWN, Event, Second
from .lines import clock

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, high, right and low, in pixels."""
JUDGES = {
    "rgb": ("picture", (45, 108, 182)),
    "flow": ("motion", (176, 96, 22)),
    "audio": ("sound", (28, 125, 86)),
    "": ("fused", (118, 92, 184)),
}
"""A column each, `` for the decision: its name, and a colour dark enough for white letters."""
BACKGROUND, TRACK, WHITE, GREY, AMBER = (13, 15, 20), (44, 48, 58), (255, 255, 255), (186, 191, 202), (255, 196, 84)
REGULAR, BOLD = 400, 700
OPACITY = 0.76
"""Of the band where nothing is drawn; the brighter what is drawn, the more it covers the picture."""
SMALLEST = (320, 180)
"""Width and height of a picture below which nobody could read the band."""


@dataclass(frozen=True)
class Form:
    """The band's place in a picture: its size and `unit` in pixels, columns, and bars a column."""

    width: int
    height: int
    unit: float
    columns: int
    bars: int


def form(width: int, height: int) -> Form:
    """Lay the band out for a picture of this size: four columns in a wide one, two in a narrow one."""
    columns = 4 if width > height else 2
    unit = min(width / (160 * columns), height / 360)
    unit = unit**0.85 if unit > 1 else unit
    bars = 4 if height >= 480 else 3
    blocks = 4 // columns
    return Form(width, 2 * round(unit * (51 + blocks * (20 + 15 * bars)) / 2), unit, columns, bars)


def band(
    second: Second | None, at: float, *, labels: Sequence[str], events: Sequence[Event], duration: float, form: Form
) -> tuple[Pixels, Pixels]:
    """Draw the second that starts `at`: RGB `[height, width, 3]`, and how far each pixel covers, of 255."""
    pixels = np.full((form.height, form.width, 3), BACKGROUND, np.uint8)
    _title(pixels, form, second, f"{clock(at)} / {clock(duration)}")
    for place, judge in enumerate(JUDGES):
        taken = second is not None and second.winner == judge
        _column(pixels, form, place, _top(second, judge, labels, form.bars), taken=taken)
    _timeline(pixels, form, events, at / max(duration, 1), max(duration, 1))
    brightness = np.abs(pixels.astype(np.float32) - BACKGROUND).max(axis=2) / 255
    opacity = OPACITY + (1 - OPACITY) * np.minimum(1, 1.8 * brightness)
    return pixels, np.round(255 * opacity).astype(np.uint8)


def _title(pixels: Pixels, form: Form, second: Second | None, time: str) -> None:
    """Write the decision large, what made it or was wrong, and the time."""
    unit, x, y = form.unit, 10 * form.unit, 24 * form.unit
    end = form.width - x
    end -= _text(pixels, time, (end, y), 11 * unit, colour=GREY, right=True) + 8 * unit
    if second is None:
        _text(pixels, "nothing to judge", (x, y), 20 * unit, colour=GREY)
        return
    unknown = second.label == UNKNOWN
    if not unknown:
        _box(pixels, (x, 9 * unit, x + 5 * unit, 27 * unit), label_colour(second.class_index))
        x += 12 * unit
    colour = GREY if unknown else WHITE
    x += _text(pixels, second.label, (x, y), 20 * unit, colour=colour, weight=BOLD) + 8 * unit
    x += _text(pixels, f"{second.score:.0%}", (x, y), 20 * unit, colour=colour) + 12 * unit
    said = "; ".join(second.faults) or _reason(second)
    fitted = _fitted(said, 11 * unit, end - x)
    if len(fitted) > len(said) / 2:
        _text(pixels, fitted, (x, y), 11 * unit, colour=AMBER if second.faults else GREY)


def _reason(second: Second) -> str:
    if second.label == UNKNOWN:
        return "nothing is sure enough"
    if second.winner not in JUDGES:
        return f"decided by {second.rule.replace('_', ' ')}"
    row = f", as the table says for {second.row}" if second.row is not None else ""
    return f"decided by {JUDGES[second.winner][0]}{row}"


def _top(second: Second | None, judge: str, labels: Sequence[str], count: int) -> list[tuple[str, float]] | None:
    """The likeliest labels of a judge; None where it has not judged."""
    if second is None:
        return None
    votes = {vote.modality: vote.probabilities for vote in second.votes}
    probabilities = votes.get(judge) if judge in MODALITIES else second.probabilities
    if probabilities is None:
        return None
    ranked = sorted(zip(probabilities, labels, strict=True), key=lambda pair: -pair[0])
    return [(label, probability) for probability, label in ranked[:count]]


def _column(pixels: Pixels, form: Form, place: int, top: list[tuple[str, float]] | None, *, taken: bool) -> None:
    """Draw a judge: its name and a bar for each of its likeliest labels."""
    unit, (judge, (name, colour)) = form.unit, list(JUDGES.items())[place]
    block, across = divmod(place, form.columns)
    width = (form.width - (20 + 8 * (form.columns - 1)) * unit) / form.columns
    left = 10 * unit + across * (width + 8 * unit)
    y = (33 + block * (20 + 15 * form.bars)) * unit
    shade, weight = (WHITE, BOLD) if taken or not judge else (GREY, REGULAR)
    _text(pixels, name, (left, y + 11 * unit), 11 * unit, colour=shade, weight=weight)
    if taken:
        _text(pixels, "taken", (left + width, y + 11 * unit), 10 * unit, right=True)
    if top is None:
        _text(pixels, "not judged", (left, y + 26 * unit), 10 * unit, colour=GREY)
    for k, (label, probability) in enumerate(top or ()):
        high = y + (15 + 15 * k) * unit
        _bar(pixels, (left, high, left + width, high + 13 * unit), label, probability, colour=colour)


def _bar(pixels: Pixels, box: Box, label: str, share: float, *, colour: Colour) -> None:
    left, high, right, low = box
    unit = (low - high) / 13
    _box(pixels, box, TRACK)
    _box(pixels, (left, high, left + (right - left) * min(1.0, share), low), colour)
    y = low - 3 * unit
    number = _text(pixels, f"{share:.0%}", (right - 3 * unit, y), 10 * unit, right=True)
    fitted = _fitted(label, 10 * unit, right - left - number - 10 * unit)
    _text(pixels, fitted, (left + 4 * unit, y), 10 * unit)


def _timeline(pixels: Pixels, form: Form, events: Sequence[Event], now: float, duration: float) -> None:
    """Draw the events as segments of one line, and where we are on it."""
    unit, left, width = form.unit, 10 * form.unit, form.width - 20 * form.unit
    high, low = form.height - 17 * unit, form.height - 5 * unit
    _box(pixels, (left, high, left + width, low), TRACK)
    for event in events:
        start, end = (left + width * (time or 0) / duration for time in (event.start, event.end))
        _box(pixels, (start, high, max(start + 1, end - 1), low), label_colour(event.class_index))
        if _width(event.label, 9 * unit) < end - start - 8 * unit:
            _text(pixels, event.label, (start + 4 * unit, low - 3 * unit), 9 * unit)
    at = left + width * now
    _box(pixels, (at - unit, high - 3 * unit, at + unit, low + 3 * unit), WHITE)


def label_colour(index: int) -> Colour:
    """A colour for each class, neighbours far apart."""
    red, green, blue = colorsys.hls_to_rgb(index * 0.618 % 1, 0.38, 0.55)
    return round(255 * red), round(255 * green), round(255 * blue)


def _box(pixels: Pixels, box: Box, colour: Colour) -> None:
    left, high, right, low = map(round, box)
    pixels[max(0, high) : low, max(0, left) : right] = colour


@cache
def _face() -> Any:  # noqa: ANN401 - typed by no stub
    """OpenCV's own letters."""
    return cv2.FontFace("sans")


def _width(text: str, size: float, weight: int = REGULAR) -> int:
    return int(cv2.getTextSize((0, 0), text, (0, 0), _face(), round(size), weight)[2])


def _fitted(text: str, size: float, room: float) -> str:
    while text and _width(text, size) > room:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return text


def _text(
    pixels: Pixels,
    text: str,
    at: tuple[float, float],
    size: float,
    *,
    colour: Colour = WHITE,
    weight: int = REGULAR,
    right: bool = False,
) -> int:
    """Write on a base line, from `at` on or (`right`) up to it; return the width."""
    width = _width(text, size, weight)
    place = (round(at[0]) - width if right else round(at[0]), round(at[1]))
    cv2.putText(pixels, text, place, colour, _face(), round(size), weight)
    return width
