"""The training report of a large table: how long `touchline-train report` takes, and how large its page is.

XGBoost trains on a table like the Higgs challenge's, watched by the debugger's hook; then the report is written by a
process of its own, as a user would.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, machine_line, table, write_json

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS, LIMIT_MB = 20, 8


def train(folder: Path, rows: int, features: int, rounds: int) -> float:
    """Train and save; predictions are saved for as many rows as it learns from. Return the seconds."""
    import xgboost as xgb

    from cloud_train.debugger.hook import Hook
    from cloud_train.debugger.xgboost_hook import DEFAULTS, XGBoostHook, run_info

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * rows, features)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    margin = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1] * x[:, 2]) - 0.6
    y = (margin + rng.logistic(size=len(x)) > 0).astype(np.float32)
    halves = [xgb.DMatrix(x[part], y[part]) for part in (slice(0, rows), slice(rows, None))]
    settings = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1}
    began = time.perf_counter()
    info = run_info("higgs", settings, *halves, labels=("background", "signal"))
    with Hook(folder, info, save=DEFAULTS) as hook:
        callbacks = [XGBoostHook(hook, *halves)]
        evals = list(zip(halves, ("train", "validation"), strict=True))
        xgb.train(settings, halves[0], rounds, evals=evals, callbacks=callbacks, verbose_eval=False)
    return time.perf_counter() - began


def report(folder: Path, repeats: int) -> dict[str, Any]:
    """Write the report so many times; return the seconds of each, and the sizes."""
    page, figures = folder / "report.html", folder / "report.json"
    command = [sys.executable, "-m", "cloud_train", "report", str(folder), "--out", str(page), "--json", str(figures)]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    took, used = [], []
    for _ in range(repeats):
        began, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": search})
        after = os.times()
        took.append(round(time.perf_counter() - began, 2))
        used.append(
            round(after.children_user + after.children_system - before.children_user - before.children_system, 2)
        )
    return {
        "seconds": took,
        "processor_seconds": used,
        "page_mb": round(page.stat().st_size / 1e6, 3),
        "json_mb": round(figures.stat().st_size / 1e6, 3),
        "pictures": page.read_text(encoding="utf-8").count("<figure>"),
    }


def main() -> int:
    """Read the options, train, report, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/report.py --rows 250000 --json report.json"
    )
    parser.add_argument("--rows", type=int, default=250_000, help="to learn from, and as many to validate on")
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="reports written (default: 3)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "rows": arguments.rows, "features": arguments.features}
    print(machine_line(found["machine"]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "higgs"
        found["training_seconds"] = round(train(run, arguments.rows, arguments.features, arguments.rounds), 2)
        found["report"] = report(run, arguments.repeats)
    made = found["report"]
    rows = [
        (f"seconds, best of {arguments.repeats} (at most {LIMIT_SECONDS})", f"{min(made['seconds']):.1f}"),
        ("of these of the processor", f"{min(made['processor_seconds']):.1f}"),
        (f"MB of the page (at most {LIMIT_MB})", f"{made['page_mb']:.2f}"),
        ("pictures in it", str(made["pictures"])),
        ("seconds that the training took", f"{found['training_seconds']:.1f}"),
    ]
    print(f"\n{table(('report', 'found'), rows)}\n")
    write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
