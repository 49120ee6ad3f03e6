"""The samples of a run as arrays over time: what rules judge and the report draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .system import SYSTEM, Sample, read_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Usage:
    """The machine over the time of a run: shares are percent, rates are bytes a second, `time` begins at 0."""

    time: NDArray[np.float64]  # [samples], seconds
    cpu: NDArray[np.float64]  # [samples, cores]
    io_wait: NDArray[np.float64]  # [samples]
    memory: NDArray[np.float64]  # [samples]
    memory_total_bytes: int
    process_cpu: NDArray[np.float64]  # [samples], 100 for a core that is busy
    process_memory: NDArray[np.float64]  # [samples], percent of the machine's
    rates: Mapping[str, NDArray[np.float64]]  # by name, [samples]
    children: NDArray[np.int64]  # [samples]
    gpu: NDArray[np.float64]  # [samples, GPUs]
    gpu_memory: NDArray[np.float64]  # [samples, GPUs], percent of each one's own
    gpu_names: tuple[str, ...]
    steps: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]  # by mode: numbers, seconds
    spent: Mapping[str, float]  # seconds, by what they went to
    waited_seconds: float  # from the process's start to its first step, or to the last sample where there was none
    lasted_seconds: float  # from the process's start to the last sample

    @property
    def last_step(self) -> int:
        """The number of the newest step; 0 before the first."""
        return max((int(numbers[-1]) for numbers, _ in self.steps.values()), default=0)


def usage_of(folder: Path) -> Usage | None:
    """Give the usage of a run by the folder of its debugger's files; None where nothing was sampled."""
    try:
        return _read(folder, (folder / SYSTEM).stat().st_size)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=2)
def _read(folder: Path, size: int) -> Usage | None:  # noqa: ARG001 - a file that has grown is read again
    return usage(read_samples(folder))


def usage(samples: Sequence[Sample]) -> Usage | None:
    """Gather samples into arrays; None where there are none. Samples of another machine's size are left out."""
    if not samples:
        return None
    cores, gpus = len(samples[-1].cpu_percent), len(samples[-1].gpus)
    kept = [s for s in samples if (len(s.cpu_percent), len(s.gpus)) == (cores, gpus)]
    last, total = kept[-1], kept[-1].memory_total_bytes
    return Usage(
        time=np.array([s.time - kept[0].time for s in kept]),
        cpu=np.array([s.cpu_percent for s in kept], float),
        io_wait=np.array([s.io_wait_percent for s in kept], float),
        memory=np.array([100 * s.memory_bytes / s.memory_total_bytes for s in kept]),
        memory_total_bytes=total,
        process_cpu=np.array([s.process_cpu_percent for s in kept], float),
        process_memory=np.array([100 * s.process_memory_bytes / total for s in kept]),
        rates={
            "disk read": np.array([s.disk_read_bytes_per_second for s in kept], float),
            "disk write": np.array([s.disk_write_bytes_per_second for s in kept], float),
            "network received": np.array([s.network_received_bytes_per_second for s in kept], float),
            "network sent": np.array([s.network_sent_bytes_per_second for s in kept], float),
        },
        children=np.array([s.children for s in kept]),
        gpu=np.array([[g.percent for g in s.gpus] for s in kept], float).reshape(len(kept), gpus),
        gpu_memory=np.array(
            [[100 * g.memory_bytes / g.memory_total_bytes for g in s.gpus] for s in kept], float
        ).reshape(len(kept), gpus),
        gpu_names=tuple(g.name for g in last.gpus),
        steps=_steps(samples),
        spent=_spent(samples),
        waited_seconds=_waited(samples),
        lasted_seconds=last.time - kept[0].process_started,
    )


def _steps(samples: Sequence[Sample]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    runs = [steps for sample in samples for steps in sample.steps]
    found = {}
    for mode in dict.fromkeys(steps.mode for steps in runs):
        own = [steps for steps in runs if steps.mode == mode]
        numbers = np.concatenate([np.arange(s.first, s.first + len(s.milliseconds)) for s in own])
        found[mode] = numbers, np.concatenate([s.milliseconds for s in own]) / 1000
    return found


def _spent(samples: Sequence[Sample]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for sample in samples:
        total.update(sample.spent)
    return dict(total)


def _waited(samples: Sequence[Sample]) -> float:
    """Go back from the first sample that tells of a step by what the steps in it took."""
    for sample in samples:
        if sample.steps:
            took = sum(sum(steps.milliseconds) for steps in sample.steps) / 1000
            return max(0.0, sample.time - took - sample.process_started)
    return samples[-1].time - samples[-1].process_started
