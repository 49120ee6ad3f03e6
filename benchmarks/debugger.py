"""What the debugger's hook costs a training: Keras MobileNetV2 and XGBoost, each with and without it in turns.

Machines are noisy: beside that difference stands the time inside the hook's own calls and its sampling thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, machine_line, table, write_json

from cloud_train.debugger.saved import Collection

INTERVAL = 500
"""Steps between two saves of tensors, the default."""


def keras_cost(pixels: int, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    """Time steps of `fit` in turns without and with the hook, and a step that saves, whose cost 500 steps share.

    The first fit of each compiles and is left out; `once_seconds` is what compiling the step that saves takes.
    """
    from cloud_train.backend import load_tensorflow

    load_tensorflow()
    import keras

    from cloud_train.debugger.keras_hook import DEFAULTS, KerasHook

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
            self.seconds.append(time.perf_counter())

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * steps, pixels, pixels, 3)).astype(np.float32)
    y = rng.integers(0, 10, batch * steps)
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((pixels, pixels, 3), weights=None, classes=10)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def fit(*callbacks: Any) -> list[float]:  # noqa: ANN401
        """Give the seconds of each step but the first."""
        clock = Clock()
        model.fit(x, y, batch_size=batch, verbose=0, shuffle=False, callbacks=[*callbacks, clock])
        return np.diff(clock.seconds).tolist()

    with tempfile.TemporaryDirectory() as folder:
        usual = KerasHook(Path(folder) / "usual", save={n: _late(each) for n, each in DEFAULTS.items()})
        often = KerasHook(Path(folder) / "often", save={n: replace(each, interval=2) for n, each in DEFAULTS.items()})
        fit()
        fit(usual)
        inside = timed(usual, "on_train_batch_begin", "on_train_batch_end")
        began = time.perf_counter()
        fit(often)
        once = time.perf_counter() - began
        plain: list[float] = []
        hooked: list[float] = []
        saving, between = [], []
        for k in range(rounds):
            for mine in (False, True) if k % 2 else (True, False):
                (hooked if mine else plain).append(statistics.mean(fit(usual) if mine else fit()))
            each = fit(often)
            first = often.step - steps + 1
            saving += [seconds for i, seconds in enumerate(each) if (first + i) % 2 == 0]
            between += [seconds for i, seconds in enumerate(each) if (first + i) % 2]
    step = statistics.median(plain)
    extra = max(0.0, statistics.median(saving) - statistics.median(between))
    share, error = paired(hooked, plain)
    each_step = sum(inside) / (rounds * steps) + extra / INTERVAL
    return {
        "pixels": pixels, "batch": batch, "step_ms": 1000 * step, "saving_step_extra_ms": 1000 * extra,
        "once_seconds": once - steps * step, "overhead_percent": share + 100 * extra / INTERVAL / step,
        "error_percent": error, "inside_percent": 100 * (each_step / step + sampling()),
    }  # fmt: skip


def timed(callback: Any, *names: str) -> list[float]:  # noqa: ANN401
    """Have the seconds of each call of a callback's methods put in the list."""
    spent: list[float] = []

    def around(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any, **named: Any) -> Any:  # noqa: ANN401
            began = time.perf_counter()
            try:
                return inner(*inputs, **named)
            finally:
                spent.append(time.perf_counter() - began)

        return call

    for name in names:
        setattr(callback, name, around(getattr(callback, name)))
    return spent


def sampling() -> float:
    """Give the share of a core that sampling the machine takes at its usual rate."""
    from cloud_train.debugger.system import INTERVAL_SECONDS, Sampler

    lines: list[bytes] = []
    sampler = Sampler(lines.append, interval_seconds=0.01)
    began = time.process_time()
    sampler.start()
    time.sleep(2)
    sampler.stop()
    return (time.process_time() - began) / len(lines) / INTERVAL_SECONDS


def paired(ours: Sequence[float], plain: Sequence[float]) -> tuple[float, float]:
    """Give by how many percent ours took longer, the median over neighbours in time, and that median's error.

    The error is the standard one of a median of normal values, from their quartiles.
    """
    ratios = 100 * (np.array(ours) / np.array(plain) - 1)
    quarter, middle, three = np.percentile(ratios, [25, 50, 75])
    return float(middle), float(1.2533 * (three - quarter) / 1.349 / np.sqrt(len(ratios)))


