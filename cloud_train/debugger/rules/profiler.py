"""Rules on what the machine does while a job trains, with the names and defaults of the original profiler's.

`patience` samples are left out at the beginning, while a job gets ready; the sampler takes two a second. CPU is the
mean of all cores. Rules that compare with a GPU have nothing to say where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.trial import Trial
from cloud_train.debugger.usage import Usage, usage_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDLE_SAMPLES = 20
"""Ten seconds: fewer samples say nothing of a machine's size."""


def batch_size(
    trial: Trial,
    *,
    cpu_threshold_p95: float = 70,
    gpu_threshold_p95: float = 70,
    gpu_memory_threshold_p95: float = 70,
    patience: int = 1000,
    window: int = 500,
) -> Finding | None:
    """Say when CPU, GPU and GPU memory are all used little over a window: larger batches would fit."""
    found = _with_gpu(trial)
    if found is None:
        return None
    for part in _windows(found, patience, window):
        cpu, gpu, memory = (float(np.quantile(x[part], 0.95)) for x in (found.cpu.mean(1), found.gpu, found.gpu_memory))
        if cpu < cpu_threshold_p95 and gpu < gpu_threshold_p95 and memory < gpu_memory_threshold_p95:
            message = f"p95 of CPU is {cpu:.0f} %, of GPU {gpu:.0f} %, of GPU memory {memory:.0f} %"
            return Finding("BatchSize", found.last_step, message, "Increase the batch, or take a smaller GPU.")
    return None


def cpu_bottleneck(
    trial: Trial, *, threshold: float = 50, gpu_threshold: float = 10, cpu_threshold: float = 90, patience: int = 1000
) -> Finding | None:
    """Say when the GPU waits, at or below its threshold, while the CPU is at or above its own, for most of the time."""
    found = _with_gpu(trial)
    if found is None:
        return None
    busy = (found.cpu.mean(axis=1) >= cpu_threshold) & _idle(found, gpu_threshold)
    share = _percent(busy[patience:])
    if share <= threshold:
        return None
    message = (
        f"for {share:.0f} % of the time the CPU is at {cpu_threshold:g} % or more and the GPU at {gpu_threshold:g} %"
        " or less"
    )
    advice = "The GPU waits for the CPU: prepare data ahead, cache what is decoded, or take more cores."
    return Finding("CPUBottleneck", found.last_step, message, advice)


def dataloader(trial: Trial, *, min_threshold: float = 70, max_threshold: float = 200) -> Finding | None:
    """Say when processes that load data are far fewer or more than the cores, in percent of them.

    They are the job's child processes; a job that loads data in its own process is not judged.
    """
    found = usage_of(trial.folder)
    if found is None or not found.children.any():
        return None
    loaders, cores = float(np.median(found.children[found.children > 0])), found.cpu.shape[1]
    percent = 100 * loaders / cores
    if min_threshold <= percent <= max_threshold:
        return None
    few = percent < min_threshold
    message = f"{loaders:.0f} processes load data on {cores} cores ({percent:.0f} %)"
    advice = "Start more, so that the model need not wait." if few else "Start fewer: they take cores from each other."
    return Finding("Dataloader", found.last_step, message, advice)


def gpu_memory_increase(trial: Trial, *, increase: float = 5, patience: int = 1000, window: int = 10) -> Finding | None:
    """Say when the mean of a GPU's memory over a window is so many percent of it above the lowest before."""
    found = _with_gpu(trial)
    if found is None or len(found.time) < patience + 2 * window:
        return None
    kept = found.gpu_memory[patience:]
    sums = np.cumsum(np.vstack([np.zeros(kept.shape[1]), kept]), axis=0)
    means = (sums[window:] - sums[:-window]) / window  # [windows, GPUs]
    rises = means - np.minimum.accumulate(means, axis=0)
    rise, gpu = float(rises.max()), int(rises.max(axis=0).argmax())
    if rise <= increase:
        return None
    message = f"memory of GPU {gpu} rose by {rise:.1f} % of it to {means[:, gpu].max():.0f} %"
    advice = (
        "Look for tensors that are kept, such as losses that are added up with their graphs, and for growing batches."
    )
    return Finding("GPUMemoryIncrease", found.last_step, message, advice)


def io_bottleneck(
    trial: Trial, *, threshold: float = 50, gpu_threshold: float = 10, io_threshold: float = 50, patience: int = 1000
) -> Finding | None:
    """Say when the CPU waits for input and output, and the GPU, where there is one, for the CPU, most of the time."""
    found = usage_of(trial.folder)
    if found is None:
        return None
    share = _percent(((found.io_wait >= io_threshold) & _idle(found, gpu_threshold))[patience:])
    if share <= threshold:
        return None
    message = f"for {share:.0f} % of the time the CPU waits {io_threshold:g} % or more for input and output"
    advice = "Read larger files, keep data in memory or on a faster disk, and read ahead."
    return Finding("IOBottleneck", found.last_step, message, advice)


