"""A thousand events a second, bursts, and a kill while the broker is away: ours, plain paho, Mosquitto's bridge."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from device import NODE, SOURCE, Life, event, live
from kill_broker import Mosquitto
from measure import machine, machine_line, table, write_json
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.messages import encode

TOPIC = f"touchline/{NODE}/{SOURCE}/event"
DRAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Load:
    """Events a second, for how many seconds, and how many at once after that."""

    rate: float
    seconds: float
    burst: int


@dataclass(frozen=True)
class Outcome:
    """One way to publish: events produced until the kill and after it, those that never arrived, and the costs.

    `enqueue_p99_ms` is how long the producer waits for one event; `cores` is processor time over time.
    """

    way: str
    events: int
    lost: int
    duplicates: int
    enqueue_p99_ms: float
    cores: float


def paced(publish: Any, load: Load, out: str, boot: str) -> None:  # noqa: ANN401
    """Publish at a rate, then a burst; write down each event that was handed over, and what it took."""
    began, spent, cpu = time.monotonic(), [], time.process_time()
    with Path(out).open("a", buffering=1, encoding="utf-8") as file:
        for seq in range(1, round(load.rate * load.seconds) + load.burst + 1):
            one = event(boot, seq)
            before = time.perf_counter()
            publish(one)
            spent.append(time.perf_counter() - before)
            file.write(f"{boot} {seq}\n")
            if seq <= load.rate * load.seconds:
                time.sleep(max(0.0, began + seq / load.rate - time.monotonic()))
    took = time.monotonic() - began
    spent.sort()
    figures = {"p99": 1000 * spent[len(spent) * 99 // 100], "cores": (time.process_time() - cpu) / took}
    Path(f"{out}.json").write_text(json.dumps(figures), encoding="utf-8")


def ours(life: Life, load: Load) -> None:
    """Publish by the real publisher and outbox."""
    from device import open_publisher

    publisher = open_publisher(life)
    paced(publisher, load, f"{life.acknowledged}.handed", publisher.boot)
    deadline = time.monotonic() + DRAIN_SECONDS
    while publisher.queued and time.monotonic() < deadline:
        time.sleep(0.05)
    publisher.close()


def plain(port: int, out: str, load: Load, boot: str) -> None:
    """Publish by paho alone, with its queue in memory."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="plain")
    client.max_inflight_messages_set(20)
    client.connect("127.0.0.1", port)
    client.loop_start()
    last: list[Any] = []

    def publish(one: Any) -> None:  # noqa: ANN401 - an EventMessage
        last[:] = [client.publish(TOPIC, encode(one), qos=1)]

    paced(publish, load, out, boot)
    last[0].wait_for_publish(DRAIN_SECONDS)
    client.disconnect()


def measure(way: str, load: Load) -> Outcome:
    """Publish in one way, undisturbed for the figures, then once more with a kill while the broker is away."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "far").mkdir()
        far = Mosquitto(folder / "far")
        far.start()
        stack.callback(far.kill)
        near = _bridge(folder, far, stack) if way == "mosquitto's bridge" else far
        got: Counter[str] = Counter()
        _listen(far.port, got, stack)
        said = folder / "said.txt"
        life = Life(f"mqtt://127.0.0.1:{near.port}", str(folder / "state"), str(said), moment="", protocol="5")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["event_rate"])

        def process(boot: str) -> Any:  # noqa: ANN401 - a process
            if way == "ours":
                return context.Process(target=ours, args=(life, load))
            return context.Process(target=plain, args=(near.port, str(said), load, boot))

        first = process("one")
        first.start()
        first.join()
        second = process("two")
        second.start()
        time.sleep(load.seconds / 2)
        far.stop()
        time.sleep(1)  # in which messages wait
        if way == "mosquitto's bridge":
            near.kill()  # there it is what holds the messages
        second.kill()
        second.join()
        far.start()
        if near is not far:
            near.start()
        if way == "ours":
            last = context.Process(target=live, args=(replace(life, events=0, linger=DRAIN_SECONDS),))
            last.start()
            last.join()
        _wait_until_quiet(got)
        safe = set(said.read_text().splitlines())
        figures = json.loads(Path(f"{said}.handed.json" if way == "ours" else f"{said}.json").read_text())
    return Outcome(
        way, len(safe), len(safe - set(got)), sum(got.values()) - len(got), round(figures["p99"], 3),
        round(figures["cores"], 2),
    )  # fmt: skip


def _bridge(folder: Path, far: Mosquitto, stack: ExitStack) -> Mosquitto:
    (folder / "near").mkdir()
    near = Mosquitto(folder / "near")
    near.extend(
        "connection far", f"address 127.0.0.1:{far.port}", "topic # out 1", "cleansession false", "restart_timeout 1",
        "try_private false",
    )  # fmt: skip
    near.start()
    stack.callback(near.kill)
    time.sleep(1)
    return near


def _listen(port: int, got: Counter[str], stack: ExitStack) -> None:
    """Count what arrives, by boot and seq, in a client of another kind: mosquitto_sub."""
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", TOPIC, "-q", "1", "-i", "count", "-c"]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    stream = process.stdout

    def read() -> None:
        for line in stream:
            message = json.loads(line)
            got[f"{message['boot']} {message['seq']}"] += 1

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.5)


def _wait_until_quiet(got: Counter[str]) -> None:
    before = -1
    while before != (now := sum(got.values())):
        before = now
        time.sleep(2)


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/event_rate.py --seconds 300 --json rate.json"
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="how long, before the burst (default: 300)")
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second (default: 1000)")
    parser.add_argument("--burst", type=int, default=10_000, help="events at once at the end (default: 10000)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where = machine()
    os.environ["PATH"] += ":/usr/sbin"
    ways = ("ours", "plain paho", "mosquitto's bridge")
    load = Load(arguments.rate, arguments.seconds, arguments.burst)
    found = [measure(way, load) for way in ways]
    rows = [msgspec.to_builtins(outcome) for outcome in found]
    print(f"{machine_line(where)}\n")
    print(table(list(rows[0]), [row.values() for row in rows]))
    write_json(arguments.json, {"machine": where, "ways": rows})
    return 1 if found[0].lost else 0


if __name__ == "__main__":
    sys.exit(main())
