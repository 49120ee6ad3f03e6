"""How far a policy's training has come: saved whole, shown while it goes on, drawn as a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cloud_train.atomic import write_atomically

CURVE, PICTURE = "curve.jsonl", "curve.svg"
WINDOW = 40
"""Episodes whose mean return says how good the policy is just now."""


@dataclass(frozen=True)
class Point:
    """One update of a policy: when, on how many episodes, with what return, and what the update measured.

    `mean` and `success` are over the latest 40 episodes, under a policy that still tries things out.
    """

    steps: int
    seconds: float
    episodes: int
    mean: float | None
    success: float | None
    restarts: int
    dropped: int
    measured: dict[str, float]


@dataclass
class Progress:
    """What a training goes on from beside its networks; `identity` says which training this is."""

    identity: str
    steps: int = 0
    seconds: float = 0.0
    updates: int = 0
    episodes: int = 0
    restarts: int = 0
    dropped: int = 0
    best: float = -1e30
    recent: list[tuple[float, float | None]] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Return of the latest episodes; None before the first."""
        return float(np.mean([total for total, _ in self.recent])) if self.recent else None

    @property
    def success(self) -> float | None:
        """Success of the latest episodes; None before the first."""
        known = [success for _, success in self.recent if success is not None]
        return float(np.mean(known)) if known else None


def write_curve(folder: Path, curve: Sequence[Point], levels: dict[str, float], title: str) -> None:
    """Write the curve as JSON lines and draw it: return against steps, with what it is compared with as levels."""
    lines = b"".join(msgspec.json.encode(asdict(point)) + b"\n" for point in curve)
    write_atomically(folder / CURVE, lines)
    write_atomically(folder / PICTURE, _drawn(curve, levels, title))


def _drawn(curve: Sequence[Point], levels: dict[str, float], title: str) -> bytes:
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes: Any = figure.add_subplot()
    known = [point for point in curve if point.mean is not None]
    axes.plot([point.steps for point in known], [point.mean for point in known], color="#1f5fa8", label="learning")
    for (name, level), style in zip(levels.items(), ("--", ":", "-."), strict=False):
        axes.axhline(level, color="#777777", linestyle=style, label=name)
    axes.set(xlabel="steps", ylabel=f"return, mean of {WINDOW} episodes", title=title)
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
