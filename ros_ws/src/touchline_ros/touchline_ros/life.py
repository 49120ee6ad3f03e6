"""The life of a node's process: from its command line through every transition to a clean end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from .parameters import SettingError

RUN_ERROR, USAGE_ERROR = 1, 2
SPIN_SECONDS = 0.2
"""How often a spinning process looks whether it was told to end."""


def live(make: Sequence[Callable[[], LifecycleNode]], executor: Callable[[], Executor] = SingleThreadedExecutor) -> int:
    """Run nodes in one process until SIGINT or SIGTERM, shut each down through its lifecycle, return the exit code.

    A node with the parameter `autostart` true is configured and activated at once; if that fails the process ends with
    code 1, as nobody else would notice. A parameter that is refused ends it with code 2.
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    # rclpy's own handlers end the context before on_shutdown could send a last word.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    nodes: list[LifecycleNode] = []
    spinner = executor()
    code = 0
    try:
        for each in make:
            nodes.append(each())
            spinner.add_node(nodes[-1])
        code = 0 if all(map(_autostart, nodes)) else RUN_ERROR
        while not (ended.is_set() or code):
            spinner.spin_once(timeout_sec=SPIN_SECONDS)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        code = USAGE_ERROR
    finally:
        spinner.shutdown()  # first: no callback runs beside on_shutdown, whatever the executor
        for node in reversed(nodes):
            node.trigger_shutdown()
        for node in reversed(nodes):
            node.destroy_node()
        rclpy.try_shutdown()
    return code


def _autostart(node: LifecycleNode) -> bool:
    if not (node.has_parameter("autostart") and node.get_parameter("autostart").value):
        return True
    done = (node.trigger_configure, node.trigger_activate)
    return all(step() == TransitionCallbackReturn.SUCCESS for step in done)


def state_name(state: LifecycleState) -> str:
    """Name a lifecycle state as `ros2 lifecycle get` does."""
    return str(state.label)
