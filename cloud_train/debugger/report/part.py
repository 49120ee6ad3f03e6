"""What the sections of a report are made of, and how they write numbers and draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.page import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

TRAIN, VALIDATION, GRAY, RED, GREEN = "#0072b2", "#e69f00", "#8a8a8a", "#d55e00", "#009e73"
"""Of Okabe and Ito's palette: told apart also by those who do not see red and green."""
CYCLE = (TRAIN, VALIDATION, GREEN, RED, "#56b4e9", "#cc79a7")
DARK = "#111111"
"""Text on a light cell; plain black would follow the page's colour."""
MOST_POINTS = 400
"""A line in a drawing needs no more."""


@dataclass(frozen=True, eq=False)
class Part:
    """A section of the report, what to do about what it shows, and its figures for the JSON file."""

    section: Section
    advice: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Course:
    """A number over the steps of a run."""

    steps: NDArray[np.int64]  # [n]
    values: NDArray[np.float64]  # [n]

    @classmethod
    def of(cls, steps: Sequence[int], values: Sequence[float]) -> Course:
        """Make one of lists."""
        return cls(np.asarray(steps, np.int64), np.asarray(values, np.float64))


def number(value: float) -> str:
    """Write a number with four digits that count."""
    return f"{value:,.0f}" if abs(value) >= 1e4 and abs(value) < 1e9 else f"{value:.4g}"


def share(value: float) -> str:
    """Write a share as percent, with a decimal where it is below ten."""
    return f"{value:.0%}" if value == 0 or value >= 0.0995 else f"{value:.1%}"


def times(seconds: float) -> str:
    """Write a duration."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(number_of_bytes: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number_of_bytes) < 1000:
            return f"{number_of_bytes:.3g} {unit}"
        number_of_bytes /= 1000
    return f"{number_of_bytes:.3g} TB"


def listed(names: Sequence[str], most: int = 12) -> str:
    """List names, the first of many only."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def counted(count: int, noun: str) -> str:
    """Write how many there are of a noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def thinned(count: int, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Give indices of at most so many of `count` points, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def plot(axes: Axes, x: NDArray[Any], y: NDArray[Any], **look: Any) -> None:  # noqa: ANN401 - Matplotlib's
    """Draw a line of no more points than can be seen."""
    kept = thinned(len(x))
    axes.plot(x[kept], y[kept], **look)
