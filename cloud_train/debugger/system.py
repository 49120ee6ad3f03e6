"""What the machine does while a job trains: a thread samples it into system.jsonl, one JSON line per sample."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from cloud_train.aws import CloudError

log = logging.getLogger(__name__)

SYSTEM = "system.jsonl"
INTERVAL_SECONDS = 0.5
"""As often as the original profiler samples; a day of it is 100 MB."""
CHILDREN_EVERY = 10
"""Samples between two searches for child processes: these read all of /proc."""


@dataclass(frozen=True)
class Gpu:
    """One GPU at one moment, as NVML tells it."""

    name: str
    percent: float
    memory_bytes: int
    memory_total_bytes: int


@dataclass(frozen=True)
class Steps:
    """Steps of one mode that ended since the sample before: the number of the first, and what each took."""

    mode: str
    first: int
    milliseconds: list[float]


@dataclass(frozen=True)
class Sample:
    """The machine at one moment; rates and shares are means since the sample before.

    `cpu_percent` has one value for each core; the process's own, its children's included, is 100 for a core that is
    busy. `children` are its child processes, such as those that load data. `spent` tells where its seconds went.
    """

    time: float  # seconds since 1970
    cpu_percent: list[float]
    io_wait_percent: float
    memory_bytes: int
    memory_total_bytes: int
    disk_read_bytes_per_second: float
    disk_write_bytes_per_second: float
    network_received_bytes_per_second: float
    network_sent_bytes_per_second: float
    process_cpu_percent: float
    process_memory_bytes: int
    process_started: float  # seconds since 1970
    spent: dict[str, float]
    children: int = 0
    gpus: tuple[Gpu, ...] = ()
    steps: tuple[Steps, ...] = ()


class Sampler:
    """Samples the machine from `start` to `stop`, a JSON line each to `append`; the training tells it of its steps.

    A sample costs about a millisecond of one core. When a line cannot be written the log says so once, and the
    training goes on without. `batch` lines are written together, for places where each write is dear.
    """

    def __init__(
        self, append: Callable[[bytes], object], *, interval_seconds: float = INTERVAL_SECONDS, batch: int = 1
    ) -> None:
        self._append, self._interval, self._batch = append, interval_seconds, batch
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._steps: list[tuple[str, int, float]] = []
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._thread = threading.Thread(target=self._run, name="system-sampler", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def step(self, mode: str, number: int, seconds: float) -> None:
        """Note that a step of a mode has ended and what it took."""
        with self._lock:
            self._steps.append((mode, number, seconds))

    def spend(self, what: str, seconds: float) -> None:
        """Note seconds that went elsewhere than into steps, such as `data`, `validation` or `saving`."""
        with self._lock:
            self._spent[what] += seconds

    def _run(self) -> None:
        with _nvml() as nvml:
            machine, lines = _Machine(nvml), []
            try:
                while not self._ended.wait(self._interval):
                    lines.append(self._line(machine))
                    if len(lines) >= self._batch:
                        self._append(b"".join(lines))
                        lines.clear()
                self._append(b"".join([*lines, self._line(machine)]))
            except (OSError, CloudError) as error:
                log.warning("the machine is not sampled any more: %s", error)

    def _line(self, machine: _Machine) -> bytes:
        with self._lock:
            steps, self._steps = self._steps, []
            spent, self._spent = self._spent, defaultdict(float)
        rounded = {what: round(seconds, 4) for what, seconds in spent.items()}
        return msgspec.json.encode(machine.sample(_runs(steps), rounded)) + b"\n"


@contextmanager
def sampling(file: Path, interval_seconds: float = INTERVAL_SECONDS) -> Iterator[Sampler]:
    """Sample into a file inside `with`."""
    with file.open("ab", buffering=0) as opened:
        sampler = Sampler(opened.write, interval_seconds=interval_seconds)
        sampler.start()
        try:
            yield sampler
        finally:
            sampler.stop()


def read_samples(folder: Path) -> list[Sample]:
    """Read the samples of a run that has ended or still goes on; a last line that is only half there is left out."""
    try:
        lines = (folder / SYSTEM).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    decoder = msgspec.json.Decoder(Sample)
    return [decoder.decode(line) for line in lines if line.endswith(b"}\n")]


class _Machine:
    """Reads the counters of the machine and of this process, and remembers them for the next rates."""

    def __init__(self, nvml: Any) -> None:  # noqa: ANN401 - the module pynvml, or None
        self._nvml, self._process = nvml, psutil.Process()
        self._started, self._taken = self._process.create_time(), 0
        self._children: dict[int, psutil.Process] = {}
        self._before = _counters()
        psutil.cpu_percent(percpu=True)
        psutil.cpu_times_percent()
        self._process.cpu_percent()

    def sample(self, steps: tuple[Steps, ...], spent: dict[str, float]) -> Sample:
        """Read all of it."""
        rates, memory, own = self._rates(), psutil.virtual_memory(), self._own()
        return Sample(
            time=round(time.time(), 3),
            cpu_percent=psutil.cpu_percent(percpu=True),
            io_wait_percent=getattr(psutil.cpu_times_percent(), "iowait", 0.0),  # Linux alone has it
            memory_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            disk_read_bytes_per_second=rates.read,
            disk_write_bytes_per_second=rates.written,
            network_received_bytes_per_second=rates.received,
            network_sent_bytes_per_second=rates.sent,
            process_cpu_percent=own.cpu_percent,
            process_memory_bytes=own.memory_bytes,
            process_started=self._started,
            spent=spent,
            children=len(self._children),
            gpus=_gpus(self._nvml),
            steps=steps,
        )

    def _rates(self) -> _Counters:
        now, before = _counters(), self._before
        self._before = now
        seconds = max(now.time - before.time, 1e-3)
        rates = (max(0.0, round((a - b) / seconds, 1)) for a, b in zip(now[1:], before[1:], strict=True))
        return _Counters(now.time, *rates)

    def _own(self) -> _Own:
        if self._taken % CHILDREN_EVERY == 0:
            alive = self._process.children(recursive=True)
            self._children = {child.pid: self._children.get(child.pid, child) for child in alive}
        self._taken += 1
        cpu, resident = self._process.cpu_percent(), self._process.memory_info().rss
        for pid, child in list(self._children.items()):
            try:
                cpu, resident = cpu + child.cpu_percent(), resident + child.memory_info().rss
            except psutil.Error:  # it has ended since
                del self._children[pid]
        return _Own(round(cpu, 1), resident)


class _Own(NamedTuple):
    cpu_percent: float
    memory_bytes: int


class _Counters(NamedTuple):
    """The clock, and bytes since the machine was started, or bytes a second."""

    time: float
    read: float
    written: float
    received: float
    sent: float


def _counters() -> _Counters:
    disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
    read, written = (disk.read_bytes, disk.write_bytes) if disk else (0, 0)  # a container may not see its disks
    received, sent = (network.bytes_recv, network.bytes_sent) if network else (0, 0)
    return _Counters(time.monotonic(), read, written, received, sent)


@contextmanager
def _nvml() -> Iterator[Any]:
    """Give NVML's module, or None where there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _gpus(nvml: Any) -> tuple[Gpu, ...]:  # noqa: ANN401 - the module pynvml, or None
    found: list[Gpu] = []
    for i in range(nvml.nvmlDeviceGetCount() if nvml else 0):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(i)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            percent = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except nvml.NVMLError:  # a part of a GPU (MIG) has no utilisation of its own
            continue
        found.append(Gpu(_text(nvml.nvmlDeviceGetName(handle)), percent, int(memory.used), int(memory.total)))
    return tuple(found)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _runs(steps: list[tuple[str, int, float]]) -> tuple[Steps, ...]:
    """Gather steps that follow each other in one mode."""
    runs: list[Steps] = []
    for mode, number, seconds in steps:
        last = runs[-1] if runs else None
        milliseconds = round(1000 * seconds, 3)
        if last and last.mode == mode and last.first + len(last.milliseconds) == number:
            last.milliseconds.append(milliseconds)
        else:
            runs.append(Steps(mode, number, [milliseconds]))
    return tuple(runs)
