"""Fair figures: wall and processor time of contestants that take turns, and what machine they ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARIES = (
    "ai-edge-litert", "av", "librosa", "mediapipe", "numpy", "onnxruntime", "opencv-python-headless", "tensorflow-cpu",
    "tensorflow", "tf2onnx",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What one piece of work took: by the clock, and of all processor cores together (every thread of the process)."""

    wall_ms: float
    cpu_ms: float

    def per(self, count: float) -> Cost:
        """Share the cost between `count` items."""
        return Cost(self.wall_ms / count, self.cpu_ms / count)


def cost(work: Callable[[], object]) -> Cost:
    """Do the work once and measure it."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(1000 * wall, 1000 * cpu)


def take_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[Cost]]:
    """Measure every contestant once in each round, each round in another order: what disturbs one disturbs all."""
    if warm_up:
        for work in contestants.values():
            work()
    names, found = list(contestants), {name: [] for name in contestants}
    for k in range(rounds):
        start = k % len(names)
        for name in names[start:] + names[:start]:
            found[name].append(cost(contestants[name]))
    return found


def median(costs: Iterable[Cost]) -> Cost:
    """Take the median of wall and of processor time, each on its own."""
    kept = list(costs)
    return Cost(statistics.median(c.wall_ms for c in kept), statistics.median(c.cpu_ms for c in kept))


def total(costs: Iterable[Cost]) -> Cost:
    """Add costs up."""
    kept = list(costs)
    return Cost(sum(c.wall_ms for c in kept), sum(c.cpu_ms for c in kept))


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, and how busy it was."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "libraries": versions,
    }


def machine_line(found: Mapping[str, Any]) -> str:
    """Lay `machine` out for a person."""
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    return (
        f"{found['processor']}, {found['cores']} cores (load {found['load']} before the start), "
        f"Python {found['python']}, {libraries}"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out as a Markdown table: numbers, told by their first character, to the right."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(3, len(title), *(len(row[i]) for row in cells)) for i, title in enumerate(head)]
    right = [i > 0 and any(row[i][:1].isdigit() for row in cells) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        return f"| {' | '.join(parts)} |"

    rule = [f"{'-' * (w - 1)}:" if r else "-" * w for w, r in zip(widths, right, strict=True)]
    return "\n".join([line(list(head)), f"| {' | '.join(rule)} |", *map(line, cells)])


def write_json(path: str | None, data: object) -> None:
    """Write the figures to a file, if one is asked for."""
    if path is not None:
        Path(path).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.machine())