def _late(collection: Collection) -> Collection:
    """Keep what is saved every 500 steps out of the usual steps: its cost is measured apart."""
    return replace(collection, start_step=10**9) if collection.interval == INTERVAL else collection


def xgboost_cost(rows: int, boosting: int, rounds: int) -> dict[str, Any]:
    """Time whole trainings in turns: without a hook, with it but no SHAP values, and with SHAP values of 500 rows."""
    import xgboost as xgb

    from cloud_train.debugger.hook import Hook
    from cloud_train.debugger.xgboost_hook import DEFAULTS, XGBoostHook, run_info

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 30)).astype(np.float32)
    y = (x[:, :10].sum(axis=1) + x[:, 10] * x[:, 11] + rng.normal(size=rows) > 0).astype(np.float32)
    held = rows // 5
    train, validation = xgb.DMatrix(x[held:], y[held:]), xgb.DMatrix(x[:held], y[:held])
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "nthread": os.cpu_count() or 1}

    inside: list[float] = []  # of one training with the usual collections

    def boost(kind: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            callbacks = []
            began = time.perf_counter()
            if kind != "without":
                save = {n: c for n, c in DEFAULTS.items() if kind == "with SHAP" or "shap" not in n}
                hook = Hook(folder, run_info("bench", parameters, train, validation), save=save)
                callbacks = [XGBoostHook(hook, train, validation)]
                calls = timed(callbacks[0], "before_iteration", "after_iteration", "after_training")
            evals = [(train, "train"), (validation, "validation")]
            xgb.train(parameters, train, boosting, evals=evals, verbose_eval=False, callbacks=callbacks)
            took = time.perf_counter() - began
        if kind == "with":
            inside.append(sum(calls) / (took - sum(calls)))
        return took

    kinds = ["without", "with", "with SHAP"]
    boost("without")
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for k in range(rounds):
        for kind in kinds[k % 3 :] + kinds[: k % 3]:
            took[kind].append(boost(kind))
    (share, error), (with_shap, _) = (paired(took[kind], took["without"]) for kind in kinds[1:])
    return {
        "rows": rows, "rounds": boosting, "seconds": statistics.median(took["without"]), "overhead_percent": share,
        "error_percent": error, "overhead_with_shap_percent": with_shap,
        "inside_percent": 100 * (statistics.median(inside) + sampling()),
    }  # fmt: skip


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/debugger.py --json debugger.json"
    )
    parser.add_argument("--pixels", type=int, default=96, help="of MobileNetV2's pictures (default: 96)")
    parser.add_argument("--batch", type=int, default=16, help="(default: 16)")
    parser.add_argument("--steps", type=int, default=10, help="in each fit, an even number (default: 10)")
    parser.add_argument("--rows", type=int, default=100_000, help="of XGBoost's table (default: 100000)")
    parser.add_argument("--boosting", type=int, default=100, help="rounds of boosting (default: 100)")
    parser.add_argument("--rounds", type=int, default=40, help="of contestants in turns (default: 40)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    where = machine()
    boosted = xgboost_cost(arguments.rows, arguments.boosting, arguments.rounds)
    fitted = keras_cost(arguments.pixels, arguments.batch, arguments.steps, arguments.rounds)
    print(f"{machine_line(where)}\n")
    rows = [
        [f"MobileNetV2, {fitted['pixels']} pixels, batch {fitted['batch']}", f"{fitted['step_ms']:.1f} ms a step",
         f"{fitted['overhead_percent']:.1f} +- {fitted['error_percent']:.1f} %", f"{fitted['inside_percent']:.1f} %",
         f"{fitted['saving_step_extra_ms']:.0f} ms a step that saves, {fitted['once_seconds']:.1f} s once"],
        [f"XGBoost, {boosted['rows']} x 30, {boosted['rounds']} rounds", f"{boosted['seconds']:.2f} s",
         f"{boosted['overhead_percent']:.1f} +- {boosted['error_percent']:.1f} %", f"{boosted['inside_percent']:.1f} %",
         f"{boosted['overhead_with_shap_percent']:.1f} % with SHAP values"],
    ]  # fmt: skip
    print(table(["training", "without the hook", "overhead, in turns", "inside the hook", "of it"], rows))
    write_json(arguments.json, {"machine": where, "keras": fitted, "xgboost": boosted})
    return 0


if __name__ == "__main__":
    sys.exit(main())
