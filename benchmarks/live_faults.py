"""Faults of live sources, again and again: how soon each is said in MQTT health, how soon all is well after its end."""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from box import MATCH, Box, make_shows, wait
from measure import machine, machine_line, table, write_json
from rich.console import Console
from rich.progress import Progress

FLAG_SECONDS, RECOVER_SECONDS = 3.0, 5.0


@dataclass(frozen=True)
class Fault:
    """What the sender is told, the states that may say it, and what ends it; one that has no end is over by itself."""

    begin: str
    states: tuple[str, ...]
    end: str = ""


FAULTS = {
    "unplugged": Fault("stop", ("stalled", "offline"), "go"),
    "black": Fault("show black", ("black",), "show normal"),
    "frozen": Fault("show frozen", ("frozen",), "show normal"),
    "1 picture a second": Fault("show slow", ("slow",), "show normal"),
    "silent": Fault("show silent", ("silent",), "show normal"),
    "other resolution": Fault("show small", ("resolution",)),
    "time stamps back": Fault("jump -20", ("timestamps",)),
    "time stamps ahead": Fault("jump 30", ("timestamps",)),
    "sound 200 ms late": Fault("shift 0.2", ("av_offset",), "shift 0"),
    "sound 200 ms early": Fault("shift -0.2", ("av_offset",), "shift 0"),
}


@dataclass
class Patient:
    """A source whose sender is told of faults, and what came of each: seconds until it was said, until it was over."""

    box: Box
    sender: subprocess.Popen[str]
    component: str
    found: list[tuple[str, float | None, float | None]] = field(default_factory=list)

    def suffer(self, names: Sequence[str], rng: random.Random, done: Callable[[], None]) -> None:
        """Go through faults; each lasts 1 to 3 s after it was said, and what is usual is learnt anew before it."""
        for name in names:
            time.sleep(4)
            self.found.append((name, *self._cycle(FAULTS[name], rng.uniform(1, 3))))
            done()

    def _cycle(self, fault: Fault, hold_seconds: float) -> tuple[float | None, float | None]:
        self._tell(fault.begin)
        said = wait(lambda: self._is(*fault.states), 3 * FLAG_SECONDS)
        time.sleep(hold_seconds if fault.end else 0)
        self._tell(fault.end)
        over = wait(lambda: self._is("online"), 3 * RECOVER_SECONDS)
        if fault.begin == "show small":  # the way back is the same fault once more
            self._tell("show normal")
            wait(lambda: self._is(*fault.states), FLAG_SECONDS)
            wait(lambda: self._is("online"), 3 * RECOVER_SECONDS)
        return said, over

    def _is(self, *states: str) -> bool:
        return self.box.state(self.component) in states

    def _tell(self, line: str) -> None:
        """Order something of the sender; an empty line is nothing."""
        assert self.sender.stdin is not None
        self.sender.stdin.write(line + "\n")
        self.sender.stdin.flush()


def run(folder: Path, cycles: int, sources: int, seed: int) -> dict[str, Any]:
    """Let so many sources of one process go through the faults, each in an order of its own."""
    box = Box(folder)
    shows = make_shows(Path("build/benchmarks") / "shows-match", MATCH)
    try:
        senders = [box.sender(shows) for _ in range(sources)]
        process = box.run(*(url for _, url in senders))
        names = [url.removeprefix("udp://").replace(".", "-").replace(":", "-") for _, url in senders]
        components = ["source"] if sources == 1 else [f"source-{name}" for name in names]
        patients = [Patient(box, sender, each) for (sender, _), each in zip(senders, components, strict=True)]
        if wait(lambda: all(box.state(each) == "online" for each in components), 90) is None:
            raise SystemExit((folder / "run.log").read_text())
        _go_through(patients, cycles, seed)
        alive = process.poll() is None
        lives = {(heard.topic, heard.payload["boot"]) for heard in box.of("/tick")}
    finally:
        box.close()
    found = [cycle for patient in patients for cycle in patient.found]
    return {
        "cycles": len(found),
        "sources": sources,
        "alive": alive and len(lives) == sources,
        "faults": _summary(found),
    }


def _go_through(patients: Sequence[Patient], cycles: int, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    names = [name for _ in range(-(-cycles // len(FAULTS))) for name in rng.sample(list(FAULTS), len(FAULTS))][:cycles]
    with Progress(console=Console(stderr=True)) as progress, ThreadPoolExecutor(len(patients)) as pool:
        task = progress.add_task("Faults", total=cycles)
        work = [
            pool.submit(patient.suffer, names[k :: len(patients)], rng, lambda: progress.advance(task))
            for k, patient in enumerate(patients)
        ]
        for each in work:
            each.result()


def _summary(found: Sequence[tuple[str, float | None, float | None]]) -> dict[str, dict[str, Any]]:
    summary: dict[str, dict[str, Any]] = {}
    for name in FAULTS:
        said = [said for fault, said, _ in found if fault == name and said is not None]
        over = [over for fault, _, over in found if fault == name and over is not None]
        summary[name] = {
            "cycles": sum(fault == name for fault, _, _ in found),
            "said_in_time": sum(seconds <= FLAG_SECONDS for seconds in said),
            "over_in_time": sum(seconds <= RECOVER_SECONDS for seconds in over),
            "said_seconds": [round(value, 2) for value in (statistics.median(said), max(said))] if said else [],
            "over_seconds": [round(value, 2) for value in (statistics.median(over), max(over))] if over else [],
        }
    return summary


def report(found: dict[str, Any]) -> str:
    """Lay the result out: medians and worst."""
    rows = [
        (
            name,
            each["cycles"],
            each["said_in_time"],
            " / ".join(map(str, each["said_seconds"])),
            each["over_in_time"],
            " / ".join(map(str, each["over_seconds"])),
        )
        for name, each in found["faults"].items()
    ]
    head = ("fault", "cycles", "said in 3 s", "s, median / worst", "over in 5 s", "s, median / worst")
    return table(head, rows)


def main() -> int:
    """Run the faults; exit 1 if one was not said or not over in time."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/live_faults.py --cycles 200 --json faults.json"
    )
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--sources", type=int, default=4, help="of one process, each with its faults (default: 4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="F")
    arguments = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), arguments.cycles, arguments.sources, arguments.seed)
    print(machine_line(about))
    print(report(found))
    print(f"one process for all of it: {found['alive']}")
    write_json(arguments.json, {"machine": about, **found})
    missed = [
        name
        for name, each in found["faults"].items()
        if min(each["said_in_time"], each["over_in_time"]) < each["cycles"]
    ]
    return int(bool(missed) or not found["alive"])


if __name__ == "__main__":
    raise SystemExit(main())
