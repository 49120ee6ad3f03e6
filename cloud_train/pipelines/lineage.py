"""Runs read back: which there are, what one did, in what two differ, and what a bundle was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud_train.recordings import DataError
from edge.bundle import Bundle

from .record import RUNS, Record, figures, records, steps

Found = tuple[Path, Record]


def find(out: Path, name: str | None = None) -> Found:
    """Give the run of that name, or the last; DataError names those that there are."""
    found = records(out)
    if not found:
        msg = f"{out}: holds no runs of a pipeline ({RUNS}/); make one with `touchline-train pipeline run`"
        raise DataError(msg)
    if name is None:
        return found[-1]
    for folder, record in found:
        if record.id == name:
            return folder, record
    msg = f"{out}: has no run {name!r}; there are {', '.join(record.id for _, record in found)}"
    raise DataError(msg)


def listed(out: Path) -> str:
    """Lay all runs out as a table, the oldest first."""
    find(out)
    head = ("run", "state", "on", "started", "starts", "steps", "bundle")
    rows = []
    for folder, record in records(out):
        over = sum(step.state in ("done", "kept") for step in steps(folder).values())
        rows.append((
            record.id, record.state, record.on, record.started, str(record.starts), f"{over}/{len(record.tasks)}",
            record.made,
        ))  # fmt: skip
    return _table(head, rows)


def shown(folder: Path, record: Record) -> str:
    """Tell of one run: order, code, data, and each step with what it made and under which key it is kept."""
    found = steps(folder)
    lines = [
        f"{record.id}: {record.state}, started {record.started}, begun {record.starts} time(s), on {record.on}",
        f"code: commit {record.commit}, {record.code_sha256[:12]}",
        f"data: {_data(found) or 'not known yet'}",
        "order: " + (", ".join(f"{key}={value}" for key, value in _order(record).items()) or "all defaults"),
        "",
    ]
    rows = [
        (s.name, s.state, "" if s.seconds is None else f"{s.seconds:.1f}", s.key, s.reason or _places(s.outputs))
        for s in found.values()
    ]
    numbers = [f"  {name} = {value:g}" for name, value in figures(found).items()]
    last = [f"bundle: {record.made}"] if record.made else []
    return "\n".join([*lines, _table(("step", "state", "seconds", "key", "made"), rows), *numbers, *last]) + "\n"


def compared(first: Found, second: Found) -> str:
    """Lay two runs side by side where they differ."""
    sides = [_facts(*one) for one in (first, second)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = [
        (name, *(str(side.get(name, "")) for side in sides), _change(*(side.get(name) for side in sides)))
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]
    if not rows:
        return f"{first[1].id} and {second[1].id} are alike in order, data, code and figures\n"
    return _table(("", first[1].id, second[1].id, "change"), rows)


def of_bundle(place: Path) -> str:
    """Say which run, data and code a bundle names as its makers."""
    bundle = Bundle.load(place)
    made = bundle.manifest.provenance
    data = made.get("data_sha256") or made.get("policy", {}).get("identity", "not named")
    return (
        f"{bundle.manifest.name} {bundle.manifest.version}, {bundle.sha256[:12]}, created {made.get('created', '?')}\n"
        f"run: {made.get('pipeline_run', 'none: made step by step')}\n"
        f"data: {data}\ncode: commit {made.get('git_commit', 'unknown')}\n"
    )


def _order(record: Record) -> dict[str, Any]:
    return {**record.shape, **record.arguments}


def _facts(folder: Path, record: Record) -> dict[str, Any]:
    found = steps(folder)
    return {
        "state": record.state, **_order(record), "data": _data(found), "code": record.code_sha256[:12],
        "commit": record.commit, **figures(found),
    }  # fmt: skip


def _data(found: Mapping[str, Any]) -> str:
    """Give the data's hash as the first step that knows it says it."""
    for step in found.values():
        for output in step.outputs.values():
            if sha256 := output["metadata"].get("data_sha256"):
                return str(sha256)[:12]
    return ""


def _change(before: Any, after: Any) -> str:  # noqa: ANN401 - of any type
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after)):
        return f"{after - before:+.4g}"
    return ""


def _places(outputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {output['metadata'].get('sha256', '')[:8]}".strip() for name, output in outputs.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return "\n".join(lines) + "\n"
