"""Drawings of a data set: how large its classes are, and contact sheets of what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from .dataset import Dataset
from .facts import NOT_SPLIT, ClassCount
from .recordings import Recording
from .shards import read_shard
from .split import SIDES

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = {"train": "#0072b2", "validation": "#e69f00", "test": "#009e73", NOT_SPLIT: "#777777"}
"""Okabe and Ito's palette: told apart also by those who do not see red and green."""
COLUMNS, ROWS = 8, 5
CELL, GAP, BAR, TEXT, TOP = 120, 10, 5, 30, 26
"""Pixels: a picture's side, the space between two, the bar that marks its side, two lines below it, the legend."""
LINE = 21
"""Characters in a line below a picture."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One cell of a contact sheet: an RGB picture, up to two lines below it, and the side of the split."""

    picture: NDArray[np.uint8]
    text: str
    side: str


def evenly(recordings: Sequence[Recording], most: int = COLUMNS * ROWS) -> list[Recording]:
    """Choose at most so many recordings, evenly over the sides and over the order within each."""
    ordered = sorted(recordings, key=lambda r: (*SIDES, "").index(r.side))
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered)))
    return [ordered[i] for i in np.round(places).astype(int)]


def look_at(dataset: Dataset, recording: Recording, second: int | None = None) -> NDArray[np.uint8]:
    """Give the middle picture of a recording or of one of its seconds; where it has none, what it has else.

    That is the flow picture, or the spectrogram, low tones at the bottom.
    """
    for name in ("rgb", "flow", "audio"):
        found = read_shard(dataset.shard(recording), name)
        if found is None:
            continue
        looks, seconds = found
        rows = range(len(looks)) if second is None else np.flatnonzero(seconds == second)
        if len(rows):
            look = np.asarray(looks[int(rows[len(rows) // 2])])
            return _spectrogram(look) if name == "audio" else _fit(look)
    return np.full((CELL, CELL, 3), 200, np.uint8)


def _spectrogram(look: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(look.min()), float(look.max())
    gray = np.round(255 * (look[::-1, :, 0] - low) / max(1e-6, high - low)).astype(np.uint8)
    return _fit(cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB))


def _fit(picture: NDArray[Any]) -> NDArray[np.uint8]:
    smaller = picture.shape[0] > CELL
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    fitted: NDArray[np.uint8] = cv2.resize(picture, (CELL, CELL), interpolation=how).astype(np.uint8)
    return fitted


def contact_sheet(title: str, cells: Sequence[Thumbnail]) -> bytes:
    """Draw thumbnails in a grid, the side of each as a coloured bar, its text below, and a legend; return a JPEG."""
    from matplotlib.figure import Figure

    rows = -(-len(cells) // COLUMNS)
    width, height = COLUMNS * (CELL + GAP) + GAP, TOP + rows * (CELL + BAR + TEXT + GAP)
    canvas = np.full((height, width, 3), 255, np.uint8)
    figure = Figure((width / 100, height / 100), dpi=100)
    for i, cell in enumerate(cells):
        x = GAP + i % COLUMNS * (CELL + GAP)
        y = TOP + i // COLUMNS * (CELL + BAR + TEXT + GAP)
        canvas[y : y + CELL, x : x + CELL] = cell.picture
        canvas[y + CELL : y + CELL + BAR, x : x + CELL] = _rgb(COLOURS[cell.side])
        for k, line in enumerate(_lines(cell.text)):
            below = y + CELL + BAR + 12 * (k + 1)
            figure.text(x / width, 1 - below / height, line, fontsize=7.2, va="baseline", parse_math=False)
    figure.text(GAP / width, 1 - 13 / height, title, fontsize=10, fontweight="bold", va="center", parse_math=False)
    sides = [side for side in COLOURS if any(cell.side == side for cell in cells)]
    for k, side in enumerate(sides):
        x = width - 100 * (len(sides) - k)
        canvas[8:18, x : x + 10] = _rgb(COLOURS[side])
        figure.text((x + 15) / width, 1 - 13 / height, side, fontsize=8, va="center")
    figure.figimage(canvas, 0, 0, origin="upper")
    return _jpeg(figure)


def _jpeg(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.ascontiguousarray(np.asarray(canvas.buffer_rgba(), np.uint8)[:, :, 2::-1])  # as BGR
    full = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)  # or thin bars lose their colours
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88, *full])[1].tobytes())


def _lines(text: str) -> list[str]:
    """Break a text into two lines at most, the start left out where it is longer: names differ at their ends."""
    if "\n" in text:
        return [line if len(line) <= LINE + 2 else f"{line[: LINE + 1]}…" for line in text.split("\n")]
    text = text if len(text) <= 2 * LINE else f"…{text[-2 * LINE + 1 :]}"
    return [text[:LINE], text[LINE:]]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def draw_counts(classes: Sequence[ClassCount], what: str) -> Figure:
    """Draw the `recordings` or `seconds` of each class, stacked by side."""
    from matplotlib.ticker import MaxNLocator

    from .figures import figure

    drawing, axes = figure(max(5.0, min(40.0, 0.36 * len(classes) + 2)), 3.9)
    labels = [c.label for c in classes]
    counts: list[dict[str, int]] = [getattr(c, what) for c in classes]
    bottom = np.zeros(len(classes), int)
    for side in counts[0] if counts else {}:
        heights = np.array([c[side] for c in counts])
        axes.bar(range(len(labels)), heights, 0.75, bottom, label=side, color=COLOURS[side])
        bottom += heights
    axes.bar_label(axes.containers[-1], [f"{n:,}" for n in bottom], fontsize=7, padding=1)  # type: ignore[arg-type]
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(ylabel=what, xlim=(-0.6, len(labels) - 0.4))
    axes.legend(ncols=4, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return drawing
