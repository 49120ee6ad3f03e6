"""Live 720p30: what one source costs beside its bare parts, four in one process, and how soon a decision has arrived.

A sender repeats ten prepared seconds (H.264 at 4 Mbit/s as a camera sends it, 48 kHz AAC) over UDP, `touchline run`
judges them and publishes to a Mosquitto on loopback, to which this process listens.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import backbones
import media
import numpy as np
from box import HERE, Box, Heard, cpu_seconds, wait
from live_bare import decode, invokes
from measure import cost, machine, machine_line, table, write_json
from rich.console import Console
from rich.progress import track

MOST_RATIO, MOST_DELAY_MS, LATE_MS = 1.2, 500.0, 1000.0
START_SECONDS, SETTLE_SECONDS = 90.0, 15
"""What a start may take; so many ticks of a source are not counted, in which it settles."""
BUNDLES: dict[str, Callable[[], Path | str]] = {"demo": lambda: "", "full": backbones.full_bundle}


@dataclass(frozen=True)
class Bench:
    """A running box with its senders and the process that judges."""

    box: Box
    process: subprocess.Popen[Any]

    def settle(self, sources: int) -> None:
        """Wait until all sources are judged, and some seconds more."""
        found = wait(lambda: len({tick.topic for tick in self.box.of("/tick")}) == sources, START_SECONDS)
        if found is None or self.process.poll() is not None:
            raise SystemExit((self.box.folder / "run.log").read_text())
        time.sleep(SETTLE_SECONDS)


def one(folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure processor time of the service and of its bare parts, both at it at the same time, in rounds.

    After each round the bare parts are also done as fast as they go, on the same stream as a file.
    """
    shows = media.live_shows()
    box = Box(folder)
    try:
        (_, url), (_, other) = box.sender(shows), box.sender(shows)
        bench = Bench(box, box.run(url))
        command = [sys.executable, str(HERE / "live_bare.py"), other.rpartition(":")[2], str(shows / "normal.ts")]
        bare = box.start(command, stdout=subprocess.PIPE, text=True)
        assert bare.stdout is not None
        bench.settle(1)
        assert bare.stdout.readline() == "ready\n"
        second = invokes(shows / "normal.ts")
        costs = [
            _round(bench.process.pid, bare.pid, seconds, lambda: decode(str(shows / "normal.ts"), second))
            for _ in track(range(rounds), "One source", console=Console(stderr=True))
        ]
        ticks = [heard.payload for heard in box.of("/tick")]
    finally:
        box.close()
    service, live, file = (statistics.median(column) for column in zip(*costs, strict=True))
    return {
        "rounds": rounds,
        "cpu_ms_per_second": {"service": round(service, 1), "bare": round(live, 1), "bare_from_file": round(file, 1)},
        "ratio": round(statistics.median(ours / others for ours, others, _ in costs), 3),
        "ratios": [round(ours / others, 3) for ours, others, _ in costs],
        "ratio_to_file": round(statistics.median(ours / others for ours, _, others in costs), 3),
        "modes": sorted({tick["mode"] for tick in ticks}),
    }


def _round(service: int, bare: int, seconds: float, from_file: Callable[[], object]) -> tuple[float, float, float]:
    """Give CPU milliseconds a second of media: of the service, of the bare parts live and as fast as they go."""
    began, before = time.monotonic(), [cpu_seconds(pid) for pid in (service, bare)]
    time.sleep(seconds)
    after, passed = [cpu_seconds(pid) for pid in (service, bare)], time.monotonic() - began
    live = [1000 * (late - early) / passed for early, late in zip(before, after, strict=True)]
    return live[0], live[1], cost(from_file).cpu_ms / media.LIVE_LOOP_SECONDS


def many(folder: Path, seconds: float, sources: int, bundle: str, cores: int) -> dict[str, Any]:
    """Let one process judge several sources and count what comes late, what not at all, and in which mode."""
    shows, path = media.live_shows(), str(BUNDLES[bundle]())
    box = Box(folder)
    try:
        bench = Bench(box, box.run(*(box.sender(shows)[1] for _ in range(sources)), bundle=path, cores=cores))
        bench.settle(sources)
        began, before = time.monotonic(), cpu_seconds(bench.process.pid)
        for _ in track(range(round(seconds)), f"{sources} sources", console=Console(stderr=True)):
            time.sleep(1)
        share = (cpu_seconds(bench.process.pid) - before) / (time.monotonic() - began)
        ticks = sorted(box.of("/tick"), key=lambda heard: heard.steady)
    finally:
        box.close()
    counted = [heard for heard in ticks if heard.steady > began]
    starts = {
        topic: [h.payload["media_start"] for h in counted if h.topic == topic] for topic in {h.topic for h in ticks}
    }
    first = ticks[0].steady
    changes = [(mode, next(group)) for mode, group in groupby(ticks, key=lambda heard: heard.payload["mode"])]
    return {
        "sources": sources,
        "bundle": bundle,
        "cores": cores or machine()["cores"],
        "cpu_cores_used": round(share, 2),
        "seconds_judged": len(counted),
        "seconds_missing": sum(round(s[-1] - s[0]) + 1 - len(s) for s in starts.values() if s),
        "seconds_late": sum(_decided_ms(heard) > LATE_MS for heard in counted),
        "end_to_decision_ms": _percentiles([_decided_ms(heard) for heard in counted]),
        "modes": {
            mode: sum(h.payload["mode"] == mode for h in counted) for mode in {h.payload["mode"] for h in counted}
        },
        "modes_in_order": [(round(heard.steady - first), mode) for mode, heard in changes],
    }


