"""One function over many items, on all cores of this machine or on a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from typing import Any, Literal, TypeVar

import cv2

from edge.tflite import cores

from .recordings import DataError, TrainingError

Item = TypeVar("Item")
Result = TypeVar("Result")
Engine = Literal["local", "ray"]
AHEAD = 4
"""Tasks handed out for each worker: it never waits for the next, and memory does not grow with their number."""


class CrashedError(TrainingError):
    """A task that took its process along, as a decoder with a fault in C can."""


def over(
    items: Iterable[Item], function: Callable[[Item], Result], *, engine: Engine = "local", workers: int = 0
) -> Iterator[tuple[Item, Result | Exception]]:
    """Apply `function` to every item in parallel; yield each item with its result or exception, as they end.

    `workers` are processes, by default one a core; on Ray the cluster decides. `function` must be importable.
    """
    if engine == "ray":
        yield from _on_ray(items, function)
        return
    source = iter(items)
    while batch := list(islice(source, 1)):
        suspects = yield from _in_pool(_chain(batch, source), function, workers or cores())
        for item in suspects:  # one of these took its process along: which one, each shows alone
            crashed = yield from _in_pool([item], function, 1)
            for guilty in crashed:
                yield guilty, CrashedError("crashed the process that read it")


def _chain(first: list[Item], rest: Iterator[Item]) -> Iterator[Item]:
    yield from first
    yield from rest


def _in_pool(
    items: Iterable[Item], function: Callable[[Item], Result], workers: int
) -> Generator[tuple[Item, Result | Exception], None, list[Item]]:
    """Run items in a pool of processes; return those that were under way when a process died, else none."""
    source = iter(items)
    pending: dict[Future[Result], Item] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (os.getpid(),)) as pool:
        while True:
            for item in islice(source, workers * AHEAD - len(pending)):
                pending[pool.submit(function, item)] = item
            if not pending:
                return []
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    return list(pending.values())
                item = pending.pop(future)
                yield item, error if isinstance(error, Exception) else future.result()


def _begin(parent: int) -> None:
    """Prepare a worker: one thread, as there is one worker a core."""
    end_with(parent)
    cv2.setNumThreads(1)


def end_with(parent: int) -> None:
    """Let this child process end when its parent ends, however that ends, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(items: Iterable[Item], function: Callable[[Item], Result]) -> Iterator[tuple[Item, Result | Exception]]:
    ray = ray_cluster()
    remote = ray.remote(max_retries=1)(function)
    ahead = max(1, int(ray.cluster_resources().get("CPU", 1))) * AHEAD
    source = iter(items)
    pending: dict[Any, Item] = {}
    while True:
        for item in islice(source, ahead - len(pending)):
            pending[remote.remote(item)] = item
        if not pending:
            return
        done, _ = ray.wait(list(pending))
        for reference in done:
            item = pending.pop(reference)
            try:
                yield item, ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                yield item, error.cause
            except ray.exceptions.WorkerCrashedError:
                yield item, CrashedError("crashed the process that read it")


def ray_cluster(processors: int | None = None) -> Any:  # noqa: ANN401 - the module
    """Give Ray, connected to the cluster that RAY_ADDRESS names, else to one of this machine.

    `processors`: how many that one is told to have, where actors that mostly wait would not fit otherwise.
    """
    try:
        import ray
    except ModuleNotFoundError:
        msg = "--engine ray needs Ray, which is not installed: pip install 'touchline[ray]'"
        raise DataError(msg) from None
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_agent_register_timeout_ms", "100000")  # its 15 s are too few on a busy machine
        elsewhere = "RAY_ADDRESS" in os.environ
        # Not one that somebody else started here; and it listens on this machine only.
        here = {"address": "local", "num_cpus": processors, "_node_ip_address": "127.0.0.1"}
        own: dict[str, Any] = {} if elsewhere else here
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING, **own)
    return ray


@contextlib.contextmanager
def ray_of_our_own(processors: int) -> Iterator[Any]:
    """Give Ray as `ray_cluster` does; leave it afterwards, unless somebody was connected before."""
    connected = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    ray = ray_cluster(processors)
    try:
        yield ray
    finally:
        if not connected:
            ray.shutdown()
