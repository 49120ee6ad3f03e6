"""What people say of events, kept on the disk for retraining: one JSON line each, written through at once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from .contract import Feedback


class FeedbackFile:
    """A file of `feedback/1` lines, each with the time when it was `received`; opened at the first.

    What came before, in this start or an earlier one, is not written twice: MQTT delivers at least once.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: BinaryIO | None = None
        self._known: set[bytes] = set()

    def add(self, feedback: Feedback, received: str) -> bool:
        """Write one line and wait until the disk has it; False if it is known. OSError says why it is not kept."""
        if self._file is None:
            self._file = self._open()
        digest = _digest(feedback)
        if digest in self._known:
            return False
        line = msgspec.json.encode({**msgspec.to_builtins(feedback), "received": received}) + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._forget(end)
            raise
        self._known.add(digest)
        return True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+b", buffering=0)
        file.seek(0)
        content = file.read()
        whole, _, torn = content.rpartition(b"\n")
        if torn:  # the power failed while it was written
            file.truncate(len(content) - len(torn))
        for line in whole.splitlines():
            try:
                self._known.add(_digest(msgspec.json.decode(line, type=Feedback)))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power cut may take the file's name
        finally:
            os.close(folder)
        return file

    def _forget(self, end: int) -> None:
        assert self._file is not None
        try:
            self._file.truncate(end)
        except OSError:
            self._file = None  # opening it anew cuts off what is torn


def _digest(feedback: Feedback) -> bytes:
    return hashlib.sha256(msgspec.json.encode(feedback)).digest()[:16]
