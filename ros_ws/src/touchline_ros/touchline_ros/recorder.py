"""Records topics as they are on the wire into a rosbag2 folder in MCAP, split by size; no message is decoded."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from .health import Part, report
from .life import live
from .parameters import Setting, declare

TOPICS = "image,audio,event_detector/second,event_detector/event,event_detector/label_info,guard/state,cmd_vel"
SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at start, without a lifecycle manager"),
    Setting("path", "", "folder for the recordings, one folder for each start and each split"),
    Setting("topics", TOPICS, "topics to record, separated by commas; each once somebody publishes it"),
    Setting("split_megabytes", 1024, "a recording of this size is closed and another begun", 1, 1_000_000),
)
LOOK_SECONDS = 0.5
"""How often new topics are looked for."""


class RecorderNode(LifecycleNode):
    """Writes what comes, while active; a disk that fails ends the recording with one sentence, not the node."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__("recorder", **options)
        self._heard: dict[str, Any] = {}
        self._connections: dict[str, Any] = {}
        self._writer: Any = None
        self._lock = threading.Lock()
        self._timer: Any = None
        self._folder = Path()
        self._messages = self._bytes = self._in_split = self._splits = 0
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
        self._timer = self.create_timer(LOOK_SECONDS, self._look)
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
        """Subscribe to every wanted topic that somebody publishes by now."""
        wanted = [self.resolve_topic_name(name.strip()) for name in self.get_parameter("topics").value.split(",")]
        for topic, kinds in self.get_topic_names_and_types():
            publishers = self.get_publishers_info_by_topic(topic) if topic in wanted else []
            if publishers and topic not in self._heard:
                package, _, name = kinds[0].split("/")
                kind = getattr(import_module(f"{package}.msg"), name)
                self._heard[topic] = self.create_subscription(
                    kind, topic, lambda data, topic=topic, kind=kinds[0]: self._keep(topic, kind, data),
                    _qos([one.qos_profile for one in publishers]), raw=True,
                )  # fmt: skip

    def _keep(self, topic: str, kind: str, data: bytes) -> None:
        if self._timer is None or self._trouble:
            return
        try:
            with self._lock:
                if self._writer is None:
                    self._begin()
                if topic not in self._connections:
                    store = typestore(kind)
                    self._connections[topic] = self._writer.add_connection(topic, kind, typestore=store)
                self._writer.write(self._connections[topic], self.get_clock().now().nanoseconds, data)
                self._messages += 1
                self._bytes += len(data)
                self._in_split += len(data)
                if self._in_split >= self.get_parameter("split_megabytes").value * 1_000_000:
                    self._end()
        except OSError as error:
            self._trouble = f"{self._folder}: {(error.strerror or str(error)).lower()}; nothing more is recorded"
            self.get_logger().error(self._trouble)

    def _begin(self) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{self._splits:04d}"
        self._writer = Writer(self._folder / name, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections, self._in_split, self._splits = {}, 0, self._splits + 1

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _rest(self) -> None:
        if self._timer is None:
            return
        self.destroy_timer(self._timer)
        self._timer = None
        for heard in self._heard.values():
            self.destroy_subscription(heard)
        self._heard = {}
        with self._lock:
            self._end()

    def _parts(self) -> list[Part]:
        values = {"messages": self._messages, "megabytes": f"{self._bytes / 1e6:.1f}", "recordings": self._splits}
        values["topics"] = ", ".join(sorted(self._heard))
        silent = self._timer is not None and not self._heard
        trouble = self._trouble or ("none of its topics is published" if silent else "")
        return [Part("recorder", trouble, broken=bool(self._trouble), values=values)]


def typestore(kind: str) -> Typestore:
    """Make a store that knows a message type, and those in it, by the definitions that are installed."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    missing = [kind]
    while missing:
        name = missing.pop()
        if name in store.types:
            continue
        package, _, short = name.split("/")
        text = (Path(get_package_share_directory(package)) / "msg" / f"{short}.msg").read_text(encoding="utf-8")
        found = get_types_from_msg(text, name)
        store.register(found)
        missing += [used for used in _used(found[name]) if used not in store.types]
    return store


def _used(definition: Any) -> list[str]:  # noqa: ANN401 - rosbags' tree of fields
    """Name the message types that a definition's fields are made of."""
    names, parts = [], [definition]
    while parts:
        part = parts.pop()
        if isinstance(part, str) and part.count("/") == 2:
            names.append(part)
        elif isinstance(part, list | tuple):
            parts += part
    return names


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
