"""How a run of a pipeline went, as a table to read and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from .record import LOG, RUNS, Record, Step, figures

SHOWN = 4
"""So many figures of a step are in its row; the others are in its report."""
COLOURS = {"done": "green", "kept": "cyan", "failed": "red", "skipped": "bright_black", "not begun": "bright_black"}


def summary(out: Path, record: Record, steps: Mapping[str, Step]) -> None:
    """Print a row for each step, what came out, and for a failure why and where to read on."""
    console = Console(width=None if Console().is_terminal else 120)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head, justify in (("step", "left"), ("state", "left"), ("seconds", "right"), ("", "left")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type] # rich's words
    for name in [*record.tasks, *(extra for extra in steps if extra not in record.tasks)]:
        step = steps.get(name, Step(name, "not begun"))
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        colour = COLOURS.get(step.state, "yellow")
        table.add_row(name, f"[{colour}]{step.state}[/]", seconds, step.reason or _noted(step))
    console.print(table)
    where = out / RUNS / record.id
    if record.state == "done":
        console.print(f"{record.id}: done; {record.made}" if record.made else f"{record.id}: done", soft_wrap=True)
        return
    reasons = [f"{step.name}: {step.reason}" for step in steps.values() if step.state == "failed"]
    why = "; ".join(reasons) or "no step says why"
    console.print(f"{record.id}: {record.state}: {why} (all that was said: {where / LOG})", soft_wrap=True)


def _noted(step: Step) -> str:
    numbers = step.outputs.get("metrics", {}).get("metadata", {})
    words = [
        f"{key} {value:g}" if isinstance(value, int | float) else f"{key} {value}" for key, value in numbers.items()
    ]
    return ", ".join(words[:SHOWN])


def to_json(record: Record, steps: Mapping[str, Step]) -> bytes:
    """Give a run with its steps and figures as JSON."""
    raw = {**msgspec.to_builtins(record), "steps": msgspec.to_builtins(dict(steps)), "figures": figures(steps)}
    return msgspec.json.format(msgspec.json.encode(raw), indent=2) + b"\n"
