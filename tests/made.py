"""Seconds, events and messages made by hand."""

from __future__ import annotations

from edge import messages
from edge.clip import UNKNOWN, Event, Second, Vote
from edge.events import SegmenterConfig
from edge.messages import EventMessage, Info, Stamp, Tick

LABELS = ("tennis", "badminton", "golf")
STAMP = Stamp(
    node="truck1",
    source="cam2",
    boot="b7f2",
    epoch_ns=1_795_428_942_000_000_000,
    model="sports3-1.4.0",
    sha256="9c1e" * 16,
    table="t-0007",
)
INFO = Info(
    node="truck1",
    boot="b7f2",
    version="0.1.0",
    started="2026-11-23T10:15:42.000Z",
    sources=("cam2",),
    classes=LABELS,
    model=messages.Model("sports3-1.4.0", "9c1e" * 16, "int8"),
    models={"rgb.tflite": "00" * 32},
    rule="class_model_table",
    table="t-0007",
    events=SegmenterConfig(),
)


def vote(modality: str, label: str, score: float) -> Vote:
    rest = (1 - score) / (len(LABELS) - 1)
    return Vote(modality, label, score, tuple(score if name == label else rest for name in LABELS), 5)


def second(
    start: float = 0.0, *, label: str = "badminton", score: float = 0.83, faults: tuple[str, ...] = ()
) -> Second:
    """Picture and motion say tennis, sound says the label and is believed, by the row of the label."""
    votes = (vote("rgb", "tennis", 0.71), vote("flow", "tennis", 1 / 3), vote("audio", label, score))
    return Second(
        start=start,
        label=label,
        class_index=LABELS.index(label),
        score=score,
        probabilities=votes[2].probabilities,
        votes=votes,
        winner="audio",
        row=label,
        rule="class_model_table",
        latency_ms=21.26,
        faults=faults,
    )


def unknown(start: float = 0.0) -> Second:
    """Nothing that anyone is sure of."""
    votes = (vote("rgb", "tennis", 0.4),)
    return Second(start, UNKNOWN, -1, 0.4, votes[0].probabilities, votes, "rgb", None, "class_model_table", 3.0)


def event(kind: str = "new", *, count: int = 1, label: str = "badminton") -> Event:
    """An event of three seconds from media time 3 on."""
    end = 6.0 if kind == "end" else None
    return Event(kind, f"b7f2-{count:06d}", label, LABELS.index(label), 3.0, end, 0.81, 3, second(5.0, label=label))


def tick(seq: int = 1, start: float = 0.0) -> Tick:
    return messages.tick(second(start), STAMP, seq)


def event_message(seq: int = 1, kind: str = "new", *, count: int = 1, label: str = "badminton") -> EventMessage:
    return messages.event_message(event(kind, count=count, label=label), STAMP, seq)
