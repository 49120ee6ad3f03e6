"""The broker is away for 72 hours at one event a second: what waits, and how live events fare while it drains."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from device import NODE, SOURCE, Life, event, live
from kill_broker import Mosquitto
from measure import machine, machine_line, write_json
from rich.progress import Progress

from edge.messages import encode
from edge.outbox import Outbox

TOPIC = f"touchline/{NODE}/{SOURCE}/event"
OLD = "old"
STALLED_SECONDS = 60.0


@dataclass(frozen=True)
class Arrival:
    """An event that came, of which start of the device; when it began and arrived, by the wall clock."""

    boot: str
    seq: int
    began: float
    arrived: float


@dataclass(frozen=True)
class Outcome:
    """Megabytes on disk, seconds and order of the drain, and milliseconds from a live event to its arrival.

    Live is what begins once the broker is back for sure: what the device makes while it still connects has its turn
    behind all that waited.
    """

    events: int
    disk_mb: float
    drain_seconds: float
    lost: int
    duplicates: int
    out_of_order: int
    live_events: int
    live_p99_ms: float


def drain(events: int, rate: float) -> Outcome:
    """Fill an outbox, connect, and watch it drain while live events come at a rate."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        disk = _fill(folder / "state" / f"outbox-{NODE}-{SOURCE}.db", events)
        broker = Mosquitto(folder)
        broker.start()
        stack.callback(broker.kill)
        came: list[Arrival] = []
        _listen(broker.port, came, stack)
        life = Life(
            f"mqtt://127.0.0.1:{broker.port}", str(folder / "state"), str(folder / "said.txt"), rate=rate, moment="",
            protocol="5",
        )  # fmt: skip
        device = multiprocessing.get_context("forkserver").Process(target=live, args=(life,))
        began = time.monotonic()
        device.start()
        stack.callback(device.kill)
        _wait(came, events)
        took = time.monotonic() - began
        device.kill()
        time.sleep(1)
    old = [message.seq for message in came if message.boot == OLD]
    back = min(message.arrived for message in came)
    waits = sorted(m.arrived - m.began for m in came if m.boot != OLD and m.began > back)
    return Outcome(
        events, round(disk, 1), round(took, 1), events - len(set(old)), len(old) - len(set(old)),
        sum(b < a for a, b in pairwise(old)), len(waits),
        round(1000 * waits[len(waits) * 99 // 100], 1),
    )  # fmt: skip


def _fill(file: Path, events: int) -> float:
    """Put what the hours would have brought; the clock plays no part in what it takes."""
    box = Outbox(file)
    for seq in range(1, events + 1):
        done = box.put(f"{SOURCE}/event", encode(event(OLD, seq)), boot=OLD, seq=seq)
        if seq % 5000 == 0:
            done.result()
    box.close()
    return sum(part.stat().st_size for part in file.parent.iterdir()) / 2**20


def _listen(port: int, came: list[Arrival], stack: ExitStack) -> None:
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", TOPIC, "-q", "1"]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    stream = process.stdout

    def read() -> None:
        for line in stream:
            message = json.loads(line)
            came.append(Arrival(message["boot"], message["seq"], message["start_ns"] / 1e9, time.time()))

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.5)


def _wait(came: list[Arrival], events: int) -> None:
    """Wait until all that waited has come, or nothing comes any more."""
    with Progress() as progress:
        task = progress.add_task("draining", total=events)
        seen, old, since = 0, 0, time.monotonic()
        while old < events and time.monotonic() < since + STALLED_SECONDS:
            time.sleep(0.2)
            fresh = sum(message.boot == OLD for message in came[seen:])
            seen = len(came)
            if fresh:
                old, since = old + fresh, time.monotonic()
                progress.update(task, completed=old)


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/long_outage.py --hours 72 --json outage.json"
    )
    parser.add_argument("--hours", type=float, default=72.0, help="of one event a second (default: 72)")
    parser.add_argument("--rate", type=float, default=5.0, help="live events a second during the drain (default: 5)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where = machine()
    outcome = drain(round(arguments.hours * 3600), arguments.rate)
    print(machine_line(where))
    for name, value in msgspec.to_builtins(outcome).items():
        print(f"{name.replace('_', ' ')}: {value}")
    write_json(arguments.json, {"machine": where, **msgspec.to_builtins(outcome)})
    return 1 if outcome.lost or outcome.out_of_order else 0


if __name__ == "__main__":
    sys.exit(main())
