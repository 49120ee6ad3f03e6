"""The command `touchline subscribe`: events as lines for a person, or as JSON lines for a program."""

from __future__ import annotations

import contextlib
import os
import sys

import msgspec
from rich.console import Console
from rich.text import Text

from .address import MqttError, MqttUrl
from .broker import Protocol
from .lines import event_line
from .messages import EventMessage
from .subscribe import subscribe
from .tls import Security


def run_subscribe(
    url: str | MqttUrl,
    *,
    json_lines: bool = False,
    count: int | None = None,
    timeout_seconds: float | None = None,
    consumer: str | None = None,
    history: bool = False,
    security: Security | None = None,
    protocol: Protocol = "auto",
) -> int:
    """Print events, one human line or (`json_lines`) one JSON a line, until Ctrl-C, and return the exit code.

    It is 1 when the broker could not be reached or fewer than `count` events came in `timeout_seconds`.
    MqttError says what is wrong with the address. For a `consumer` an event is committed when its line is
    written; where that goes to a file, when the disk has it.
    """
    address = MqttUrl.parse(url) if isinstance(url, str) else url
    out, aside = Console(highlight=False), Console(stderr=True, highlight=False)
    notes = aside if json_lines else out

    def on_event(event: EventMessage, payload: bytes) -> None:
        if json_lines:
            sys.stdout.write(msgspec.json.format(payload, indent=-1).decode() + "\n")
            sys.stdout.flush()
        else:
            line = Text(f"{event.start[:10]} {event.start[11:19]}  {event.node}/{event.source}  ")
            out.print(line + event_line(event, plain=not out.is_terminal), soft_wrap=True)
        if consumer is not None:
            with contextlib.suppress(OSError):  # a terminal or a pipe has no disk
                os.fsync(sys.stdout.fileno())

    def on_status(node: str, status: str) -> None:
        notes.print(Text(f"{node} is {status}", style="dim"), soft_wrap=True)

    def on_note(sentence: str) -> None:
        aside.print(Text(sentence, style="yellow"), soft_wrap=True)

    try:
        events = subscribe(
            address,
            on_event=on_event,
            on_status=on_status,
            on_note=on_note,
            consumer=consumer,
            history=history,
            security=security,
            protocol=protocol,
            count=count,
            timeout_seconds=timeout_seconds,
        )
    except MqttError as error:
        aside.print(Text(f"touchline: {error}"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 0
    if count is not None and timeout_seconds is not None and events < count:
        aside.print(Text(f"touchline: {events} of {count} events came within {timeout_seconds:g} s"), soft_wrap=True)
        return 1
    return 0
