"""`touchline run` on a looped live source for an hour: late seconds, memory, threads, files, processes left over."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from box import MATCH, Box, make_shows, usage, wait
from measure import machine, machine_line, write_json

LATE_MS = 1000.0
"""A second decided later than this after its end is late: the next one is over."""
EVERY_SECONDS = 10.0


def soak(folder: Path, minutes: float, source: Path, size: str) -> dict[str, Any]:
    """Run for so long; the first tenth, at least a minute, is warm-up."""
    box = Box(folder)
    try:
        _, url = box.sender(make_shows(Path("build/benchmarks") / f"shows-{size or 'match'}", source, size))
        process = box.run(url)
        if wait(lambda: box.of("/tick"), 60) is None:
            raise SystemExit((folder / "run.log").read_text())
        began = time.monotonic()
        samples = []
        while time.monotonic() - began < 60 * minutes:
            time.sleep(EVERY_SECONDS)
            samples.append((time.monotonic() - began, usage(process.pid)))
        ticks = [heard.payload for heard in box.of("/tick")]
        process.terminate()
        stopped = wait(lambda: process.poll() is not None, 30)
    finally:
        box.close()
    return {**_summary(samples, ticks, minutes), "stop_seconds": stopped}


def _summary(
    samples: list[tuple[float, dict[str, float]]], ticks: list[dict[str, Any]], minutes: float
) -> dict[str, Any]:
    warm = [(at, used) for at, used in samples if at > max(60.0, 6 * minutes)]
    hours = np.array([at / 3600 for at, _ in warm])
    memory = np.array([used["mib"] for _, used in warm])
    starts = [tick["media_start"] for tick in ticks]
    delays = np.array([tick["latency_ms"]["end_to_decision"] for tick in ticks[2:]])
    return {
        "minutes": minutes,
        "seconds_judged": len(ticks),
        "seconds_missing": round(starts[-1] - starts[0]) + 1 - len(starts),
        "seconds_late": int((delays > LATE_MS).sum()),
        "end_to_decision_ms": {f"p{p}": round(float(np.percentile(delays, p)), 1) for p in (50, 99, 100)},
        "modes": {mode: sum(tick["mode"] == mode for tick in ticks) for mode in {tick["mode"] for tick in ticks}},
        "anonymous_mib": [round(float(memory[0]), 1), round(float(memory[-1]), 1)],
        "slope_mib_per_hour": round(float(np.polyfit(hours, memory, 1)[0]), 2),
        "threads": [warm[0][1]["threads"], warm[-1][1]["threads"]],
        "files": [warm[0][1]["files"], warm[-1][1]["files"]],
    }


def main() -> int:
    """Soak and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/soak.py --minutes 60 --json soak.json"
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--source", type=Path, default=MATCH, help="a recording to be looped (default: the example)")
    parser.add_argument("--size", default="", metavar="WxH", help="of its pictures (default: as they are)")
    parser.add_argument("--json", metavar="F")
    arguments = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), arguments.minutes, arguments.source, arguments.size)
    print(machine_line(about))
    for name, value in found.items():
        print(f"{name}: {value}")
    write_json(arguments.json, {"machine": about, **found})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
