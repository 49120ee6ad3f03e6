"""SIGTERM as a request to stop soon: the work under way is saved first."""

from __future__ import annotations

import signal
from threading import Event

_asked = Event()


class Stopped(Exception):  # noqa: N818 - no error: what was asked for was done
    """Work that was saved and left because a stop was asked for; run again, it goes on."""


def listen() -> None:
    """Take SIGTERM as a request from now on; only the main thread may call this."""
    signal.signal(signal.SIGTERM, lambda *_: _asked.set())


def requested() -> bool:
    """Say whether a stop was asked for."""
    return _asked.is_set()


def ask() -> None:
    """Ask for a stop from within, as Ctrl-C does."""
    _asked.set()
