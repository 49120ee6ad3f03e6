"""Tells who started this process that seconds advance: systemd over its socket, a container by the age of a file."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .messages import Message, Tick

PATIENCE_SECONDS = 120.0
"""How long the loop may turn without a second being judged: a camera that is away is not cured by a restart."""
FED_SECONDS = 0.5
"""Nobody is told more often."""


class Supervisor:
    """A sink that says it is ready once the loop runs, alive while seconds are judged, and stopping at the end.

    `beat` may be called while the loop turns: it counts as alive until no second was judged for `PATIENCE_SECONDS`.
    systemd's socket is NOTIFY_SOCKET (Type=notify; see sd_notify(3)), the file TOUCHLINE_ALIVE; without them nothing
    is done.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._file = os.environ.get("TOUCHLINE_ALIVE", "")
        self._judged, self._fed = clock(), float("-inf")
        self._ready = False

    def __str__(self) -> str:
        return "supervisor"

    def __call__(self, message: Message) -> None:
        """A second was judged, or an event went on."""
        if isinstance(message, Tick):
            self._judged = self._clock()
            self._feed(f"STATUS={message.source}: {message.label} at {message.media_start:.0f} s")

    def beat(self) -> None:
        """The loop turns, whether or not something came."""
        if self._clock() - self._judged < PATIENCE_SECONDS:
            self._feed()

    def close(self) -> None:
        """The process ends."""
        self._tell("STOPPING=1")

    def _feed(self, *lines: str) -> None:
        now = self._clock()
        if now - self._fed < FED_SECONDS and self._ready:
            return
        self._fed = now
        self._tell("WATCHDOG=1" if self._ready else "READY=1\nWATCHDOG=1", *lines)
        self._ready = True
        if self._file:
            with suppress(OSError):
                Path(self._file).touch()

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(lines).encode(), address)
