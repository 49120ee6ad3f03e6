"""The zoo of the profiler: for each rule a machine that it must fire on, and a near miss that it must not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from planted import Planted

from cloud_train.debugger.rules import rule
from cloud_train.debugger.rules.profiler import PROFILER_RULES
from cloud_train.debugger.system import SYSTEM, Gpu, Sample, Steps
from cloud_train.debugger.trial import Trial

GB = 10**9
MINUTES = 60.0
LONG = 1600
"""Samples: the patience of 1000, a window of 500 and some more."""


def sample(i: int, **of: object) -> Sample:
    """A machine that is well used: 4 cores at 60 %, memory at 50 %."""
    usual = {
        "time": 1000.0 + 0.5 * i, "cpu_percent": [60.0] * 4, "io_wait_percent": 1.0, "memory_bytes": 8 * GB,
        "memory_total_bytes": 16 * GB, "disk_read_bytes_per_second": 0.0, "disk_write_bytes_per_second": 0.0,
        "network_received_bytes_per_second": 0.0, "network_sent_bytes_per_second": 0.0, "process_cpu_percent": 200.0,
        "process_memory_bytes": GB, "process_started": 998.0, "spent": {},
    }  # fmt: skip
    return Sample(**{**usual, **of})


def gpu(percent: float, memory: float = 80) -> Gpu:
    return Gpu("NVIDIA A10", percent, int(memory * 24 * GB / 100), 24 * GB)


def machine(folder: Path, samples: Sequence[Sample]) -> Trial:
    run = Planted(folder)
    (folder / "debug" / SYSTEM).write_bytes(b"".join(msgspec.json.encode(s) + b"\n" for s in samples))
    return run.trial


def steady(folder: Path, count: int = LONG, **of: object) -> Trial:
    return machine(folder, [sample(i, **of) for i in range(count)])


def gpus(folder: Path, *of: float, cpu: float = 60, memory: float = 80, count: int = LONG) -> Trial:
    return steady(folder, count, gpus=tuple(gpu(percent, memory) for percent in of), cpu_percent=[cpu] * 4)


def mixed(folder: Path, share: float, often: dict, otherwise: dict) -> Trial:
    """So large a share of the samples in one way, the rest in another, turn and turn about."""
    which = np.floor(np.arange(LONG) * share).astype(int)
    chosen = np.diff(which, append=which[-1]) > 0
    return machine(folder, [sample(i, **(often if one else otherwise)) for i, one in enumerate(chosen)])


def steps(folder: Path, milliseconds: Sequence[float]) -> Trial:
    parts = np.array_split(np.arange(len(milliseconds)), 20)
    values = [[float(milliseconds[j]) for j in part] for part in parts]
    return machine(folder, [sample(i, steps=(Steps("train", int(p[0]), v),))
                            for i, (p, v) in enumerate(zip(parts, values, strict=True))])  # fmt: skip


def slow_steps(folder: Path, slow: int) -> Trial:
    took = np.full(1000, 10.0) + np.random.default_rng(0).normal(0, 0.5, 1000)
    took[np.linspace(50, 950, slow).astype(int)] = 60.0
    return steps(folder, took)


def memory_over_time(folder: Path, last: float) -> Trial:
    levels = np.linspace(50, last, LONG - 1000)
    values = np.concatenate([np.full(1000, 50.0), levels])
    return machine(folder, [sample(i, gpus=(gpu(90, float(v)),)) for i, v in enumerate(values)])


def first_step_after(folder: Path, minutes: float) -> Trial:
    last = sample(0, time=998.0 + minutes * MINUTES + 0.01, steps=(Steps("train", 0, [10.0]),))
    return machine(folder, [sample(0), last])


STARVED = {"gpus": (gpu(5),), "cpu_percent": [95.0] * 4}
FED = {"gpus": (gpu(90),), "cpu_percent": [95.0] * 4}
ZOO: dict[str, tuple[Callable[[Path], Trial], Callable[[Path], Trial]]] = {
    "BatchSize": (
        lambda folder: gpus(folder, 60, cpu=50, memory=30),
        lambda folder: gpus(folder, 60, cpu=50, memory=75),  # no larger batch would fit
    ),
    "CPUBottleneck": (lambda folder: mixed(folder, 0.6, STARVED, FED), lambda folder: mixed(folder, 0.4, STARVED, FED)),
    "Dataloader": (lambda folder: steady(folder, 30, children=9), lambda folder: steady(folder, 30, children=8)),
    "GPUMemoryIncrease": (lambda folder: memory_over_time(folder, 60), lambda folder: memory_over_time(folder, 54)),
    "IOBottleneck": (
        lambda folder: mixed(folder, 0.6, {"io_wait_percent": 70.0}, {}),
        lambda folder: mixed(folder, 0.4, {"io_wait_percent": 70.0}, {}),
    ),
    "LoadBalancing": (lambda folder: gpus(folder, 95, 30), lambda folder: gpus(folder, 95, 92)),
    "LowGPUUtilization": (lambda folder: gpus(folder, 60), lambda folder: gpus(folder, 75)),
    "MaxInitializationTime": (lambda folder: first_step_after(folder, 21), lambda folder: first_step_after(folder, 19)),
    "OverallSystemUsage": (
        lambda folder: steady(folder, 40, cpu_percent=[10.0] * 4, memory_bytes=GB),
        lambda folder: steady(folder, 40, cpu_percent=[80.0, 10.0, 10.0, 10.0], memory_bytes=GB),
    ),
    "StepOutlier": (lambda folder: slow_steps(folder, 11), lambda folder: slow_steps(folder, 10)),
}


def test_the_zoo_has_every_rule():
    assert ZOO.keys() == PROFILER_RULES.keys()


@pytest.mark.parametrize("name", ZOO)
def test_fires_on_its_fault(name: str, tmp_path: Path):
    finding = rule(name)(ZOO[name][0](tmp_path))
    assert finding is not None
    assert finding.rule == name
    assert any(c.isdigit() for c in finding.message)
    assert finding.advice.endswith(".")


@pytest.mark.parametrize("name", ZOO)
def test_stays_quiet_on_its_near_miss(name: str, tmp_path: Path):
    assert rule(name)(ZOO[name][1](tmp_path)) is None


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize(
    "healthy",
    [
        lambda folder: gpus(folder, 95, 93),
        steady,
        lambda folder: Planted(folder).trial,
    ],
    ids=["two busy GPUs", "a busy CPU", "never sampled"],
)
def test_no_alarm_on_a_healthy_machine(name: str, healthy: Callable[[Path], Trial], tmp_path: Path):
    assert rule(name)(healthy(tmp_path)) is None


def test_a_gpu_that_works_by_fits_and_starts(tmp_path: Path):
    trial = mixed(tmp_path, 0.1, {"gpus": (gpu(2),)}, {"gpus": (gpu(95),)})
    found = rule("LowGPUUtilization")(trial)
    assert "by fits and starts" in found.message
    assert rule("LowGPUUtilization")(mixed(tmp_path / "less", 0.02, {"gpus": (gpu(2),)}, {"gpus": (gpu(95),)})) is None


def test_too_few_loaders(tmp_path: Path):
    assert "Start more" in rule("Dataloader")(steady(tmp_path, 30, children=2)).advice


def test_a_job_that_never_comes_to_its_first_step_is_told_of_while_it_waits(tmp_path: Path):
    trial = machine(tmp_path, [sample(0), sample(1, time=998.0 + 25 * MINUTES)])
    assert "25.0 minutes" in rule("MaxInitializationTime")(trial).message


def test_an_idle_gpu_is_waited_for_when_files_are_slow(tmp_path: Path):
    slow = {"io_wait_percent": 70.0}
    busy = mixed(tmp_path / "busy", 0.6, {**slow, "gpus": (gpu(80),)}, {"gpus": (gpu(80),)})
    idle = mixed(tmp_path / "idle", 0.6, {**slow, "gpus": (gpu(3),)}, {"gpus": (gpu(80),)})
    assert rule("IOBottleneck")(busy) is None
    assert rule("IOBottleneck")(idle) is not None


def test_the_worst_of_many_steady_steps_are_no_outliers(tmp_path: Path):
    took = 10 + np.random.default_rng(0).normal(0, 0.5, 20_000)
    assert (took > took.mean() + 3 * took.std()).sum() > 10
    assert rule("StepOutlier")(steps(tmp_path, took)) is None
