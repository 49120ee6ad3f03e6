"""A durable queue on disk for what must reach subscribers: SQLite, one writer, exact accounts."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import msgspec

from .contract import Accounting
from .outbox_file import OutboxError, connect, lock, open_file

__all__ = ["DeadLetter", "Hole", "Item", "Outbox", "OutboxError"]

Kind = Literal["event", "telemetry"]
KINDS: tuple[Kind, ...] = ("event", "telemetry")
QUOTA_BYTES = 256 * 2**20
ROW_BYTES = 64
"""What SQLite needs for a row beside its topic and payload, rounded up."""
GROUP = 1000
"""Operations in one commit at most."""
LONGEST_PAUSE = 5.0
"""Seconds between two attempts on a disk that fails, at most; the first pause is a hundredth of it."""
KEPT = 10_000
"""Events of the past, and dead letters, that are kept to be asked for."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """A stored message: its place in the stream, when it was put, its topic below the node's, and its payload.

    A `gap` stands for offsets that will never be sent; its payload is a `Hole`.
    """

    offset: int
    created_ns: int
    kind: Literal["event", "telemetry", "gap"]
    topic: str
    payload: bytes


@dataclass(frozen=True)
class Hole:
    """Offsets `first` to `last`, dropped or set aside, and how many of each class they were."""

    first: int
    last: int
    dropped: dict[str, int]


@dataclass(frozen=True)
class DeadLetter:
    """A message that cannot be sent, and why."""

    offset: int
    kind: str
    topic: str
    payload: bytes
    reason: str


class Outbox:
    """Takes messages at any time, gives them back in order, and forgets them once they are settled.

    Each message gets an `offset` in the transaction that stores it; within a `stream` (one file's life) no offset is
    used twice. One thread writes: all that waits goes into one commit, which `synchronous=FULL` carries through a
    power cut (NORMAL does not). Beyond `quota_bytes` the oldest telemetry goes first, then the oldest events; a gap
    stays in their place. For each class, produced = delivered + queued + dropped + dead, at any time.
    """

    def __init__(self, path: str | Path, *, quota_bytes: int = QUOTA_BYTES, synchronous: str = "FULL") -> None:
        self.path = Path(path)
        self._quota = quota_bytes
        self._lock_file = lock(self.path)
        try:
            self._writer = open_file(self.path, synchronous)
            self._reader = connect(self.path, synchronous)
        except sqlite3.Error as error:
            os.close(self._lock_file)
            msg = f"{self.path}: cannot be used as an outbox ({error})"
            raise OutboxError(msg) from None
        self.stream = str(self._writer.execute("SELECT value FROM about WHERE key = 'stream'").fetchone()[0])
        self._bytes = int(self._writer.execute("SELECT coalesce(sum(bytes), 0) FROM items").fetchone()[0])
        self._reading = threading.Lock()
        self._work: SimpleQueue[_Operation | None] = SimpleQueue()
        self._failure = ""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._thread.start()

    def put(self, topic: str, payload: bytes, kind: Kind = "event", *, boot: str = "", seq: int = 0) -> Future[int]:
        """Store a message, without waiting; the future gives its offset once that is safe on disk.

        It raises OutboxError when the message could not be stored: then it is not there. Events with a `boot` can be
        asked for in `history`.
        """
        done: Future[int] = Future()
        created, packed = time.time_ns(), zlib.compress(payload, 1)

        def operate(db: sqlite3.Connection) -> int:
            size = len(packed) + len(topic) + ROW_BYTES
            row = (created, kind, topic, packed, size)
            offset = db.execute("INSERT INTO items VALUES (NULL, ?, ?, ?, ?, ?)", row).lastrowid
            assert offset is not None
            self._bytes += size
            _count(db, kind, "produced", 1)
            if kind == "event" and boot:
                db.execute("INSERT INTO history VALUES (?, ?, ?, ?)", (offset, boot, seq, packed))
                db.execute("DELETE FROM history WHERE offset <= ?", (offset - KEPT,))
            self._evict(db)
            return offset

        self._submit(_Operation(operate, done))
        return done

    def after(self, offset: int, limit: int, *, upto: int | None = None) -> list[Item]:
        """Give up to `limit` stored messages with offsets above `offset`, and not above `upto`, in order."""
        sql = "SELECT offset, created_ns, kind, topic, payload FROM items WHERE offset > ? AND offset <= ?"
        rows = self._read(sql + " ORDER BY offset LIMIT ?", (offset, 2**62 if upto is None else upto, limit))
        return [Item(at, created, kind, topic, _unpack(packed)) for at, created, kind, topic, packed in rows]

    def delivered(self, offsets: Iterable[int]) -> None:
        """Settle messages in the next commit."""
        rows = [(offset,) for offset in offsets]

        def operate(db: sqlite3.Connection) -> None:
            for row in rows:
                self._remove(db, "offset = ?", row, "delivered")

        self._submit(_Operation(operate))

    def delivered_upto(self, offset: int) -> None:
        """Settle all messages up to and with `offset` in the next commit."""
        self._submit(_Operation(lambda db: self._remove(db, "offset <= ?", (offset,), "delivered")))

    def dead(self, offset: int, reason: str) -> None:
        """Set a message that cannot be sent aside, in the next commit; the last 10,000 are kept."""

        def operate(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR IGNORE INTO dead SELECT offset, kind, topic, payload, ? FROM items WHERE offset = ?",
                (reason, offset),
            )
            self._hollow(db, offset, "dead")
            db.execute("DELETE FROM dead WHERE offset <= (SELECT max(offset) FROM dead) - ?", (KEPT,))

        self._submit(_Operation(operate))

    def dead_letters(self) -> list[DeadLetter]:
        """Give what was set aside, in order."""
        rows = self._read("SELECT offset, kind, topic, payload, reason FROM dead ORDER BY offset", ())
        return [DeadLetter(at, kind, topic, _unpack(packed), why) for at, kind, topic, packed, why in rows]

    def history(self, after: tuple[str, int] | None = None, limit: int = 100) -> list[tuple[int, bytes]]:
        """Give events with their offsets as they were put, delivered or not, in order: those that followed `after`.

        That is a boot and a seq of it, which need not be there: what followed is of this boot and of later ones.
        Without it, and for a boot that is not known, they begin with the oldest; the last 10,000 are kept.
        """
        sql = """SELECT offset, payload FROM history WHERE offset > coalesce(
            (SELECT max(offset) FROM history WHERE boot = ? AND seq <= ?),
            (SELECT min(offset) - 1 FROM history WHERE boot = ?), 0) ORDER BY offset LIMIT ?"""
        boot, seq = after or ("", 0)
        return [(offset, _unpack(packed)) for offset, packed in self._read(sql, (boot, seq, boot, limit))]

    def knows(self, boot: str) -> bool:
        """Whether it keeps an event of this boot."""
        return bool(self._read("SELECT 1 FROM history WHERE boot = ? LIMIT 1", (boot,)))

    def accounting(self) -> dict[str, Accounting]:
        """Give what became of all messages, for each class, over all starts of the process."""
        rows = {row[0]: row[1:] for row in self._read("SELECT * FROM accounts", ())}
        found: dict[str, Accounting] = {}
        for kind in KINDS:
            produced, delivered, dropped, dead = rows.get(kind, (0, 0, 0, 0))
            queued = produced - delivered - dropped - dead
            found[kind] = Accounting(produced, delivered, queued, dropped, dead)
        return found

    @property
    def bytes(self) -> int:
        """What the stored messages take, as the quota counts it."""
        return self._bytes

    @property
    def last(self) -> int:
        """The latest offset that was given, 0 before the first."""
        rows = self._read("SELECT seq FROM sqlite_sequence WHERE name = 'items'", ())
        return int(rows[0][0]) if rows else 0

    @property
    def failure(self) -> str:
        """What the disk refuses at present, in a sentence; empty while all is well."""
        return self._failure

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Wait until all that was asked for is done; False when the time is over or the disk refuses."""
        done: Future[int] = Future()
        self._submit(_Operation(lambda _: 0, done))
        try:
            done.result(timeout_seconds)
        except (OutboxError, TimeoutError):
            return False
        return True

    def close(self) -> None:
        """Finish what waits, as far as the disk lets us, and close the file."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._work.put(None)
        self._thread.join(LONGEST_PAUSE * 2)
        with self._reading:
            self._reader.close()
        if not self._thread.is_alive():
            self._writer.close()
        os.close(self._lock_file)

    def _submit(self, operation: _Operation) -> None:
        if self._closed.is_set():
            operation.fail(OutboxError(f"{self.path}: the outbox is closed"))
        else:
            self._work.put(operation)

    def _write(self) -> None:
        """Carry out what waits, in groups; what settles messages is tried until it works, a put once."""
        waiting: list[_Operation] = []
        pause, ending = 0.0, False
        while not ending or waiting:
            if pause:
                self._closed.wait(pause)
            ending |= self._gather(waiting, block=not ending and not pause)
            if not waiting:
                continue
            kept = self._bytes
            try:
                results = self._commit(waiting)
            except (sqlite3.Error, OSError) as error:
                self._bytes = kept
                waiting = self._fail(waiting, error)
                pause = min(LONGEST_PAUSE, pause * 2 or LONGEST_PAUSE / 100)
                if ending:
                    return
            else:
                if self._failure:
                    log.warning("%s: can be written again", self.path)
                self._failure, pause = "", 0.0
                for operation, result in zip(waiting, results, strict=True):
                    operation.succeed(result)
                waiting = []

    def _gather(self, waiting: list[_Operation], *, block: bool) -> bool:
        """Take what waits; True when the end was asked for."""
        try:
            while len(waiting) < GROUP:
                operation = self._work.get(block=block and not waiting)
                if operation is None:
                    return True
                waiting.append(operation)
        except Empty:
            pass
        return False

    def _commit(self, operations: list[_Operation]) -> list[Any]:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            results = [operation.operate(self._writer) for operation in operations]
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return results

    def _fail(self, operations: list[_Operation], error: Exception) -> list[_Operation]:
        sentence = f"{self.path}: cannot be written ({error})"
        if not self._failure:
            log.warning("%s; it is tried again", sentence)
        self._failure = sentence
        again = []
        for operation in operations:
            if operation.done is None:
                again.append(operation)
            else:
                operation.fail(OutboxError(sentence))
        return again

    def _remove(self, db: sqlite3.Connection, where: str, values: tuple[int, ...], account: str) -> None:
        sql = f"DELETE FROM items WHERE {where} RETURNING kind, bytes"  # noqa: S608 - ours, no one else's
        for kind, size in db.execute(sql, values).fetchall():
            self._bytes -= size
            if kind != "gap":
                _count(db, kind, account, 1)

    def _evict(self, db: sqlite3.Connection) -> None:
        while self._bytes > self._quota:
            row = (
                db.execute("SELECT offset FROM items WHERE kind = 'telemetry' ORDER BY offset LIMIT 1").fetchone()
                or db.execute("SELECT offset FROM items WHERE kind = 'event' ORDER BY offset LIMIT 1").fetchone()
            )
            if row is None:
                return
            self._hollow(db, row[0], "dropped")

    def _hollow(self, db: sqlite3.Connection, offset: int, account: str) -> None:
        """Put a hole in a message's place, joined with the holes on both sides."""
        kind = db.execute("SELECT kind FROM items WHERE offset = ? AND kind != 'gap'", (offset,)).fetchone()
        if kind is None:
            return
        self._remove(db, "offset = ?", (offset,), account)
        hole = Hole(offset, offset, {kind[0]: 1})
        sql = "SELECT offset, payload FROM items WHERE kind = 'gap' AND offset IN (?, ?)"
        before = db.execute(sql, (offset - 1, offset - 1)).fetchone()
        # A hole lies at its last offset, so the one behind is found by its first.
        behind = db.execute(
            "SELECT offset, payload, kind FROM items WHERE offset > ? ORDER BY offset LIMIT 1", (offset,)
        ).fetchone()
        for neighbour in (before, behind if behind and behind[2] == "gap" else None):
            if neighbour is None:
                continue
            other = _HOLE.decode(zlib.decompress(neighbour[1]))
            if other.last + 1 == hole.first or hole.last + 1 == other.first:
                self._remove(db, "offset = ?", (neighbour[0],), "")
                hole = _join(hole, other)
        packed = zlib.compress(msgspec.json.encode(hole), 1)
        size = len(packed) + ROW_BYTES
        db.execute("INSERT INTO items VALUES (?, ?, 'gap', '', ?, ?)", (hole.last, time.time_ns(), packed, size))
        self._bytes += size

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            with self._reading:
                return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            msg = f"{self.path}: cannot be read ({error})"
            raise OutboxError(msg) from None


@dataclass(frozen=True)
class _Operation:
    """Something for the writer to do in a transaction; without `done` it is tried until it works."""

    operate: Callable[[sqlite3.Connection], Any]
    done: Future[int] | None = None

    def succeed(self, result: Any) -> None:  # noqa: ANN401 - what the operation gave
        if self.done is not None and self.done.set_running_or_notify_cancel():
            self.done.set_result(result)

    def fail(self, error: OutboxError) -> None:
        if self.done is not None and self.done.set_running_or_notify_cancel():
            self.done.set_exception(error)


def _count(db: sqlite3.Connection, kind: str, account: str, number: int) -> None:
    db.execute(f"UPDATE accounts SET {account} = {account} + ? WHERE kind = ?", (number, kind))  # noqa: S608 - our names


def _unpack(packed: bytes) -> bytes:
    """Give a payload back; a damaged one is empty, which no reader takes for a message."""
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return b""


def _join(one: Hole, other: Hole) -> Hole:
    kinds = {*one.dropped, *other.dropped}
    dropped = {kind: one.dropped.get(kind, 0) + other.dropped.get(kind, 0) for kind in sorted(kinds)}
    return Hole(min(one.first, other.first), max(one.last, other.last), dropped)


_HOLE = msgspec.json.Decoder(Hole)
