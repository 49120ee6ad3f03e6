"""A recording in parts: rosbag2 folders in MCAP, each closed when it is full or old and followed by another."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore


class Tape:
    """Keeps serialized messages; OSError when the disk fails, after which only `close` may be called.

    A part that is closed is whole. Of one whose process was killed, all is there that came before the last `settle`.
    """

    def __init__(self, folder: Path, part_bytes: int, part_seconds: float) -> None:
        self.folder, self.parts = folder, 0
        self._part_bytes, self._part_seconds = part_bytes, part_seconds
        self._writer: Any = None
        self._connections: dict[str, Any] = {}
        self._bytes, self._began = 0, 0.0

    def write(self, topic: str, kind: str, types: Typestore, stamp_ns: int, data: bytes) -> None:
        """Add a message that came at `stamp_ns`; `types` knows its `kind`."""
        if self._writer is not None and time.monotonic() - self._began >= self._part_seconds:
            self.close()
        if self._writer is None:
            self._begin()
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=types)
        self._writer.write(self._connections[topic], stamp_ns, data)
        self._bytes += len(data)
        if self._bytes >= self._part_bytes:
            self.close()

    def settle(self) -> None:
        """Hand what is held back for a fuller chunk to the operating system: it outlives this process then."""
        if self._writer is None:
            return
        storage = self._writer.storage
        if storage.chunk.msgs:
            storage.close_chunk()
        storage.bio.flush()

    def close(self) -> None:
        """End the part properly; if the disk fails, leave what is on it, to be read as that of a killed process."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except OSError:
            with suppress(OSError):
                writer.abort()
            raise

    def _begin(self) -> None:
        name = time.strftime("%Y%m%d-%H%M%S")
        path = next(path for k in count(self.parts) if not (path := self.folder / f"{name}-{k:04d}").exists())
        writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.open()
        self._writer, self._connections, self._bytes, self._began = writer, {}, 0, time.monotonic()
        self.parts += 1


def typestore(kind: str) -> Typestore:
    """Make a store that knows a message type, and those in it, by the definitions that are installed.

    LookupError or OSError if one of them is not.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    missing = [kind]
    while missing:
        name = missing.pop()
        if name in store.types:
            continue
        package, _, short = name.split("/")
        text = (Path(get_package_share_directory(package)) / "msg" / f"{short}.msg").read_text(encoding="utf-8")
        found = get_types_from_msg(text, name)
        store.register(found)
        missing += [used for used in _used(found[name]) if used not in store.types]
    return store


def _used(definition: Any) -> list[str]:  # noqa: ANN401 - rosbags' tree of fields
    """Name the message types that a definition's fields are made of."""
    names, parts = [], [definition]
    while parts:
        part = parts.pop()
        if isinstance(part, str) and part.count("/") == 2:
            names.append(part)
        elif isinstance(part, list | tuple):
            parts += part
    return names
