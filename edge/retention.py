"""What events leave on disk stays within quotas: the oldest goes first."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .config import Config
from .messages import EventMessage, Message

MEGABYTE = 1_000_000
YOUNG_SECONDS = 60.0
"""What has changed within this time may still be written, or shown, and stays."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """One event's folder, or one file."""

    path: Path
    bytes: int
    changed: float


class Retention:
    """A sink that looks at the end of each event whether `folders` keep to their quotas, in bytes.

    Beyond a quota, and while less than `free_bytes` of the disk are free, the entry of a folder that changed longest
    ago is removed whole.
    """

    def __init__(self, folders: Mapping[Path, int], free_bytes: int = 0) -> None:
        self._folders, self._free = folders, free_bytes

    def __str__(self) -> str:
        return "retention"

    def __call__(self, message: Message) -> None:
        """Look, if an event has ended."""
        if isinstance(message, EventMessage) and message.type == "end":
            self.look()

    def look(self) -> None:
        """Remove what is too much now."""
        for folder, quota in self._folders.items():
            removed = list(_beyond(folder, quota, self._free))
            for entry in removed:
                _remove(entry.path)
            if removed:
                size = sum(entry.bytes for entry in removed) / 1e6
                log.info("%s: removed the oldest %d of its entries, %.1f MB", folder, len(removed), size)

    def close(self) -> None:
        """Nothing to finish."""


def within(config: Config) -> Retention:
    """Keep clips within what the configuration allows; those that a person has judged stay."""
    quotas = config.quotas
    most = quotas.clips_mb * MEGABYTE if quotas.clips_mb else sys.maxsize
    return Retention({config.web.clips_folder: most}, quotas.free_mb * MEGABYTE)


def _beyond(folder: Path, quota: int, free_bytes: int) -> Iterator[_Entry]:
    """What has to go, oldest first."""
    entries = sorted(_entries(folder), key=lambda entry: entry.changed)
    total = sum(entry.bytes for entry in entries)
    excess = total - quota
    with suppress(OSError):
        excess = max(excess, free_bytes - shutil.disk_usage(folder).free)
    for entry in entries:
        if excess <= 0 or time.time() - entry.changed < YOUNG_SECONDS:
            return
        excess -= entry.bytes
        yield entry


def _entries(folder: Path) -> Iterator[_Entry]:
    with suppress(OSError):
        for path in list(folder.iterdir()):
            files = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
            with suppress(OSError):  # gone meanwhile
                stats = [file.lstat() for file in files]
                yield _Entry(path, sum(s.st_blocks * 512 for s in stats), max(s.st_mtime for s in stats))


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
