"""What a simulated device does and when: a recording's messages, with faults at seeded random places."""

from __future__ import annotations

import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from .commands import FAULTS, Fault
from .messages import EventMessage, Message, Tick

MOST_RECONNECTS = 3
Deed = Literal["tick", "event", "hold", "late", "again", "drop", "cut", "mend"]


class RecordingError(Exception):
    """A recording that cannot be played; the message names the file, the line and what would be right."""


@dataclass(frozen=True)
class Step:
    """One deed of the device, `at` seconds after the recording began.

    `event`: make it and send it; `hold`: make it and keep it back; `late`: send what was kept back; `again`: send
    once more; `drop`: make it, lose it and say so; `cut` the connection; `mend`: go on when it is back.
    """

    at: float
    deed: Deed
    message: Message | None = None


def read_recording(path: str | Path, *, node: str | None = None, source: str | None = None) -> list[Message]:
    """Read the lines that `touchline run --jsonl` wrote, as sent by `node` and `source` where these are given.

    Every event gets an offset, its place among them, in a stream that the file's content names: played twice,
    it is the same stream. RecordingError names the line that is not a message.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read ({(error.strerror or str(error)).lower()})"
        raise RecordingError(msg) from None
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    messages = [_message(path, number, line) for number, line in lines]
    if not any(isinstance(message, EventMessage) for message in messages):
        msg = f"{path}: no event in it; record one with: touchline run VIDEO --jsonl {path}"
        raise RecordingError(msg)
    played = messages[0]
    if any((message.node, message.source) != (played.node, played.source) for message in messages):
        msg = f"{path}: messages of more than one node or source; a device plays one"
        raise RecordingError(msg)
    node, source = node or played.node, source or played.source
    stream, offset, numbered = f"recorded-{zlib.crc32(data):08x}", 0, list[Message]()
    for message in messages:
        if isinstance(message, EventMessage):
            offset += 1
            event = replace(message, node=node, source=source, stream=stream, offset=offset, late=False)
            numbered.append(event)
        else:
            numbered.append(replace(message, node=node, source=source))
    return numbered


def script(messages: Sequence[Message], faults: Sequence[Fault] = (), seed: int = 0) -> list[Step]:
    """Lay out the steps; each fault befalls about every tenth event, at least one, and no event has two.

    The last event is always sent in its place, or nothing would show that it is missing.
    """
    chosen = _chosen([m for m in messages if isinstance(m, EventMessage)], faults, random.Random(seed))  # noqa: S311
    return list(_steps(messages, chosen, random.Random(seed + 1)))  # noqa: S311 - the same places every time


def faults_in(steps: Sequence[Step]) -> dict[Fault, int]:
    """Count the faults that a script holds."""
    deeds = Counter(step.deed for step in steps)
    counted: dict[Fault, int] = {
        "reconnects": deeds["cut"],
        "duplicates": deeds["again"],
        "late": deeds["late"],
        "gaps": deeds["hold"] - deeds["late"],
        "drops": deeds["drop"],
    }
    return {fault: number for fault, number in counted.items() if number}


def left_out(steps: Sequence[Step]) -> set[int]:
    """The offsets of the events that are made and never sent."""
    held, late = (
        {step.message.offset or 0 for step in steps if step.deed == deed and isinstance(step.message, EventMessage)}
        for deed in ("hold", "late")
    )
    return held - late


def _message(path: Path, number: int, line: bytes) -> Message:
    try:
        schema = msgspec.json.decode(line, type=_Schema).schema
        return msgspec.json.decode(line, type=_SCHEMAS[schema])
    except KeyError:
        reason = f"schema is {schema!r}, known are {' and '.join(_SCHEMAS)}"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"{str(error)[:1].lower()}{str(error)[1:]}"
    msg = f"{path}, line {number}: not a message: {reason}"
    raise RecordingError(msg)


@dataclass(frozen=True)
class _Schema:
    schema: str


_SCHEMAS: dict[str, type[Message]] = {"tick/1": Tick, "event/1": EventMessage}


_DEEDS: dict[Fault | None, Deed] = {"late": "hold", "gaps": "hold", "drops": "drop"}


def _chosen(events: Sequence[EventMessage], faults: Sequence[Fault], rng: random.Random) -> dict[int, Fault]:
    """Which offset meets which fault."""
    offsets = [event.offset or 0 for event in events[:-1]]
    rng.shuffle(offsets)
    number = max(1, len(events) // 10)
    chosen: dict[int, Fault] = {}
    for fault in FAULTS:
        if fault in faults:
            for _ in range(min(number, MOST_RECONNECTS) if fault == "reconnects" else number):
                if offsets:
                    chosen[offsets.pop()] = fault
    return chosen


def _steps(messages: Sequence[Message], chosen: dict[int, Fault], rng: random.Random) -> Iterator[Step]:
    last = max((message.offset or 0) for message in messages if isinstance(message, EventMessage))
    due: defaultdict[int, list[Step]] = defaultdict(list)
    for at, message in _timed(messages):
        if isinstance(message, Tick):
            yield Step(at, "tick", message)
            continue
        offset = message.offset or 0
        soon = min(last, offset + rng.randint(1, 3))
        fault = chosen.get(offset)
        if fault == "reconnects":
            yield Step(at, "cut")
            due[min(last, offset + rng.randint(0, 2))].append(Step(at, "mend"))
        if fault == "late":
            due[soon].append(Step(at, "late", message))
        if fault == "duplicates":
            due[min(last, offset + rng.randint(0, 3))].append(Step(at, "again", message))
        yield Step(at, _DEEDS.get(fault, "event"), message)
        yield from (replace(step, at=at) for step in due.pop(offset, ()))


def _timed(messages: Sequence[Message]) -> Iterator[tuple[float, Message]]:
    """When each message was sent: a second is judged when it is over, and events come with their second."""
    clock = began = 0.0
    boot = messages[0].boot
    for message in messages:
        if message.boot != boot:
            boot, began = message.boot, clock
        if isinstance(message, Tick):
            clock = max(clock, began + message.media_start + 1)
        else:
            clock = max(clock, began + (message.media_end or message.media_start))
        yield clock, message
