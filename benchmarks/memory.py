"""Memory of `touchline run` over an hour-long recording, and how long the command takes to start.

The command runs as a process of its own, as fast as it can; its resident memory is read from /proc while it does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import media
import numpy as np
from measure import machine, machine_line, table, write_json

from edge.bundle import DEMO

ROOT = Path(__file__).resolve().parents[1]
LIMIT_MB = 300
STARTS = 5
COMMAND = (sys.executable, "-m", "edge")


@dataclass(frozen=True)
class Sample:
    """Resident memory at one moment, in MiB, with the seconds of media judged by then."""

    judged: int
    rss: float
    anonymous: float


def watch(url: str, bundle: str, interval_seconds: float) -> dict[str, Any]:
    """Run the command over a recording and sample its memory to the end."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "messages.jsonl"
        command = [*COMMAND, "run", url, "--bundle", bundle, "--pace", "fast", "--quiet", "--jsonl", str(lines)]
        began, samples, peak = time.monotonic(), [], 0.0
        with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
            ticks = _Ticks(lines)
            while process.poll() is None:
                high = _status(process.pid, "VmHWM")
                peak = max(peak, high)
                if ticks.count() and high:
                    found = _status(process.pid, "VmRSS"), _status(process.pid, "RssAnon")
                    samples.append(Sample(ticks.seen, *found))
                time.sleep(interval_seconds)
        took, judged = time.monotonic() - began, ticks.count()
    if process.returncode or len(samples) < 3:
        msg = f"the command ended with {process.returncode} after {judged} seconds of media, {len(samples)} samples"
        raise RuntimeError(msg)
    return summary([s for s in samples if s.rss], peak, judged, took)


def summary(samples: list[Sample], peak_mib: float, judged: int, took_seconds: float) -> dict[str, Any]:
    """Fit a line to the memory after the first tenth of the media; its slope is per hour of media."""
    settled = [sample for sample in samples if sample.judged >= judged / 10]
    hours = np.array([sample.judged for sample in settled]) / 3600

    def slope(values: list[float]) -> float:
        return round(float(np.polyfit(hours, values, 1)[0]), 2) if len({*hours}) > 1 else 0.0

    return {
        "seconds": judged,
        "took_seconds": round(took_seconds, 2),
        "real_time_factor": round(took_seconds / judged, 5),
        "peak_mb": round(peak_mib * 1.048576, 1),
        "settled_mb": round(float(np.median([sample.rss for sample in settled])) * 1.048576, 1),
        "first_mb": round(settled[0].rss * 1.048576, 1),
        "last_mb": round(settled[-1].rss * 1.048576, 1),
        "slope_mib_per_hour": slope([sample.rss for sample in settled]),
        "slope_anonymous_mib_per_hour": slope([sample.anonymous for sample in settled]),
        "samples": len(samples),
    }


class _Ticks:
    """Counts the seconds judged so far by the lines that the command writes."""

    def __init__(self, path: Path) -> None:
        self.seen = 0
        self._path = path
        self._at = 0

    def count(self) -> int:
        """Read on from where the last call ended."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
            self._at += len(new)
            self.seen += new.count(b'"tick/1"')
        return self.seen


def _status(pid: int, field: str) -> float:
    """Read a memory field of a process in MiB; 0 when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def environment() -> dict[str, str]:
    """Let the command be found in this checkout, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def starts() -> dict[str, float]:
    """Time starting Python alone, with `import edge`, and `touchline --help`: the best of five each, in seconds."""
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "import edge": [sys.executable, "-c", "import edge"],
        "touchline --help": [*COMMAND, "--help"],
    }
    best = {}
    for name, command in commands.items():
        took = []
        for _ in range(STARTS):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
            took.append(time.perf_counter() - began)
        best[name] = round(min(took), 4)
    return best


def report(memory: dict[str, Any], start: dict[str, float]) -> str:
    """Lay the figures out for a person."""
    rows = [
        ("media judged", f"{memory['seconds']} s in {memory['took_seconds']:.1f} s"),
        ("real-time factor", f"{memory['real_time_factor']:.4f}"),
        (f"peak RSS (at most {LIMIT_MB} MB)", f"{memory['peak_mb']:.1f} MB"),
        ("RSS after a tenth, median, at the end",
         f"{memory['first_mb']:.1f}, {memory['settled_mb']:.1f}, {memory['last_mb']:.1f} MB"),
        ("slope after the first tenth", f"{memory['slope_mib_per_hour']:+.2f} MiB per hour of media"),
        ("of that anonymous memory", f"{memory['slope_anonymous_mib_per_hour']:+.2f} MiB per hour of media"),
        *((f"start: {name}", f"{seconds:.3f} s") for name, seconds in start.items()),
    ]  # fmt: skip
    return f"\n{table(('', 'found'), rows)}\n"


def main() -> int:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/memory.py --minutes 60 --json memory.json"
    )
    parser.add_argument("--minutes", type=float, default=60, help="length of the recording (default: 60)")
    parser.add_argument("--bundle", metavar="DIR", default=str(DEMO), help="models (default: the shipped ones)")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between samples (default: 0.25)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "start_seconds": starts()}
    print(machine_line(found["machine"]), flush=True)
    url = str(media.long_recording(arguments.minutes))
    found["memory"] = watch(url, arguments.bundle, arguments.interval)
    print(report(found["memory"], found["start_seconds"]))
    write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
