"""Hurt robots and time how soon they stand: fault of the policy or the camera -> zero on cmd_vel."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import machine, machine_line, write_json

os.environ.setdefault("ROS_DOMAIN_ID", str(101 + os.getpid() % 100))

from rich.progress import Progress
from ros_robot import KINDS, Robot

LIMIT_MS = 250.0
LINEAR_MOST, ANGULAR_MOST = 0.1, 0.6
MOST_STALLS = 0.1
"""Share of faults that may be repeated because the machine stood still."""


@dataclass(frozen=True)
class Fault:
    """One fault: how long until zero (ms), how far the robot still went (m), commands outside the envelope."""

    kind: str
    zero_ms: float
    metres: float
    outside: int


def hurt(robot: Robot, kind: str, rng: random.Random) -> Fault | None:
    """Let a robot drive, make one thing go wrong at a random moment, and look how it ends.

    None: it took too long, and the machine stood still meanwhile, so that nothing is learnt of the robot.
    """
    robot.ready()
    threading.Event().wait(rng.uniform(0, 0.1))
    before = robot.base.metres
    at = robot.fail(kind)
    zero = robot.wait_until_it_stands()
    robot.heal(kind)
    if zero - at > LIMIT_MS / 1000 and robot.stood_still(at, zero):
        return None
    outside = sum(not 0 <= x <= LINEAR_MOST or abs(z) > ANGULAR_MOST for _, x, z in robot.commands)
    return Fault(kind, 1000 * (zero - at), robot.base.metres - before, outside)


def run(faults: int, robots: int, seed: int) -> tuple[list[Fault], int]:
    """Hurt several robots side by side, `faults` times in all; tell also how many were repeated."""
    found: list[Fault] = []
    stalls: list[int] = []
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        bar = progress.add_task("faults", total=faults)

        def live(k: int) -> None:
            rng = random.Random(seed + k)  # noqa: S311
            robot = Robot(f"robot{k}", Path(folder), seed + k)
            try:
                for i in range(k, faults, robots):
                    while (fault := hurt(robot, KINDS[i % len(KINDS)], rng)) is None:
                        stalls.append(i)
                        if len(stalls) > MOST_STALLS * faults:
                            msg = (
                                f"the machine stood still for more than 60 ms in {len(stalls)} of {i} faults: too busy"
                            )
                            raise RuntimeError(msg)
                    found.append(fault)
                    progress.advance(bar)
            finally:
                robot.close()

        with ThreadPoolExecutor(robots) as pool:
            for done in [pool.submit(live, k) for k in range(robots)]:
                done.result()
    return found, len(stalls)


def summary(found: list[Fault]) -> list[dict[str, Any]]:
    """Sum up by kind."""
    rows = []
    for kind in KINDS:
        times = sorted(fault.zero_ms for fault in found if fault.kind == kind)
        if times:
            metres = max(fault.metres for fault in found if fault.kind == kind)
            rows.append(
                {
                    "kind": kind,
                    "faults": len(times),
                    "median_ms": round(times[len(times) // 2]),
                    "max_ms": round(times[-1]),
                    "in_time": sum(time <= LIMIT_MS for time in times),
                    "farthest_m": round(metres, 4),
                }
            )
    return rows


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: scripts/ros python benchmarks/ros_faults.py --faults 2000 --json F"
    )
    parser.add_argument("--faults", type=int, default=2000, help="how many faults (default: 2000)")
    parser.add_argument("--robots", type=int, default=2, help="robots side by side (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    where = machine()
    found, repeated = run(arguments.faults, arguments.robots, arguments.seed)
    rows = summary(found)
    print(machine_line(where))
    names = list(rows[0])
    print("\n| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    in_time, outside = sum(fault.zero_ms <= LIMIT_MS for fault in found), sum(fault.outside for fault in found)
    print(f"\n{in_time} of {len(found)} at zero within {LIMIT_MS:g} ms; {outside} commands outside the envelope")
    print(f"{repeated} faults were repeated, as the machine itself had stood still for more than 60 ms")
    write_json(
        arguments.json,
        {"machine": where, "repeated": repeated, "kinds": rows, "faults": [asdict(fault) for fault in found]},
    )
    return 0 if in_time == len(found) and not outside else 1


if __name__ == "__main__":
    sys.exit(main())
