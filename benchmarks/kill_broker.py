"""Kill Mosquitto, and the device with it, and count what a consumer has got: end-to-end beside plain PUBACK."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from device import Life, live
from measure import machine, machine_line, table, write_json
from rich.progress import Progress

CONSUMER = "archive"
SETTLE_SECONDS = 60.0
"""How long all that is safe may take to arrive once nothing is killed any more."""


@dataclass(frozen=True)
class Outcome:
    """What a mode of delivery has led to; `lost` are events that the outbox had called safe and no one got."""

    delivery: str
    broker_kills: int
    device_kills: int
    events: int
    lost: int
    seen_twice: int


class Mosquitto:
    """The real broker with its default persistence, on one port, started again after each kill."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._config = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true",
            f"persistence_location {folder}/", "max_queued_messages 100000",
        ]  # fmt: skip
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes the user mosquitto, who may not write here
        self._config.write_text("\n".join([*lines, ""]), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def extend(self, *lines: str) -> None:
        """Add lines to its configuration."""
        with self._config.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"
        self.process = subprocess.Popen([program, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        msg = "mosquitto does not listen"
        raise RuntimeError(msg)

    def stop(self) -> None:
        """End it in good order: it saves what it holds."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def kill_brokers(delivery: str, kills: int, rng: random.Random, rate: float, progress: Progress) -> Outcome:
    """Kill the broker `kills` times, every second time the device as well, and compare."""
    task = progress.add_task(delivery, total=kills)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        broker = Mosquitto(folder)
        broker.start()
        stack.callback(broker.kill)
        got = folder / "got.jsonl"
        consumer = stack.enter_context(_consumer(broker, got, end_to_end=delivery == "end-to-end"))
        stack.callback(consumer.kill)
        consumers = (CONSUMER,) if delivery == "end-to-end" else ()
        life = Life(
            f"mqtt://127.0.0.1:{broker.port}", str(folder / "state"), str(folder / "said.txt"), rate=rate, moment="",
            consumers=consumers, protocol="5",
        )  # fmt: skip
        device = _device(life)
        device_kills = 0
        for k in range(kills):
            time.sleep(rng.uniform(1.0, 2.5))
            broker.kill()
            if k % 2:
                device.kill()
                device.join()
                device_kills += 1
            time.sleep(rng.uniform(0, 0.3))
            broker.start()
            if k % 2:
                device = _device(life)
            progress.advance(task)
        time.sleep(2)
        device.kill()
        device.join()
        device = _device(replace(life, events=0, linger=SETTLE_SECONDS))
        device.join(SETTLE_SECONDS + 20)
        device.kill()
        said = set((folder / "said.txt").read_text().splitlines())
        _wait_for(got, said, 5.0)
        consumer.kill()
        return _judge(delivery, kills, device_kills, said, got)


def _judge(delivery: str, kills: int, device_kills: int, said: set[str], got: Path) -> Outcome:
    seen = Counter(_names(got))
    return Outcome(delivery, kills, device_kills, len(said), len(said - set(seen)), sum(seen.values()) - len(seen))


def _names(got: Path) -> list[str]:
    lines = [json.loads(line) for line in got.read_bytes().split(b"\n")[:-1]]
    return [f"{event['boot']} {event['seq']}" for event in lines]


def _wait_for(got: Path, said: set[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while said - set(_names(got)) and time.monotonic() < deadline:
        time.sleep(0.2)


def _consumer(broker: Mosquitto, got: Path, *, end_to_end: bool) -> subprocess.Popen[bytes]:
    """Start `touchline subscribe`, for which an event is committed when its line is written."""
    command = [sys.executable, "-m", "edge", "subscribe", f"mqtt://127.0.0.1:{broker.port}", "--json"]
    with got.open("wb") as out:
        return subprocess.Popen(
            [*command, *(["--consumer", CONSUMER] if end_to_end else [])], stdout=out, stderr=subprocess.DEVNULL
        )


def _device(life: Life) -> multiprocessing.context.ForkServerProcess:
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(["device"])
    process = warm.Process(target=live, args=(life,))
    process.start()
    return process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/kill_broker.py --kills 200 --json brokers.json"
    )
    parser.add_argument(
        "--kills", type=int, default=20, help="how often to kill the broker, in each mode (default: 20)"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="events a second (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where = machine()
    with Progress() as progress:
        rng = random.Random(arguments.seed)  # noqa: S311 - no secret
        found = [
            kill_brokers(mode, arguments.kills, rng, arguments.rate, progress) for mode in ("end-to-end", "broker")
        ]
    rows = [msgspec.to_builtins(outcome) for outcome in found]
    print(f"{machine_line(where)}\n")
    print(table(list(rows[0]), [row.values() for row in rows]))
    write_json(arguments.json, {"machine": where, "modes": rows})
    return 1 if found[0].lost else 0


if __name__ == "__main__":
    sys.exit(main())
