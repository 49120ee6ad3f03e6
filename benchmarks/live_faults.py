"""Faults of live sources, again and again: how soon each is said, how soon all is well after its end.

It has to be said by the health over MQTT, by the stream of the page and on `/metrics`: what counts is the last of them.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from box import MATCH, NODE, TOKEN, Box, free_port, make_shows, wait
from measure import machine, machine_line, table, write_json
from rich.console import Console
from rich.progress import Progress

FLAG_SECONDS, RECOVER_SECONDS = 3.0, 5.0
METRICS_SECONDS = 0.2
STATE = re.compile(rf'touchline_source_state\{{node="({NODE})",source="([^"]+)",state="(\w+)"\}} 1\.0')
"""A line of `/metrics`: node, source and the state that holds."""


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


class Ears:
    """Hear of each source's state from the box's MQTT health, from the stream of the page and from `/metrics`.

    `said` holds by channel and source what came, with the steady time; `close` ends it.
    """

    def __init__(self, box: Box, port: int) -> None:
        self._box, self._address = box, f"http://127.0.0.1:{port}"
        self.said: dict[str, dict[str, list[tuple[float, str]]]] = {
            "page": defaultdict(list),
            "metrics": defaultdict(list),
        }
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._again, args=(work,)) for work in (self._stream, self._metrics)]
        for thread in self._threads:
            thread.start()

    def since(self, source: str, began: float) -> list[list[str]]:
        """What each channel has said of a source since then."""
        topics = [f"touchline/{NODE}/health/{component}" for component in ("source", f"source-{source}")]
        health = [(h.steady, h.payload["state"]) for topic in topics for h in self._box.by_topic[topic]]
        channels = [health, *(channel[source] for channel in self.said.values())]
        return [[state for at, state in list(channel) if at > began] for channel in channels]

    def now(self, source: str) -> list[str]:
        """What each channel says of a source now; empty where it has not said anything."""
        return [(channel or [""])[-1] for channel in self.since(source, 0.0)]

    def close(self) -> None:
        """Hear no more."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _again(self, listen: Callable[[], None]) -> None:
        while not self._closed.wait(METRICS_SECONDS):
            with suppress(OSError):  # the box begins, or ends
                listen()

    def _open(self, path: str) -> Any:  # noqa: ANN401 - an answer of urllib
        asked = urllib.request.Request(self._address + path, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310 - http
        return urllib.request.urlopen(asked, timeout=5)  # noqa: S310 - http

    def _stream(self) -> None:
        with self._open("/stream") as stream:
            for line in stream:
                if self._closed.is_set():
                    return
                if line.startswith(b"data: "):
                    message = msgspec.json.decode(line[6:])
                    self._hear("page", message["source"].partition("/")[2], message["standing"]["state"])

    def _metrics(self) -> None:
        with self._open("/metrics") as answer:
            for _, source, state in STATE.findall(answer.read().decode()):
                self._hear("metrics", source, state)

    def _hear(self, channel: str, source: str, state: str) -> None:
        known = self.said[channel][source]
        if not known or known[-1][1] != state:
            known.append((time.monotonic(), state))


@dataclass
class Patient:
    """A source whose sender is told of faults, and what came of each: seconds until it was said, until it was over."""

    ears: Ears
    sender: subprocess.Popen[str]
    source: str
    found: list[tuple[str, float | None, float | None]] = field(default_factory=list)
    missed: list[dict[str, Any]] = field(default_factory=list)

    def suffer(self, names: Sequence[str], rng: random.Random, done: Callable[[], None]) -> None:
        """Go through faults; each lasts 1 to 3 s after it was said, and what is usual is learnt anew before it."""
        for name in names:
            time.sleep(4)
            self.found.append((name, *self._cycle(FAULTS[name], rng.uniform(1, 3))))
            done()

    def _cycle(self, fault: Fault, hold_seconds: float) -> tuple[float | None, float | None]:
        wait(self.is_well, 3 * RECOVER_SECONDS)
        began = time.monotonic()
        said = self._said(fault.begin, fault.states)
        if said is None or said > FLAG_SECONDS:
            self.missed.append({"fault": fault.begin, "seconds": said, "heard": self.ears.since(self.source, began)})
        time.sleep(hold_seconds if fault.end else 0)
        self._tell(fault.end)
        over = wait(self.is_well, 3 * RECOVER_SECONDS)
        if fault.begin == "show small":  # the way back is the same fault once more
            self._said("show normal", fault.states)
            wait(self.is_well, 3 * RECOVER_SECONDS)
        return said, over

    def is_well(self) -> bool:
        """Whether all say so."""
        return set(self.ears.now(self.source)) == {"online"}

    def _said(self, order: str, states: Sequence[str]) -> float | None:
        """Order a fault; give how long it took until all had said so."""
        began = time.monotonic()
        self._tell(order)
        return wait(
            lambda: all(set(states) & set(said) for said in self.ears.since(self.source, began)), 3 * FLAG_SECONDS
        )

    def _tell(self, line: str) -> None:
        """Order something of the sender; an empty line is nothing."""
        assert self.sender.stdin is not None
        self.sender.stdin.write(line + "\n")
        self.sender.stdin.flush()


def run(folder: Path, cycles: int, sources: int, seed: int) -> dict[str, Any]:
    """Let so many sources of one process go through the faults, each in an order of its own."""
    box, port = Box(folder), free_port()
    ears = Ears(box, port)
    shows = make_shows(Path("build/benchmarks") / "shows-match", MATCH)
    try:
        senders = [box.sender(shows) for _ in range(sources)]
        process = box.run(*(url for _, url in senders), web=port)
        names = [url.removeprefix("udp://").replace(".", "-").replace(":", "-") for _, url in senders]
        patients = [Patient(ears, sender, name) for (sender, _), name in zip(senders, names, strict=True)]
        if wait(lambda: all(patient.is_well() for patient in patients), 90) is None:
            raise SystemExit((folder / "run.log").read_text())
        _go_through(patients, cycles, seed)
        alive = process.poll() is None
        lives = {(heard.topic, heard.payload["boot"]) for heard in box.of("/tick")}
    finally:
        box.close()
        ears.close()
    found = [cycle for patient in patients for cycle in patient.found]
    ticks = [heard.payload for heard in box.of("/tick")]
    return {
        "modes": {mode: sum(tick["mode"] == mode for tick in ticks) for mode in {tick["mode"] for tick in ticks}},
        "said_late": [each for patient in patients for each in patient.missed],
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