def delay(folder: Path, seconds: float) -> dict[str, Any]:
    """Measure from the end of each second of media to the arrival of its tick here."""
    box = Box(folder)
    try:
        _, url = box.sender(media.live_shows())
        bench = Bench(box, box.run(url))
        bench.settle(1)
        seen = len(box.of("/tick"))
        for _ in track(range(round(seconds)), "Delay", console=Console(stderr=True)):
            time.sleep(1)
        ticks = box.of("/tick")[seen:]
    finally:
        box.close()
    return {
        "seconds": len(ticks),
        "end_to_arrival_ms": _percentiles([_arrived_ms(heard) for heard in ticks]),
        "end_to_decision_ms": _percentiles([_decided_ms(heard) for heard in ticks]),
    }


def _arrived_ms(heard: Heard) -> float:
    """From the end of a second, which its tick tells, to its arrival: both by the wall clock of this machine."""
    return 1000 * (heard.wall - heard.payload["start_ns"] / 1e9 - 1)


def _decided_ms(heard: Heard) -> float:
    return float(heard.payload["latency_ms"]["end_to_decision"])


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 99, 100)}


def report(found: dict[str, Any]) -> str:
    """Lay the figures out for a person."""
    rows: list[tuple[object, ...]] = []
    if (cost_ := found.get("one")) is not None:
        shares = cost_["cpu_ms_per_second"]
        rows += [(f"one source, CPU ms a second: {name}", shares[key], "") for name, key in (
            ("the service", "service"), ("bare, live", "bare"), ("bare, from a file", "bare_from_file")
        )]  # fmt: skip
        rows += [("the service to the bare parts, live", cost_["ratio"], _verdict(cost_["ratio"] <= MOST_RATIO))]
        rows += [("the service to the bare parts, from a file", cost_["ratio_to_file"], "")]
    if (several := found.get("many")) is not None:
        name = f"{several['sources']} sources, {several['cores']} cores"
        kept = several["seconds_late"] == several["seconds_missing"] == 0
        rows += [
            (
                f"{name}: seconds late, missing",
                f"{several['seconds_late']}, {several['seconds_missing']}",
                _verdict(kept),
            )
        ]
        rows += [(f"{name}: of seconds judged", several["seconds_judged"], "")]
        rows += [(f"{name}: modes", ", ".join(f"{mode} {count}" for mode, count in several["modes"].items()), "")]
        rows += [(f"{name}: cores used", several["cpu_cores_used"], "")]
        rows += [(f"{name}: end to decision, ms, p50 / p99", _pair(several["end_to_decision_ms"]), "")]
    if (arrival := found.get("delay")) is not None:
        good = arrival["end_to_arrival_ms"]["p99"] <= MOST_DELAY_MS
        rows += [("end of second to arrival, ms, p50 / p99", _pair(arrival["end_to_arrival_ms"]), _verdict(good))]
        rows += [("end of second to decision, ms, p50 / p99", _pair(arrival["end_to_decision_ms"]), "")]
    return table(("720p30, live", "figure", "target"), rows)


def _pair(found: dict[str, float]) -> str:
    return f"{found['p50']} / {found['p99']}"


def _verdict(good: bool) -> str:  # noqa: FBT001 - its only argument
    return "met" if good else "MISSED"


def main() -> int:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/live.py --parts one,delay --json live.json"
    )
    parser.add_argument("--parts", default="one,many,delay", help="of one, many, delay (default: all)")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each part (default: 120)")
    parser.add_argument("--rounds", type=int, default=12, help="of `one`; the median counts (default: 12)")
    parser.add_argument("--sources", type=int, default=4, help="of `many` (default: 4)")
    parser.add_argument("--bundle", choices=BUNDLES, default="demo", help="of `many` (default: demo)")
    parser.add_argument("--cores", type=int, default=0, help="for the service of `many` (default: all)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := [part for part in parts if part not in ("one", "many", "delay")]:
        parser.error(f"no part {unknown[0]!r}; there are one, many, delay")
    about = machine()
    print(machine_line(about), flush=True)
    work: dict[str, Callable[[Path], dict[str, Any]]] = {
        "one": lambda folder: one(folder, arguments.rounds, arguments.seconds / arguments.rounds),
        "many": lambda folder: many(
            folder, arguments.seconds, arguments.sources, arguments.bundle, arguments.cores
        ),
        "delay": lambda folder: delay(folder, arguments.seconds),
    }  # fmt: skip
    found: dict[str, Any] = {}
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            found[part] = work[part](Path(folder))
    print(report(found))
    if "many" in found:
        print(f"\nModes, from second on: {found['many']['modes_in_order']}")
    write_json(arguments.json, {"machine": about, **found})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