def load_balancing(trial: Trial, *, threshold: float = 0.5, patience: int = 1000) -> Finding | None:
    """Say when two GPUs work differently: their histograms of utilisation overlap by less than the threshold."""
    found = _with_gpu(trial)
    if found is None or len(found.time) <= patience:
        return None
    bins = np.linspace(0, 100, 11)
    shares = [np.histogram(one, bins)[0] / (len(found.time) - patience) for one in found.gpu[patience:].T]
    overlaps = {(i, j): float(np.minimum(shares[i], shares[j]).sum()) for i, j in combinations(range(len(shares)), 2)}
    pair = min(overlaps, key=overlaps.__getitem__, default=None)
    if pair is None or overlaps[pair] >= threshold:
        return None
    message = (
        f"GPUs {pair[0]} and {pair[1]} work differently: mean utilisation"
        f" {found.gpu[patience:, pair[0]].mean():.0f} and {found.gpu[patience:, pair[1]].mean():.0f} %"
    )
    return Finding("LoadBalancing", found.last_step, message, "Give each GPU as much work, or use fewer.")


def low_gpu_utilization(
    trial: Trial, *, threshold_p95: float = 70, threshold_p5: float = 10, patience: int = 1000, window: int = 500
) -> Finding | None:
    """Say when a GPU is used little over a window, or by fits and starts."""
    found = _with_gpu(trial)
    if found is None:
        return None
    for part in _windows(found, patience, window):
        for i, gpu in enumerate(found.gpu[part].T):
            low, high = np.quantile(gpu, (0.05, 0.95))
            if high < threshold_p95 or low < threshold_p5:
                what = "is used little" if high < threshold_p95 else "works by fits and starts"
                message = f"GPU {i} {what}: p5 of its utilisation is {low:.0f} %, p95 {high:.0f} %"
                advice = "Increase the batch, prepare data ahead, and save and log less often; or take a smaller GPU."
                return Finding("LowGPUUtilization", found.last_step, message, advice)
    return None


def max_initialization_time(trial: Trial, *, threshold: float = 20) -> Finding | None:
    """Say when so many minutes pass between the start of the process and its first step."""
    found = usage_of(trial.folder)
    if found is None or found.waited_seconds <= 60 * threshold:
        return None
    message = f"{found.waited_seconds / 60:.1f} minutes passed before the first step"
    advice = "Prepare data beforehand, fetch less of them first, and cache what is compiled."
    return Finding("MaxInitializationTime", found.last_step, message, advice)


def overall_system_usage(trial: Trial, *, threshold_p95: float = 25) -> Finding | None:
    """Say when CPU, memory and GPUs all stay below a quarter of the machine; the original only tables them."""
    found = usage_of(trial.folder)
    if found is None or len(found.time) < IDLE_SAMPLES:
        return None
    parts = {"CPU": found.cpu.mean(axis=1), "memory": found.memory}
    parts |= {f"GPU {i}": one for i, one in enumerate(found.gpu.T)}
    highs = {name: float(np.quantile(values, 0.95)) for name, values in parts.items()}
    if max(highs.values()) >= threshold_p95:
        return None
    message = "p95 of " + ", of ".join(f"{name} is {high:.0f} %" for name, high in highs.items())
    return Finding("OverallSystemUsage", found.last_step, message, "A quarter of this machine will do.")


def step_outlier(
    trial: Trial, *, stddev: float = 3, mode: str | None = None, n_outliers: int = 10, times_median: float = 2
) -> Finding | None:
    """Say when more than so many steps took longer than the mean by so many deviations.

    `times_median` is ours: a step counts only if it also took twice the median; of many steady steps a few are always
    beyond three deviations.
    """
    found = usage_of(trial.folder)
    if found is None:
        return None
    for own, (numbers, seconds) in found.steps.items():
        limit = max(seconds.mean() + stddev * seconds.std(), times_median * np.median(seconds))
        slow = seconds > limit
        if mode in (None, own) and slow.sum() > n_outliers:
            message = (
                f"{slow.sum()} of {len(seconds)} steps in mode {own} took longer than {1000 * limit:.3g} ms, {stddev:g}"
                f" deviations above the mean of {1000 * seconds.mean():.3g} ms; the first is step {numbers[slow][0]}"
            )
            advice = "Look at what happens at these steps: saving, logging, validation, slow files, other jobs."
            return Finding("StepOutlier", int(numbers[slow][-1]), message, advice)
    return None


PROFILER_RULES: dict[str, Callable[..., Finding | None]] = {
    "BatchSize": batch_size,
    "CPUBottleneck": cpu_bottleneck,
    "Dataloader": dataloader,
    "GPUMemoryIncrease": gpu_memory_increase,
    "IOBottleneck": io_bottleneck,
    "LoadBalancing": load_balancing,
    "LowGPUUtilization": low_gpu_utilization,
    "MaxInitializationTime": max_initialization_time,
    "OverallSystemUsage": overall_system_usage,
    "StepOutlier": step_outlier,
}


def _with_gpu(trial: Trial) -> Usage | None:
    found = usage_of(trial.folder)
    return found if found is not None and found.gpu_names else None


def _windows(found: Usage, patience: int, window: int) -> Iterator[slice]:
    """Give each whole window of samples after the patience."""
    for start in range(patience, len(found.time) - window + 1, window):
        yield slice(start, start + window)


def _idle(found: Usage, gpu_threshold: float) -> NDArray[np.bool_]:
    """Say when no GPU did more than the threshold: always where there is none."""
    idle: NDArray[np.bool_] = np.all(found.gpu <= gpu_threshold, axis=1)
    return idle


def _percent(chosen: NDArray[np.bool_]) -> float:
    return 100 * float(chosen.mean()) if len(chosen) else 0.0
