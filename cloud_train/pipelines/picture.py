"""A compiled pipeline as a drawing: boxes in the order in which tasks can run, arrows for what they wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .record import Step

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 150, 40, 26, 34, 18
COLOURS = {"done": "#2e7d32", "kept": "#00838f", "failed": "#c62828", "skipped": "#8a8a8a", "started": "#e08a00"}
"""Of the left edge of a box, by what became of the step."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2733; } .small { font-size: 10.5px; fill: #5b6875; }
.box { fill: #fff; stroke: #9aa7b4; } .group { fill: #e9eef3; stroke: #9aa7b4; stroke-dasharray: 5 4; }
.arrow { stroke: #71808f; fill: none; } .head { fill: #71808f; } .ground { fill: #f7f9fb; }
@media (prefers-color-scheme: dark) { .ground { fill: #171d23; } .box { fill: #232c35; } .group { fill: #1e262e; }
text { fill: #e6ebf0; } .small { fill: #a9b6c2; } }
"""


@dataclass(frozen=True)
class Task:
    """A task with its name, what it waits for, notes, and, where it is a group, the tasks in it."""

    key: str
    name: str
    after: tuple[str, ...] = ()
    note: str = ""
    inside: tuple[Task, ...] = ()


@dataclass
class Drawing:
    """Pieces of SVG as they come, and the place of each task's box."""

    boxes: list[str] = field(default_factory=list)
    arrows: list[str] = field(default_factory=list)


def read(file: Path) -> tuple[Task, ...]:
    """Read the tasks of a compiled pipeline."""
    import yaml

    documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    return _tasks(documents[0], documents[0]["root"]["dag"])


def _tasks(whole: Mapping[str, Any], dag: Mapping[str, Any]) -> tuple[Task, ...]:
    return tuple(_task(whole, key, raw) for key, raw in dag["tasks"].items())


def _task(whole: Mapping[str, Any], key: str, raw: Mapping[str, Any]) -> Task:
    component = whole["components"][raw["componentRef"]["name"]]
    inside = _tasks(whole, component["dag"]) if "dag" in component else ()
    note = ""
    if not inside:
        container = whole["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        gpus = container.get("resources", {}).get("accelerator")
        note = "GPU" if gpus else ""
    if raw.get("triggerPolicy", {}).get("strategy"):
        note = "always, in the end"
    return Task(key, raw["taskInfo"]["name"], tuple(raw.get("dependentTasks", ())), note, inside)


def tasks(file: Path) -> list[str]:
    """Name the steps of a compiled pipeline in an order in which they can run, groups left out."""

    def names(some: tuple[Task, ...]) -> list[str]:
        ordered = [task for row in _rows(some) for task in row]
        return [name for task in ordered for name in (names(task.inside) if task.inside else [task.name])]

    return names(read(file))


def draw(file: Path, steps: Mapping[str, Step] | None = None) -> bytes:
    """Draw a compiled pipeline as SVG; `steps` colour the boxes by what became of them."""
    found = read(file)
    width, height = _size(found)
    drawing = Drawing()
    _place(found, MARGIN, MARGIN, drawing, steps or {})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 2 * MARGIN} {height + 2 * MARGIN}"'
        f' width="{width + 2 * MARGIN}" role="img" aria-label="{escape(", ".join(tasks(file)))}">\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>\n'
        '<rect class="ground" width="100%" height="100%" rx="6"/>\n' + "\n".join(drawing.boxes + drawing.arrows)
        + "\n</svg>\n"
    ).encode()  # fmt: skip


def _rows(some: tuple[Task, ...]) -> list[list[Task]]:
    """Put each task one row below the last that it waits for."""
    by_key = {task.key: task for task in some}

    def depth(task: Task) -> int:
        return max((depth(by_key[key]) + 1 for key in task.after if key in by_key), default=0)

    rows: dict[int, list[Task]] = {}
    for task in sorted(some, key=lambda one: one.key):
        rows.setdefault(depth(task), []).append(task)
    return [rows[level] for level in sorted(rows)]


def _box(task: Task) -> tuple[int, int]:
    if not task.inside:
        return WIDTH, HEIGHT
    width, height = _size(task.inside)
    return width + 2 * MARGIN, height + 2 * MARGIN + 12


def _size(some: tuple[Task, ...]) -> tuple[int, int]:
    rows = _rows(some)
    widths = [sum(_box(task)[0] for task in row) + ACROSS * (len(row) - 1) for row in rows]
    heights = [max(_box(task)[1] for task in row) for row in rows]
    return max(widths), sum(heights) + DOWN * (len(rows) - 1)


def _place(some: tuple[Task, ...], left: int, top: int, drawing: Drawing, steps: Mapping[str, Step]) -> None:
    whole, _ = _size(some)
    places: dict[str, tuple[float, float, int, int]] = {}
    y = top
    for row in _rows(some):
        width = sum(_box(task)[0] for task in row) + ACROSS * (len(row) - 1)
        x = left + (whole - width) / 2
        for task in row:
            size = _box(task)
            places[task.key] = (x, y, *size)
            _draw_task(task, x, y, drawing, steps)
            x += size[0] + ACROSS
        y += max(_box(task)[1] for task in row) + DOWN
    levels = {task.key: level for level, row in enumerate(_rows(some)) for task in row}
    for task in some:
        # What waits for a task two rows up also waits for one in between: that arrow says enough.
        nearest = [key for key in task.after if key in places and levels[key] == levels[task.key] - 1]
        for key in nearest:
            drawing.arrows.append(_arrow(places[key], places[task.key]))


def _draw_task(task: Task, x: float, y: float, drawing: Drawing, steps: Mapping[str, Step]) -> None:
    width, height = _box(task)
    kind = "group" if task.inside else "box"
    drawing.boxes.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="6"/>')
    if task.inside:
        drawing.boxes.append(f'<text class="small" x="{x + 10:g}" y="{y + 16:g}">{escape(task.name)}</text>')
        _place(task.inside, int(x) + MARGIN, int(y) + MARGIN + 12, drawing, steps)
        return
    step, note = steps.get(task.name), task.note
    if step is not None:
        colour = COLOURS.get(step.state, "#9aa7b4")
        drawing.boxes.append(f'<rect x="{x:g}" y="{y:g}" width="6" height="{height}" rx="3" fill="{colour}"/>')
        note = step.state if step.seconds is None or step.state == "kept" else f"{step.state}, {step.seconds:.0f} s"
    middle = x + width / 2
    drawing.boxes.append(
        f'<text x="{middle:g}" y="{y + (18 if note else 25):g}" text-anchor="middle">{escape(task.name)}</text>'
    )
    if note:
        drawing.boxes.append(
            f'<text class="small" x="{middle:g}" y="{y + 32:g}" text-anchor="middle">{escape(note)}</text>'
        )


def _arrow(start: tuple[float, float, int, int], end: tuple[float, float, int, int]) -> str:
    x0, y0 = start[0] + start[2] / 2, start[1] + start[3]
    x1, y1 = end[0] + end[2] / 2, end[1]
    half = (y0 + y1) / 2
    curve = f"M{x0:g} {y0:g} C{x0:g} {half:g} {x1:g} {half:g} {x1:g} {y1:g}"
    return f'<path class="arrow" marker-end="url(#head)" d="{curve}"/>'
