"""The outbox's file: its tables, the lock that keeps it to one process, and what is done when it is damaged."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import sqlite3
import time
from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    offset INTEGER PRIMARY KEY AUTOINCREMENT, created_ns INTEGER NOT NULL, kind TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, bytes INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS telemetry ON items (offset) WHERE kind = 'telemetry';
CREATE TABLE IF NOT EXISTS accounts (
    kind TEXT PRIMARY KEY, produced INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead (
    offset INTEGER PRIMARY KEY, kind TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS history (
    offset INTEGER PRIMARY KEY, boot TEXT NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_seq ON history (boot, seq);
"""

log = logging.getLogger(__name__)


class OutboxError(Exception):
    """An outbox that cannot be used, or a message that could not be stored; the text names the file."""


def open_file(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open or make the file; a damaged one is set aside under another name, and a new one begun."""
    try:
        return _prepared(path, synchronous)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) or not path.exists():
            raise
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns() // 10**9}")
        log.warning("%s: damaged (%s), set aside as %s; a new outbox is begun", path, error, aside.name)
        path.rename(aside)
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        return _prepared(path, synchronous)


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """Give one more connection to the file, for any thread."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    return db


def _prepared(path: Path, synchronous: str) -> sqlite3.Connection:
    db = connect(path, synchronous)
    try:
        _check(db)
        db.executescript(f"BEGIN; {TABLES} COMMIT;")
        db.execute("INSERT OR IGNORE INTO about VALUES ('stream', ?)", (secrets.token_hex(4),))
        db.executemany("INSERT OR IGNORE INTO accounts (kind) VALUES (?)", [("event",), ("telemetry",)])
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        msg = "its pages do not fit together"
        raise sqlite3.DatabaseError(msg)


def lock(path: Path) -> int:
    """Keep the outbox to this process; give the handle whose closing ends that."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        msg = f"{path}: cannot be made ({(error.strerror or str(error)).lower()})"
        raise OutboxError(msg) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        msg = f"{path}: another process uses this outbox; give each device and source a name of its own"
        raise OutboxError(msg) from None
    return handle
