"""How the machine was used while the job trained: where the bottleneck was, and whether a smaller one would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.debugger.usage import Usage
from cloud_train.figures import figure
from cloud_train.page import Picture, Section, Table

from .part import CYCLE, GRAY, TRAIN, VALIDATION, Part, counted, listed, plot, share, size, times

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SMALL_MEMORY, SMALL_CPU, SMALL_GPU = 25.0, 40.0, 30.0
"""Below these percents less of a machine would do: p95 of memory, median of CPU and of a GPU."""
FEW_SAMPLES = 10
FEW_SECONDS = 10.0
MUCH_WAITING, MUCH_SAVING, MUCH_BEGINNING = 0.1, 0.05, 0.3


def machine(used: Usage) -> Part:
    """Show CPU, memory, disk, network and GPUs over time, with medians and p95."""
    pictures = [_cpu(used), _memory(used), _traffic(used), *([_gpu(used)] if used.gpu_names else [])]
    text = [
        f"{counted(len(used.time), 'sample')} over {times(float(used.time[-1]))}. "
        + (f"GPUs: {', '.join(used.gpu_names)}." if used.gpu_names else "No NVIDIA GPU was seen.")
    ]
    shown = {name: quantiles(values) for name, values in _series(used).items()}
    rows = [(name, *(_unit(name, v) for v in found.values())) for name, found in shown.items()]
    head = ("", *next(iter(shown.values())))
    section = Section("Use of the machine", text, [Table(head, rows)], pictures)
    return Part(section, tuple(_advice(used)), shown)


def quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    """Give the least, the median, high quantiles and the most of a series."""
    found = np.quantile(values, (0, 0.5, 0.95, 0.99, 1)).tolist()
    return dict(zip(("least", "median", "p95", "p99", "most"), found, strict=True))


def _series(used: Usage) -> dict[str, NDArray[np.float64]]:
    cores = used.cpu.shape[1]
    return {
        "CPU": used.cpu.mean(axis=1), "busiest core": used.cpu.max(axis=1), "CPU of this job": used.process_cpu / cores,
        "waiting for input and output": used.io_wait, "memory": used.memory, "memory of this job": used.process_memory,
        **used.rates,
        **{f"GPU {i}": one for i, one in enumerate(used.gpu.T)},
        **{f"memory of GPU {i}": one for i, one in enumerate(used.gpu_memory.T)},
    }  # fmt: skip


def _unit(name: str, value: float) -> str:
    return f"{size(value)}/s" if name.startswith(("disk", "network")) else f"{value:.1f} %"


def _cpu(used: Usage) -> Picture:
    total, own, cores = used.cpu.mean(axis=1), used.process_cpu / used.cpu.shape[1], used.cpu.shape[1]
    found, io_wait = quantiles(total), float(np.quantile(used.io_wait, 0.95))
    sentence = (
        f"The median use of {counted(cores, 'core')} is {found['median']:.0f} %, p95 {found['p95']:.0f} %; this job's"
        f" own {np.median(own):.0f} %. p95 of waiting for input and output is {io_wait:.0f} %."
    )
    lines = {"CPU": total, "this job": own, "waiting for I/O": used.io_wait}
    return Picture("cpu", sentence, _percents(used.time, lines, "CPU, %"))


def _memory(used: Usage) -> Picture:
    found, total = quantiles(used.memory), used.memory_total_bytes
    own = quantiles(used.process_memory)
    grown = float(used.process_memory[-1] - np.median(used.process_memory[: max(1, len(used.time) // 4)]))
    sentence = (
        f"The median use of {size(total)} of memory is {found['median']:.0f} %, p95 {found['p95']:.0f} %; this job took"
        f" at most {size(own['most'] * total / 100)} and {_growth(grown * total / 100, total)}."
    )
    return Picture(
        "memory", sentence, _percents(used.time, {"memory": used.memory, "this job": used.process_memory}, "memory, %")
    )


def _growth(grown: float, total: int) -> str:
    return "did not grow" if grown < 0.01 * total else f"grew by {size(grown)} since its first quarter"


def _traffic(used: Usage) -> Picture:
    highs = {name: quantiles(rate)["p95"] for name, rate in used.rates.items()}
    most = max(highs, key=highs.__getitem__)
    median = float(np.median(used.rates[most]))
    sentence = (
        f"Busiest was {most} with {size(median)}/s in the median, p95 {size(highs[most])}/s."
        if highs[most] > 0
        else "Disk and network were idle: 0 B/s in 95 of 100 samples."
    )
    drawing, axes = figure(5.6, 2.8)
    for (name, rate), colour in zip(used.rates.items(), CYCLE, strict=False):
        plot(axes, used.time, rate / 1e6, color=colour, label=name, linewidth=1)
    axes.set(xlabel="seconds", ylabel="MB/s", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    return Picture("traffic", sentence, drawing)


def _gpu(used: Usage) -> Picture:
    medians, highs = np.median(used.gpu, axis=0), np.quantile(used.gpu, 0.95, axis=0)
    least = int(medians.argmin())
    memory = np.quantile(used.gpu_memory, 0.95, axis=0)
    sentence = (
        f"The median use of GPU {least}{', the least busy,' if len(medians) > 1 else ''} is {medians[least]:.0f} %, p95"
        f" {highs[least]:.0f} %; p95 of its memory {memory[least]:.0f} %."
    )
    lines = {f"GPU {i}": one for i, one in enumerate(used.gpu.T)}
    lines |= {f"memory of GPU {i}": one for i, one in enumerate(used.gpu_memory.T)}
    return Picture("gpu", sentence, _percents(used.time, lines, "GPU, %"))


def _percents(time: NDArray[np.float64], lines: Mapping[str, NDArray[np.float64]], label: str) -> Figure:
    drawing, axes = figure(5.6, 2.8)
    for k, (name, values) in enumerate(lines.items()):
        plot(axes, time, values, color=CYCLE[k % len(CYCLE)], label=name, linewidth=1.2)
    axes.set(xlabel="seconds", ylabel=label, ylim=(0, 103))
    axes.legend(frameon=False, fontsize=8)
    return drawing


def _advice(used: Usage) -> list[str]:
    if len(used.time) < FEW_SAMPLES:
        return []
    memory, cpu = float(np.quantile(used.memory, 0.95)), float(np.median(used.cpu.mean(axis=1)))
    advice = []
    if memory < SMALL_MEMORY:
        advice.append(f"Memory p95 is {memory:.0f} %: an instance with less memory will do.")
    if cpu < SMALL_CPU and used.cpu.shape[1] > 1:
        advice.append(f"Median CPU is {cpu:.0f} %: fewer cores will do, or let the job use more of them.")
    advice += [
        f"Median use of GPU {i} is {gpu:.0f} %: increase the batch, prepare data ahead, or take a smaller GPU."
        for i, gpu in enumerate(np.median(used.gpu, axis=0))
        if gpu < SMALL_GPU
    ]
    return advice


def steps(used: Usage) -> Part | None:
    """Show what steps took, and where all the time went; None where no step was told of."""
    if not used.steps:
        return None
    pictures = [_breakdown(used)]
    for mode, (numbers, seconds) in used.steps.items():
        pictures += [_over_time(mode, numbers, seconds), _histogram(mode, seconds)]
    rows = [(f"steps in mode {mode}", str(len(seconds)), *(times(v) for v in quantiles(seconds).values()))
            for mode, (_, seconds) in used.steps.items()]  # fmt: skip
    head = ("", "number", "least", "median", "p95", "p99", "most")
    facts: dict[str, Any] = {
        "breakdown_seconds": breakdown(used),
        "steps": {mode: quantiles(seconds) for mode, (_, seconds) in used.steps.items()},
    }
    return Part(Section("Time", tables=[Table(head, rows)], pictures=pictures), tuple(_time_advice(used)), facts)


def breakdown(used: Usage) -> dict[str, float]:
    """Give the seconds of the job by what they went to; what nobody told of is `other`."""
    found = {"before the first step": used.waited_seconds}
    found |= {f"{mode} steps": float(seconds.sum()) for mode, (_, seconds) in used.steps.items()}
    found |= {"waiting for data" if what == "data" else what: seconds for what, seconds in used.spent.items()}
    return {**found, "other": max(0.0, used.lasted_seconds - sum(found.values()))}


def _breakdown(used: Usage) -> Picture:
    found = {what: seconds for what, seconds in breakdown(used).items() if seconds > 0}
    total = sum(found.values())
    order = sorted(found, key=found.__getitem__, reverse=True)
    parts = [f"{share(found[what] / total)} {_into(what)}" for what in order]
    drawing, axes = figure(5.6, 1.9)
    left = 0.0
    for k, what in enumerate(found):
        axes.barh(0, found[what], 0.5, left, color=GRAY if what == "other" else CYCLE[k % len(CYCLE)], label=what)
        left += found[what]
    axes.set(xlabel="seconds", yticks=[], xlim=(0, total), ylim=(-0.3, 0.35))
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return Picture("breakdown", f"Of {times(total)}: {listed(parts, 6)}.", drawing)


def _into(what: str) -> str:
    return what if what.startswith(("before", "waiting")) else f"for {what}"


def _over_time(mode: str, numbers: NDArray[np.int64], seconds: NDArray[np.float64]) -> Picture:
    third = max(1, len(seconds) // 3)
    early, late = float(np.median(seconds[:third])), float(np.median(seconds[-third:]))
    slowest = int(seconds.argmax())
    change = "as long as" if 0.9 < late / max(early, 1e-9) < 1.1 else f"{late / max(early, 1e-9):.2f} times"
    sentence = (
        f"The last third of the {mode} steps took {change} the first ({times(late)} in the median); the slowest is step"
        f" {numbers[slowest]} with {times(float(seconds[slowest]))}."
    )
    drawing, axes = figure(5.6, 2.8)
    kept = _peaks(seconds)
    axes.plot(numbers[kept], 1000 * seconds[kept], color=TRAIN, linewidth=0.8)
    axes.set(xlabel=f"step ({mode})", ylabel="milliseconds", ylim=(0, None))
    return Picture(f"steps-{mode}", sentence, drawing)


def _peaks(seconds: NDArray[np.float64], most: int = 400) -> NDArray[np.int64]:
    """Give the index of the longest step of each of at most so many runs of steps: thinning must not hide one."""
    runs = np.array_split(np.arange(len(seconds)), min(len(seconds), most))
    return np.array([run[seconds[run].argmax()] for run in runs])


def _histogram(mode: str, seconds: NDArray[np.float64]) -> Picture:
    found = quantiles(seconds)
    sentence = (
        f"Half of the {len(seconds):,} {mode} steps took {times(found['median'])} or less, 95 of 100"
        f" {times(found['p95'])}, the longest {found['most'] / max(found['median'], 1e-9):.3g} times the median."
    )
    drawing, axes = figure(5.6, 2.8)
    axes.hist(1000 * seconds, bins=50, color=TRAIN)
    axes.axvline(1000 * found["median"], color=VALIDATION, label="median")
    axes.axvline(1000 * found["p95"], color=GRAY, linestyle="--", label="p95")
    axes.set(xlabel="milliseconds", ylabel="steps", yscale="log" if len(seconds) > 100 else "linear")
    axes.legend(frameon=False, fontsize=8)
    return Picture(f"step-times-{mode}", sentence, drawing)


def _time_advice(used: Usage) -> list[str]:
    found = breakdown(used)
    total = max(sum(found.values()), 1e-9)
    shares: Sequence[tuple[str, float, str]] = (
        (
            "waiting for data",
            MUCH_WAITING,
            "of the time the model waits for data: read ahead, cache, or use more cores.",
        ),
        ("saving", MUCH_SAVING, "of the time goes into what the debugger saves: save less often, or only reductions."),
        ("before the first step", MUCH_BEGINNING, "of the time passes before the first step: prepare data beforehand."),
    )
    return [
        f"{share(found[what] / total)} {text}"
        for what, much, text in shares
        if found.get(what, 0) > much * total and found[what] > FEW_SECONDS
    ]
