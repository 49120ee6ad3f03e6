"""Recorded matches made by hand, and what is to be found in a subscriber's store afterwards."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import made

from edge.messages import EventMessage, encode

NODE, SOURCE = "truck1", "cam2"


def record(path: Path, events: int, *, boots: int = 1, ticks: bool = True) -> list[EventMessage]:
    """Write a recording of so many events, over several starts of the device, and return its events."""
    written, lines = [], []
    rng = random.Random(events)
    for number in range(events):
        boot, seq = divmod(number, -(-events // boots))
        kind = rng.choice(["new", "update", "end"])
        event = made.event_message(seq + 1, kind, count=number, label=rng.choice(made.LABELS))
        event = replace(
            event, boot=f"boot{boot}", media_start=float(seq), media_end=seq + 1.0 if kind == "end" else None
        )
        if ticks:
            lines.append(encode(replace(made.tick(seq + 1, float(seq)), boot=f"boot{boot}")))
        lines.append(encode(event))
        written.append(event)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return written


def as_recorded(event: EventMessage | dict) -> dict:
    """An event as its recording had it: without what the outbox and the way over the network add."""
    fields = json.loads(encode(event)) if isinstance(event, EventMessage) else dict(event)
    return fields | {"stream": None, "offset": None, "late": False}


def keyed(events) -> dict[tuple, dict]:
    """Events by the key under which a message is one."""
    return {(e["node"], e["source"], e["boot"], e["seq"]): e for e in map(as_recorded, events)}
