"""Cut the power under the outbox: a file system that forgets what was not synced, FULL beside NORMAL."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from measure import machine, machine_line, table, write_json
from rich.progress import track

from edge.outbox import Outbox

EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32), include/uapi/linux/ext4.h; with NOLOGFLUSH the journal is not written either."""
NOLOGFLUSH = 2
SIZE_MB = 64
WRITER = """
import sys, time
from edge.outbox import Outbox
box = Outbox(sys.argv[1], synchronous=sys.argv[2])
for i in range(10**9):
    done = [box.put("cam/event", b"%d" % i) for _ in range(4)]
    print(max(one.result() for one in done), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """What one setting of `synchronous` has led to, over all cuts; `lost` were acknowledged and are gone."""

    synchronous: str
    cuts: int
    acknowledged: int
    lost: int
    damaged: int


def cut_often(synchronous: str, cuts: int, rng: random.Random) -> Outcome:
    """Cut the power `cuts` times, each time on a new file system."""
    acknowledged = lost = damaged = 0
    for _ in track(range(cuts), description=f"cutting, {synchronous}"):
        with tempfile.TemporaryDirectory() as folder, _mounted(Path(folder)) as (place, again):
            said = _write_and_cut(place, synchronous, rng.uniform(0.2, 0.8))
            again()
            box = Outbox(place / "outbox.db")
            found = box.last
            damaged += any(place.glob("*.damaged-*"))
            box.close()
            acknowledged += said
            lost += max(0, said - found)
    return Outcome(synchronous, cuts, acknowledged, lost, damaged)


def _write_and_cut(place: Path, synchronous: str, seconds: float) -> int:
    """Let a process write, cut the power, and give the last offset that it had called safe by then."""
    command = [sys.executable, "-c", WRITER, str(place / "outbox.db"), synchronous]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        os.set_blocking(process.stdout.fileno(), True)
        time.sleep(seconds)
        handle = os.open(place, os.O_RDONLY)
        # What has been printed before the cut was called safe; what is printed after it may not be.
        before = [first, *_waiting(process)]
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(handle)
        process.kill()
    return int([line for line in before if line.strip()][-1])


def _waiting(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    raw = process.stdout.fileno()
    os.set_blocking(raw, False)
    chunks = []
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(raw, 1 << 20):
            chunks.append(chunk)
    text = b"".join(chunks).decode()
    return text[: text.rfind("\n") + 1].splitlines()


@contextlib.contextmanager
def _mounted(folder: Path) -> Any:  # noqa: ANN401 - Iterator of the mounted folder and a function to mount it again
    """Make an ext4 file system in a file and mount it; needs to be root."""
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE_MB * 2**20)
    _run("mkfs.ext4", "-q", "-F", str(image))
    _run("mount", "-o", "loop", str(image), str(place))

    def again() -> None:
        _run("umount", str(place))
        _run("mount", "-o", "loop", str(image), str(place))

    try:
        yield place, again
    finally:
        _run("umount", str(place))


def _run(*command: str) -> None:
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        msg = f"{command[0]} is not installed: apt-get install e2fsprogs mount"
        raise RuntimeError(msg)
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{' '.join(command)}: {done.stderr.strip()} (root is needed, and loop devices)"
        raise RuntimeError(msg)


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/power_cut.py --cuts 200 --json cuts.json (as root)"
    )
    parser.add_argument("--cuts", type=int, default=200, help="how often to cut the power, for each (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where, rng = machine(), random.Random(arguments.seed)  # noqa: S311 - no secret
    found = [cut_often(setting, arguments.cuts, rng) for setting in ("FULL", "NORMAL")]
    rows = [msgspec.to_builtins(outcome) for outcome in found]
    print(f"{machine_line(where)}\n")
    print(table(list(rows[0]), [row.values() for row in rows]))
    write_json(arguments.json, {"machine": where, "settings": rows})
    if not found[1].lost:
        print("NORMAL lost nothing, so this run proves nothing")
    return 1 if found[0].lost or not found[1].lost else 0


if __name__ == "__main__":
    sys.exit(main())
