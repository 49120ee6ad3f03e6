"""A live source as the service sees it: seconds from a reader process that may crash, hang and come back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.clip import Clip, Mode
from edge.manifest import ClipSpec
from edge.messages import utc
from edge.sources import SourceError

from .address import parse
from .inbox import Inbox
from .load import Look
from .talk import Begin, Cut, End, Order, Picture, Pulse, Report, Save, Saved, Show, Spare, clip, read_report, send
from .watch import State

if TYPE_CHECKING:
    from typing_extensions import Self

QUIET_SECONDS, HUNG_SECONDS = 2.5, 8.0
"""A reader that says nothing for so long is said to stall, and is ended: a machine may just be busy."""
START_SECONDS = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 4.0
END_SECONDS = 1.0
"""So long a reader may take to end by itself."""


@dataclass(frozen=True)
class SourceHealth:
    """How a source is. `state` is `online` or what is wrong, `message` says it in words, `since` when it became so.

    `av_offset_ms` is by how much sound has come to lag behind the picture, give or take `av_uncertainty_ms`; None
    without both. `dropped_seconds` were not judged for want of time. `mode` says how much of each is looked at.
    """

    state: State
    message: str
    since: str
    mode: Mode = "full"
    reconnects: int = 0
    dropped_seconds: int = 0
    frames_per_second: float = 0.0
    av_offset_ms: float | None = None
    av_uncertainty_ms: float | None = None
    lost_samples: int = 0
    undecodable: int = 0
    busy: float = 0.0


class LiveSource:
    """Reads `url`, and `sound` from elsewhere if given, in a process of its own from now on; iterate it for its Clips.

    Media time counts from `origin` (monotonic seconds; by default now) and goes on over crashes and reconnections.
    Clips go to `inbox` as those of `name`, by default one of its own. `on_health` hears each change of state. An
    address that is wrong raises ConfigError; a source that is away is waited for.
    """

    def __init__(
        self,
        url: str,
        spec: ClipSpec,
        *,
        sees: bool = True,
        hears: bool = True,
        sound: str = "",
        decoder: str = "ffmpeg",
        name: str = "",
        origin: float | None = None,
        inbox: Inbox | None = None,
        on_health: Callable[[SourceHealth], None] = lambda _: None,
    ) -> None:
        self.origin = time.monotonic() if origin is None else origin
        addresses = [parse(each, decoder=decoder) for each in (url, sound) if each]
        self.video = sees and addresses[0].microphone is None
        self.audio = hears
        self.name, self.shown = name or addresses[0].name, " + ".join(address.name for address in addresses)
        self.inbox, self._own, self._on_health = inbox or Inbox(), inbox is None, on_health
        self._begin = Begin(url, sound, decoder, spec, sees=sees, hears=hears, origin=self.origin)
        self._health = SourceHealth("connecting", "is being opened", utc(time.time_ns()))
        self._picture: tuple[bytes, float] | None = None
        self._saves: dict[int, Future[tuple[float, float]]] = {}
        self._ids, self._spare, self._restarts = count(1), Spare(spec.frames_per_second, 1.0, thrifty=False), 0
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed, self._sending = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._supervise, name=f"live {self.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Clip]:
        """Give each Clip when it is complete, until closed."""
        while (item := self.inbox.get()) is not None:
            yield item[2]

    def preview(self) -> tuple[bytes, float] | None:
        """Give the newest picture as JPEG with its media time; pictures come while somebody asks, after a moment."""
        self._tell(Show())
        return self._picture

    def save_clip(
        self,
        start: float,
        end: float,
        path: str | Path,
        thumb_path: str | Path | None = None,
        *,
        at: float | None = None,
    ) -> Future[tuple[float, float]]:
        """Write MP4 of media time `start` to `end`, once that has come, and the picture `at` a time as JPEG.

        What was kept is at most 20 s old. Each file is there whole or not at all; then the future gives the media
        times at which the clip really begins and ends. It raises SourceError when there is none.
        """
        future: Future[tuple[float, float]] = Future()
        save = Save(
            next(self._ids), start, end, start if at is None else at, str(Path(path).resolve()),
            "" if thumb_path is None else str(Path(thumb_path).resolve()),
        )  # fmt: skip
        self._saves[save.id] = future
        if not self._tell(save):
            self._finish(Saved(save.id, 0, 0, "its reader is away"))
        return future

    def health(self) -> SourceHealth:
        """Say how the source is now."""
        return replace(self._health, dropped_seconds=self.inbox.dropped[self.name])

    def spare(self, mode: Mode, look: Look) -> None:
        """Look at so much from the next second on, and call it `mode`."""
        self._spare = Spare(look.frames_per_second, look.size, look.thrifty)
        self._tell(self._spare)
        self._health = replace(self._health, mode=mode)

    def close(self) -> None:
        """End the reader; clips that were asked for are written first, with what there is."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._tell(End())
        self._thread.join(END_SECONDS)
        self._kill()  # its thread, which may be reading, then sees the end and closes the connection
        self._thread.join()
        if self._own:
            self.inbox.close()

    # The thread.

    def _supervise(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._start()
                self._listen()
                why = "its reader said nothing"
            except (EOFError, OSError):
                why = "its reader ended"
            except (msgspec.DecodeError, ValueError):
                why = "its reader sent nonsense"
            status = self._clear()
            if self._closed.is_set():
                break
            self._restarts += 1
            signalled = f" by signal {-status}" if status < 0 and why == "its reader ended" else ""
            self._note("offline", f"{why}{signalled}; it is started anew")
            pause = FIRST_PAUSE if time.monotonic() - began > 10 else min(2 * pause, LONGEST_PAUSE)
            self._closed.wait(pause)
        for id_ in list(self._saves):
            self._finish(Saved(id_, 0, 0, "its reader ended"))

    def _start(self) -> None:
        mine, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge.live.reader", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        connection = Connection(mine.detach())
        send(connection, self._begin)
        send(connection, self._spare)
        self._connection = connection

    def _listen(self) -> None:
        assert self._connection is not None
        patience = START_SECONDS
        while self._connection.poll(patience) or self._wait():
            self._take(read_report(self._connection))
            patience = QUIET_SECONDS

    def _wait(self) -> bool:
        """Say that the reader is quiet, and give it some more time."""
        assert self._connection is not None
        self._note("stalled", "its reader does not answer")
        return self._connection.poll(HUNG_SECONDS - QUIET_SECONDS)

    def _take(self, report: Report) -> None:
        match report:
            case Cut():
                self.inbox.put(self.name, clip(report))
            case Picture():
                self._picture = (report.jpeg, report.time)
            case Saved():
                self._finish(report)
            case Pulse():
                self._note(report.state, report.message, report)

    def _note(self, state: State, message: str, pulse: Pulse | None = None) -> None:
        known = self._health
        since = known.since if known.state == state else utc(time.time_ns())
        self._health = replace(known, state=state, message=message, since=since)
        if pulse is not None:
            self._health = replace(
                self._health,
                reconnects=self._restarts + pulse.reconnects,
                frames_per_second=pulse.frames_per_second,
                av_offset_ms=pulse.av_offset_ms,
                av_uncertainty_ms=pulse.av_uncertainty_ms,
                lost_samples=pulse.lost_samples,
                undecodable=pulse.undecodable,
                busy=pulse.busy,
            )
        if (known.state, known.message) != (state, message):
            self._on_health(self.health())

    def _finish(self, saved: Saved) -> None:
        future = self._saves.pop(saved.id, None)
        if future is None:
            return
        if saved.error:
            future.set_exception(SourceError(f"{self.shown}: no clip: {saved.error}"))
        else:
            future.set_result((saved.start, saved.end))

    def _tell(self, order: Order) -> bool:
        connection = self._connection
        if connection is None:
            return False
        with self._sending, suppress(OSError):
            send(connection, order)
            return True
        return False

    def _kill(self) -> None:
        """End the reader and what it started."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _clear(self) -> int:
        """End the reader, and let go of what it was reached by; give its exit status."""
        self._kill()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        return 0 if self._process is None else self._process.wait()
