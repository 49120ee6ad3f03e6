"""One function over many items: in processes that may die, on Ray, never more handed out than is worked on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import pytest

from cloud_train.parallel import AHEAD, CrashedError, over
from cloud_train.recordings import DataError


def work(item: int) -> int:
    """Double; 3 is refused, and 5 takes its process along as a fault in a decoder would."""
    if item == 3:
        msg = "three"
        raise DataError(msg)
    if item == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    return 2 * item


def test_what_fails_is_told_by_item_and_what_crashes_takes_nothing_else_along():
    results = dict(over(range(12), work, workers=2))
    assert {item: result for item, result in results.items() if item not in (3, 5)} == {
        i: 2 * i for i in range(12) if i not in (3, 5)
    }
    assert isinstance(results[3], DataError)
    assert isinstance(results[5], CrashedError)


def test_no_more_is_handed_out_than_is_worked_on():
    taken = count()
    items = (next(taken) + 100 for _ in range(1000))
    results = over(items, work, workers=1)
    assert len(list(islice(results, 3))) == 3
    assert next(taken) <= 3 + AHEAD + 1
    results.close()


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_gives_the_same(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(
        "import ray, sys\n"
        "ray.init('local', num_cpus=2, include_dashboard=False, _node_ip_address='127.0.0.1',"
        " object_store_memory=100_000_000)\n"
        "from cloud_train.parallel import over\n"
        "from test_parallel import work\n"
        "results = dict(over([0, 1, 2, 3, 4, 6], work, engine='ray'))\n"
        "print(sorted((i, r) for i, r in results.items() if i != 3), type(results[3]).__name__)\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": here, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[(0, 0), (1, 2), (2, 4), (4, 8), (6, 12)] DataError")
