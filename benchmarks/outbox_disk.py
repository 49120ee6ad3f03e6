"""Fail each write and each sync of the outbox in turn, with a full disk and with an I/O error: accounts stay exact."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from measure import machine, machine_line, table, write_json
from rich.progress import track

from edge.outbox import Outbox

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls, first = -1, count, number;

__attribute__((constructor)) static void begin(void) {
    if (getenv("FAIL_FIRST")) first = atol(getenv("FAIL_FIRST"));
    if (getenv("FAIL_COUNT")) count = atol(getenv("FAIL_COUNT"));
    if (getenv("FAIL_ERRNO")) number = atol(getenv("FAIL_ERRNO"));
}
__attribute__((destructor)) static void end(void) {
    FILE *file = getenv("FAIL_CALLS") ? fopen(getenv("FAIL_CALLS"), "w") : NULL;
    if (file) { fprintf(file, "%ld", calls); fclose(file); }
}
static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!strstr(path, "outbox.db") || strstr(path, "-shm")) return 0;
    long now = __sync_fetch_and_add(&calls, 1);
    if (first < 0 || now < first || now >= first + count) return 0;
    errno = (int) number;
    return 1;
}
#define REAL(name, type) static type real; if (!real) real = (type) dlsym(RTLD_NEXT, name)
typedef ssize_t (*writer)(int, const void *, size_t, off64_t);
typedef int (*syncer)(int);
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL("pwrite64", writer); return fails(fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL("pwrite", writer); return fails(fd) ? -1 : real(fd, data, size, at);
}
int fsync(int fd) { REAL("fsync", syncer); return fails(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL("fdatasync", syncer); return fails(fd) ? -1 : real(fd); }
"""
WRITER = """
import sys
from edge.outbox import Outbox, OutboxError
try:
    box = Outbox(sys.argv[1], quota_bytes=3000)
except OutboxError as error:
    sys.exit(3)
for i in range(30):
    try:
        print(box.put("cam/event", b"%d" % i, "telemetry" if i % 3 == 0 else "event").result(20), flush=True)
    except OutboxError:
        pass
    if i % 10 == 9:
        box.delivered_upto(i - 5)
        box.dead(i - 4, "no")
        box.flush(20)
box.close()
"""


@dataclass(frozen=True)
class Outcome:
    """One kind of failure, at every call; `inexact` counts outboxes whose accounts do not add up afterwards.

    `lost` were acknowledged and are gone; `crashed` counts processes that ended by anything but their own will.
    """

    failure: str
    calls: int
    tried: int
    refused_at_start: int
    acknowledged: int
    lost: int
    inexact: int
    crashed: int


def fail_everywhere(failure: str, lasting: int, every: int, library: Path) -> Outcome:
    """Let `lasting` calls fail from the nth on, for every nth."""
    number = getattr(errno, failure)
    with tempfile.TemporaryDirectory() as folder:
        calls = _life(Path(folder), library, {})[2]
    refused = acknowledged = lost = inexact = crashed = tried = 0
    for first in track(range(0, calls, every), description=f"{failure}, {lasting} at a time"):
        tried += 1
        with tempfile.TemporaryDirectory() as folder:
            limits = {"FAIL_FIRST": first, "FAIL_COUNT": lasting, "FAIL_ERRNO": number}
            code, said, _ = _life(Path(folder), library, limits)
            refused += code == 3
            crashed += code not in (0, 3)
            acknowledged += len(said)
            gone, exact = _judge(Path(folder) / "outbox.db", said)
            lost, inexact = lost + gone, inexact + (not exact)
    return Outcome(f"{failure} x {lasting}", calls, tried, refused, acknowledged, lost, inexact, crashed)


def _life(folder: Path, library: Path, limits: dict[str, int]) -> tuple[int, list[int], int]:
    counted = folder / "calls.txt"
    environment = {name: str(value) for name, value in limits.items()}
    environment |= {"LD_PRELOAD": str(library), "FAIL_CALLS": str(counted)}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder / "outbox.db")], env=os.environ | environment, text=True,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, [int(line) for line in done.stdout.split()], int(counted.read_text())


def _judge(file: Path, said: list[int]) -> tuple[int, bool]:
    """Open what was left, and compare: every acknowledged offset is queued, dead, in a hole, or was settled by us."""
    box = Outbox(file)
    accounts, items = box.accounting(), box.after(0, 1000)
    letters, last = box.dead_letters(), box.last
    box.close()
    holes = [json.loads(item.payload) for item in items if item.kind == "gap"]
    known = {item.offset for item in items} | {letter.offset for letter in letters}
    known |= {offset for hole in holes for offset in range(hole["first"], hole["last"] + 1)}
    settled = sum(account.delivered for account in accounts.values())
    lost = max(0, len(set(said) - known) - settled) + sum(offset > last for offset in said)
    with sqlite3.connect(file) as db:
        rows = dict(db.execute("SELECT kind, count(*) FROM items GROUP BY kind").fetchall())
    exact = all(
        account.queued == rows.get(kind, 0)
        and account.produced == account.delivered + account.queued + account.dropped + account.dead
        for kind, account in accounts.items()
    )
    return lost, exact and len(said) <= sum(account.produced for account in accounts.values())


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/outbox_disk.py --json disk.json"
    )
    parser.add_argument("--every", type=int, default=1, help="try every nth call only (default: 1)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "shim.c", Path(folder) / "shim.so"
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        found = [
            fail_everywhere(failure, lasting, arguments.every, library)
            for failure in ("ENOSPC", "EIO")
            for lasting in (1, 3)
        ]
    rows = [msgspec.to_builtins(outcome) for outcome in found]
    print(f"{machine_line(where)}\n")
    print(table(list(rows[0]), [row.values() for row in rows]))
    write_json(arguments.json, {"machine": where, "failures": rows})
    return 1 if any(outcome.lost or outcome.inexact or outcome.crashed for outcome in found) else 0


if __name__ == "__main__":
    sys.exit(main())
