"""Twelve bad networks between the device and a judge that syncs what it sees: nothing may be lost on any."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from device import NODE, SOURCE, Life, live
from measure import machine, machine_line, table, write_json
from oracle import arrivals
from proxy import Proxy, Toxics
from rich.progress import track

from edge.messages import read_event

Script = Callable[[Proxy, random.Random, float], None]
HERE = Path(__file__).parent
DRAIN_SECONDS = 120.0


def steady(toxics: Toxics) -> Script:
    """Give a profile that is the same all the time."""

    def play(proxy: Proxy, _rng: random.Random, seconds: float) -> None:
        proxy.toxics = toxics
        time.sleep(seconds)

    return play


def on_and_off(toxics: Toxics, longest: float) -> Script:
    """Give a profile that comes and goes, each time for up to `longest` seconds."""

    def play(proxy: Proxy, rng: random.Random, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            proxy.toxics = toxics
            time.sleep(rng.uniform(0.1, longest))
            proxy.toxics = Toxics()
            time.sleep(rng.uniform(0.1, longest))

    return play


def resets(every: float, toxics: Toxics = Toxics()) -> Script:  # noqa: B008 - frozen
    """Give a profile that cuts all connections again and again."""

    def play(proxy: Proxy, rng: random.Random, seconds: float) -> None:
        end, proxy.toxics = time.monotonic() + seconds, toxics
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.2, every))
            proxy.reset()

    return play


PROFILES: dict[str, Script] = {
    "clean": steady(Toxics()),
    "satellite, 300 ms each way": steady(Toxics(delay=0.3)),
    "modem, 8 kB/s": steady(Toxics(bandwidth=8000)),
    "slices of 3 bytes": steady(Toxics(slice_bytes=3)),
    "resets": resets(1.5),
    "resets on 100 ms": resets(1.5, Toxics(delay=0.1)),
    "flapping": on_and_off(Toxics(refuse=True), 1.0),
    "silence, on and off": on_and_off(Toxics(silent=True), 2.0),
    "half-open": on_and_off(Toxics(deaf=True), 2.0),
    "no acknowledgements, on and off": on_and_off(Toxics(no_puback=True), 1.5),
    "no acknowledgements, then resets": resets(2.0, Toxics(no_puback=True)),
    "modem of 50 ms with resets": resets(2.0, Toxics(delay=0.05, bandwidth=20_000)),
}


@dataclass(frozen=True)
class Outcome:
    """One profile: events that the outbox had called safe, those never seen, repeats, and how long the rest took."""

    profile: str
    events: int
    lost: int
    duplicates: int
    drained_seconds: float


def endure(profile: str, seconds: float, rng: random.Random, rate: float) -> Outcome:
    """Let a device publish through a profile, then let it drain over a clean network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, said = folder / "arrivals.jsonl", folder / "said.txt"
        command = [sys.executable, str(HERE / "oracle.py"), str(log)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as oracle:
            assert oracle.stdout is not None
            proxy = Proxy(int(oracle.stdout.readline()))
            life = Life(
                f"mqtt://127.0.0.1:{proxy.port}", str(folder / "state"), str(said), rate=rate, moment="",
                events=max(1, round(seconds * rate)), linger=DRAIN_SECONDS,
            )  # fmt: skip
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["device"])
            process = context.Process(target=live, args=(life,))
            process.start()
            PROFILES[profile](proxy, rng, seconds)
            proxy.toxics = replace(proxy.toxics, silent=False, deaf=False, no_puback=False, refuse=False)
            began = time.monotonic()
            process.join(DRAIN_SECONDS + 20)
            drained = time.monotonic() - began
            process.kill()
            proxy.close()
            oracle.terminate()
        topic = f"touchline/{NODE}/{SOURCE}/event"
        events = [read_event(one.payload) for one in arrivals(log) if one.topic == topic]
        seen = [f"{event.boot} {event.seq}" for event in events]
        safe = set(said.read_text().splitlines())
    return Outcome(profile, len(safe), len(safe - set(seen)), len(seen) - len(set(seen)), round(drained, 1))


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/network_profiles.py --seconds 30 --json networks.json"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each profile lasts (default: 30)")
    parser.add_argument("--rate", type=float, default=30.0, help="events a second (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where, rng = machine(), random.Random(arguments.seed)  # noqa: S311 - no secret
    found = [endure(name, arguments.seconds, rng, arguments.rate) for name in track(PROFILES, description="networks")]
    rows = [msgspec.to_builtins(outcome) for outcome in found]
    print(f"{machine_line(where)}\n")
    print(table(list(rows[0]), [row.values() for row in rows]))
    write_json(arguments.json, {"machine": where, "profiles": rows})
    return 1 if any(outcome.lost for outcome in found) else 0


if __name__ == "__main__":
    sys.exit(main())
