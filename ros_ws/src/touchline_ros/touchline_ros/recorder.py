"""Records topics as they are on the wire, undecoded, into rosbag2 folders in MCAP, split by size and time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from .health import Part, report
from .life import live
from .parameters import Setting, declare
from .tape import Tape, typestore

TOPICS = "image,audio,event_detector/second,event_detector/event,event_detector/label_info,guard/state,cmd_vel"
SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at start, without a lifecycle manager"),
    Setting("path", "", "folder for the recordings, one folder for each start and each split"),
    Setting("topics", TOPICS, "topics to record, separated by commas; each once somebody publishes it"),
    Setting("split_megabytes", 1024, "a recording of this size is closed and another begun", 1, 1_000_000),
    Setting("split_seconds", 3600, "a recording of this age is closed and another begun", 1, 86_400),
)
LOOK_SECONDS = 0.5
"""How often new topics are looked for, and what was recorded is put out of a crash's reach."""


class RecorderNode(LifecycleNode):
    """Writes what comes, while active; a disk that fails ends the recording with one sentence, not the node."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__("recorder", **options)
        self._heard: dict[str, Any] = {}
        self._unknown: set[str] = set()
        self._tape: Tape | None = None
        self._lock = threading.Lock()
        self._timer: Any = None
        self._folder = Path()
        self._messages = self._bytes = 0
        self._trouble = ""
        declare(self, SETTINGS, lambda: None, lambda: self._timer is not None)
        report(self, self._parts)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make the folder."""
        self._folder = Path(self.get_parameter("path").value).expanduser()
        try:
            if not self.get_parameter("path").value:
                msg = "is empty; name a folder"
                raise OSError(msg)  # noqa: TRY301
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.get_logger().error(f"path: {self._folder}: {(error.strerror or str(error)).lower()}")
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin a recording."""
        self._messages = self._bytes = 0
        self._trouble = ""
        megabytes, seconds = (self.get_parameter(f"split_{unit}").value for unit in ("megabytes", "seconds"))
        self._tape = Tape(self._folder, megabytes * 1_000_000, seconds)
        steady = Clock(
            clock_type=ClockType.STEADY_TIME
        )  # there may be no /clock until a player has somebody who listens
        self._timer = self.create_timer(LOOK_SECONDS, self._look, clock=steady)
        self._look()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the recording."""
        self._rest()
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Nothing is left to close."""
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close the recording."""
        self._rest()
        return TransitionCallbackReturn.SUCCESS

    def _look(self) -> None:
        """Subscribe to every wanted topic that somebody publishes by now; settle what was recorded."""
        wanted = [self.resolve_topic_name(name.strip()) for name in self.get_parameter("topics").value.split(",")]
        for topic, kinds in self.get_topic_names_and_types():
            known = topic in self._heard or topic in self._unknown
            if topic in wanted and not known and (publishers := self.get_publishers_info_by_topic(topic)):
                self._hear(topic, kinds[0], _qos([one.qos_profile for one in publishers]))
        self._guarded(lambda tape: tape.settle())

    def _hear(self, topic: str, kind: str, qos: QoSProfile) -> None:
        package, _, name = kind.split("/")
        try:
            message, types = getattr(import_module(f"{package}.msg"), name), typestore(kind)
        except (ImportError, AttributeError, LookupError, OSError):
            self._unknown.add(topic)
            self.get_logger().warning(f"{topic} is not recorded: its type {kind} is not installed here")
            return

        def keep(data: bytes) -> None:
            stamp_ns = self.get_clock().now().nanoseconds
            self._guarded(lambda tape: tape.write(topic, kind, types, stamp_ns, data))
            if not self._trouble:
                self._messages += 1
                self._bytes += len(data)

        self._heard[topic] = self.create_subscription(message, topic, keep, qos, raw=True)

    def _guarded(self, do: Callable[[Tape], None]) -> None:
        """Do something with the tape; a disk that fails is said once, and nothing more is written."""
        with self._lock:
            if self._tape is None:
                return
            try:
                do(self._tape)
            except OSError as error:
                self._trouble = f"{self._folder}: {(error.strerror or str(error)).lower()}; nothing more is recorded"
                self.get_logger().error(self._trouble)
                with suppress(OSError):
                    self._tape.close()
                self._tape = None

    def _rest(self) -> None:
        if self._timer is None:
            return
        self.destroy_timer(self._timer)
        self._timer = None
        for heard in self._heard.values():
            self.destroy_subscription(heard)
        self._heard, self._unknown = {}, set()
        self._guarded(lambda tape: tape.close())
        self._tape = None

    def _parts(self) -> list[Part]:
        values = {
            "messages": self._messages,
            "megabytes": f"{self._bytes / 1e6:.1f}",
            "recordings": self._tape.parts if self._tape else 0,
        }
        values["topics"] = ", ".join(sorted(self._heard))
        silent = self._timer is not None and not self._heard
        unknown = f"{', '.join(sorted(self._unknown))}: type not installed here" if self._unknown else ""
        trouble = self._trouble or unknown or ("none of its topics is published" if silent else "")
        return [Part("recorder", trouble, broken=bool(self._trouble), values=values)]


def _qos(offered: Sequence[QoSProfile]) -> QoSProfile:
    """Ask for the most that every publisher offers: reliable, and what was latched before."""
    reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered)
    latched = all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
    return QoSProfile(
        depth=100,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def main() -> int:
    """Run the node."""
    return live([RecorderNode])
