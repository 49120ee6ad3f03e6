"""Where messages go besides MQTT: a terminal, a file of JSON lines; and what happens when a sink fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from .messages import EventMessage, Message, encode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from .lines import Layout

RETRY_SECONDS = 60
"""How long a sink that failed is left alone."""

log = logging.getLogger(__name__)


class SinkError(Exception):
    """A sink that cannot be opened; the message names it."""


class Sink(Protocol):
    """Takes each message; its `str` names it in the log."""

    def __call__(self, message: Message) -> None:
        """Take one message; soon, as inference waits for it."""

    def close(self) -> None:
        """Finish what has been taken."""


@dataclass
class _Failure:
    since: float
    lost: int = 1


_failing: WeakKeyDictionary[Sink, _Failure] = WeakKeyDictionary()


def deliver(message: Message, sinks: Sequence[Sink]) -> None:
    """Hand a message to every sink; one that fails is named once, then left alone for a minute at a time."""
    for sink in sinks:
        failure = _failing.get(sink)
        if failure is not None and time.monotonic() - failure.since < RETRY_SECONDS:
            failure.lost += 1
            continue
        try:
            sink(message)
        except Exception as error:  # noqa: BLE001 - whatever a sink does, inference goes on
            if failure is None:
                log.warning("%s: %s; detection goes on without it", sink, error or type(error).__name__)
                _failing[sink] = _Failure(time.monotonic())
            else:
                failure.since, failure.lost = time.monotonic(), failure.lost + 1
        else:
            if failure is not None:
                log.warning("%s: works again, %d messages were lost", sink, failure.lost)
                del _failing[sink]


class JsonLines:
    """Writes each message as one line of JSON, at once, while `recording`; an older file at `path` is replaced.

    A file that has reached `limit_bytes` (0: none) becomes `path` with `.1`, in the place of an earlier one.
    """

    def __init__(self, path: str | Path, recording: Callable[[], bool] = lambda: True, *, limit_bytes: int = 0) -> None:
        self._path, self._recording, self._limit = Path(path), recording, limit_bytes
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            msg = f"{path}: cannot be written ({(error.strerror or str(error)).lower()})"
            raise SinkError(msg) from None
        self._torn = False

    def __str__(self) -> str:
        return f"JSON lines {self._path}"

    def __call__(self, message: Message) -> None:
        """Append one line in one write."""
        if not self._recording():
            return
        if self._limit and self._file.tell() >= self._limit:
            self._turn()
        line = (b"\n" if self._torn else b"") + encode(message) + b"\n"
        self._torn = True  # until all of it is written
        if self._file.write(line) != len(line):
            msg = "no space left on device"
            raise OSError(msg)
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _turn(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file, self._torn = self._path.open("wb", buffering=0), False


class Terminal:
    """Draws each second as a line with a bar for each vote, and each event as a line of its own.

    Plain ASCII where the output is not a terminal. `labels` only set how wide the columns need to be. Where several
    `sources` run, each line names its own.
    """

    def __init__(self, console: Console | None = None, labels: Sequence[str] = (), sources: Sequence[str] = ()) -> None:
        from rich.console import Console

        self._console = console or Console(highlight=False)
        self._longest, self._sources = max(map(len, labels), default=16), tuple(sources)
        self._plain = not self._console.is_terminal or self._console.options.ascii_only
        self._form: Layout | None = None

    def __str__(self) -> str:
        return "terminal"

    def __call__(self, message: Message) -> None:
        """Print one line, the header before the first and when a modality joins."""
        from .lines import event_line, header, layout, tick_line

        if isinstance(message, EventMessage):
            text = event_line(message, named=len(self._sources) > 1, plain=self._plain)
        else:
            seen = {*message.fusion.votes, *(self._form.modalities if self._form else ())}
            form = layout(
                tuple(seen), self._console.width, longest=self._longest, sources=self._sources, plain=self._plain
            )
            if self._form is None or self._form.modalities != form.modalities:
                self._print(header(form))
            self._form = form
            text = tick_line(message, form)
        self._print(text)

    def close(self) -> None:
        """Nothing to finish."""

    def _print(self, text: Text) -> None:
        self._console.print(text, no_wrap=True, overflow="crop", highlight=False)
