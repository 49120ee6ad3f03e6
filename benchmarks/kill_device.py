"""Kill the device's process, at random and at named moments, and count what a judge that syncs to disk has seen."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from device import MOMENTS, NODE, SOURCE, Life, live
from measure import machine, machine_line, write_json
from oracle import Arrival, arrivals
from rich.progress import track

from edge.messages import EventMessage, read_event

START_ANEW = 20
"""Every so many lives one is a Python of its own, whose start is timed; the others are forked from a warm one."""
DRAIN_SECONDS = 120.0
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """What the kills led to; `lost` are events that the outbox had called safe and the judge never saw."""

    kills: int
    events: int
    lost: int
    duplicates: int
    most_duplicates_a_kill: int
    out_of_order: int
    restart_seconds: float
    moments: dict[str, int]


def kill_often(folder: Path, kills: int, rng: random.Random, rate: float, *, too_soon: bool = False) -> Outcome:
    """Run and kill the device `kills` times, let it drain, and judge.

    `too_soon` is the control, which has to lose: events count as safe before the outbox has said so.
    """
    log, said = folder / "arrivals.jsonl", folder / "acknowledged.txt"
    with subprocess.Popen(
        [sys.executable, str(HERE / "oracle.py"), str(log)], stdout=subprocess.PIPE, text=True
    ) as oracle:
        assert oracle.stdout is not None
        url = f"mqtt://127.0.0.1:{int(oracle.stdout.readline())}"
        life = Life(url, str(folder / "state"), str(said), rate=rate, too_soon=too_soon)
        try:
            lives = _lives(life, kills, rng, log)
            _live_to_the_end(life)
        finally:
            oracle.terminate()
    return judge(arrivals(log), set(said.read_text().splitlines()), lives)


@dataclass(frozen=True)
class _Lived:
    moment: str
    ended: float
    restart: float | None


def _lives(life: Life, kills: int, rng: random.Random, log: Path) -> list[_Lived]:
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(["device"])
    lived = []
    for k in track(range(kills), description="killing"):
        moment = MOMENTS[k % len(MOMENTS)]
        one = replace(life, moment=moment, after=rng.uniform(0.1, 0.5))
        restart = None
        if k % START_ANEW == 0:
            restart = _start_anew(one, log)
        else:
            process = warm.Process(target=live, args=(one,))
            process.start()
            process.join(one.after + rng.uniform(0, 0.1) if moment == "any time" else 20)
            process.kill()
            process.join()
        lived.append(_Lived(moment, time.monotonic(), restart))
    return lived


def _start_anew(life: Life, log: Path) -> float:
    """Start a Python of its own, time it to its first publication, and kill it."""
    size, began = log.stat().st_size if log.exists() else 0, time.monotonic()
    code = "import sys, msgspec; from device import Life, live; live(msgspec.json.decode(sys.argv[1], type=Life))"
    told = msgspec.json.encode(replace(life, moment="any time")).decode()
    with subprocess.Popen([sys.executable, "-c", code, told], cwd=HERE) as process:
        while not (log.exists() and log.stat().st_size > size):
            if time.monotonic() > began + 30 or process.poll() is not None:
                process.kill()
                msg = "the device did not publish anything within 30 s of its start"
                raise RuntimeError(msg)
            time.sleep(0.002)
        restart = time.monotonic() - began
        time.sleep(life.after)
        process.kill()
    return restart


def _live_to_the_end(life: Life) -> None:
    process = multiprocessing.get_context("forkserver").Process(
        target=live, args=(replace(life, events=0, moment="", linger=DRAIN_SECONDS),)
    )
    process.start()
    process.join(DRAIN_SECONDS + 30)
    process.kill()


def judge(came: list[Arrival], acknowledged: set[str], lives: list[_Lived]) -> Outcome:
    """Compare what the outbox had called safe with what was seen."""
    topic = f"touchline/{NODE}/{SOURCE}/event"
    events = [(one.time, read_event(one.payload)) for one in came if one.topic == topic]
    seen = Counter(f"{event.boot} {event.seq}" for _, event in events)
    repeats: Counter[int] = Counter()
    known: set[str] = set()
    for at, event in events:
        name = f"{event.boot} {event.seq}"
        if name in known:
            repeats[sum(life.ended <= at for life in lives)] += 1
        known.add(name)
    restarts = [life.restart for life in lives if life.restart is not None]
    return Outcome(
        kills=len(lives),
        events=len(acknowledged),
        lost=len(acknowledged - set(seen)),
        duplicates=sum(seen.values()) - len(seen),
        most_duplicates_a_kill=max(repeats.values(), default=0),
        out_of_order=out_of_order([event for _, event in events]),
        restart_seconds=round(max(restarts, default=0.0), 3),
        moments=dict(Counter(life.moment for life in lives)),
    )


def out_of_order(events: list[EventMessage]) -> int:
    """Count events that come after a later one for the first time without being marked late."""
    highest, known, wrong = -1, set(), 0
    for event in events:
        offset = -1 if event.offset is None else event.offset
        wrong += offset < highest and offset not in known and not event.late
        known.add(offset)
        highest = max(highest, offset)
    return wrong


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/kill_device.py --kills 2000 --json kills.json"
    )
    parser.add_argument("--kills", type=int, default=200, help="how often to kill (default: 200)")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument(
        "--control", action="store_true", help="call events safe before they are: the judge has to find some lost"
    )
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments: Any = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        rng = random.Random(arguments.seed)  # noqa: S311
        outcome = kill_often(Path(folder), arguments.kills, rng, arguments.rate, too_soon=arguments.control)
    print(machine_line(where))
    for name, value in msgspec.to_builtins(outcome).items():
        print(f"{name.replace('_', ' ')}: {value}")
    write_json(arguments.json, {"machine": where, **msgspec.to_builtins(outcome)})
    return 1 if outcome.out_of_order or bool(outcome.lost) != arguments.control else 0


if __name__ == "__main__":
    sys.exit(main())
