"""The event detector as a node: pictures and sound by their stamps in, a decision each second and events out."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from touchline_msgs.msg import Event as EventMsg
from touchline_msgs.msg import LabelInfo
from touchline_msgs.msg import Second as SecondMsg
from touchline_msgs.srv import Feedback as FeedbackSrv
from touchline_msgs.srv import LoadBundle, Mark, SetTable

from edge.bundle import DEMO, Bundle
from edge.clip import Second
from edge.config import Mqtt
from edge.events import SegmenterConfig
from edge.fusion import read_fusion
from edge.manifest import BundleError
from edge.messages import utc
from edge.microphone import Block
from edge.rosaudio import AudioError
from edge.rosimage import ImageError, compressed_frame, video_frame
from edge.runtime import self_test
from edge.strict import StrictError

from . import audio, notes
from .annotated import annotated
from .health import Part, report
from .judge import NANOSECONDS, Judge, Judged
from .life import live
from .parameters import Setting, declare
from .said import event_message, label_info, second_message

SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at start, without a lifecycle manager"),
    Setting("bundle", "", "directory of the bundle; empty: the shipped demo"),
    Setting("source", "camera", "name of the source in messages and in MQTT topics"),
    Setting("mode", "live", "what Second.mode says", choices=("live", "replay")),
    Setting("image_transport", "raw", "type of the topic image", choices=("raw", "compressed")),
    Setting(
        "audio_type",
        "none",
        "type of the topic audio, or an input of this machine",
        choices=("none", audio.STAMPED, audio.DATA_STAMPED, audio.MICROPHONE),
    ),
    Setting("microphone", "", "number or part of the name of the input; empty: the system's"),
    Setting("max_wait", 2.0, "seconds without anything after which what is there is decided", 0.5, 60.0, live=True),
    Setting("queue", 64, "messages that may wait; the oldest is dropped and counted", 2, 1000),
    Setting("threads", 0, "threads for each model; 0: as many as it is worth", 0, 64),
    Setting("notes", "", "folder for marks and feedback; empty: touchline in XDG_STATE_HOME"),
    Setting("on_score", SegmenterConfig.on_score, "score at which a label may become an event", 0.0, 1.0),
    Setting("off_score", SegmenterConfig.off_score, "score down to which it goes on", 0.0, 1.0),
    Setting("minimum_seconds", SegmenterConfig.minimum_seconds, "seconds that make an event", 1, 60),
    Setting("merge_gap_seconds", SegmenterConfig.merge_gap_seconds, "a hole that does not end an event", 0, 60),
    Setting("update_seconds", SegmenterConfig.update_seconds, "seconds between updates of an event", 1, 3600),
)
SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RESULTS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OVERRIDABLE = QoSOverridingOptions.with_default_policies()


class EventDetectorNode(LifecycleNode):
    """Callbacks only store; one worker runs the device's loop. What comes too fast is dropped, the oldest first."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever rclpy takes
        super().__init__("event_detector", **options)
        self._bundle: Bundle | None = None
        self._judge: Judge | None = None
        self._worker: threading.Thread | None = None
        self._ear: audio.Ear | None = None
        self._made: list[Any] = []
        self._served: list[Any] = []
        self._published: list[Any] = []
        self._swap: tuple[Bundle, Judge] | None = None
        self._enabled = True
        self._clear()
        declare(self, SETTINGS, lambda: None, lambda: self._worker is not None)
        report(self, self._parts)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the bundle and open every topic."""
        try:
            self._bundle = Bundle.load(self._value("bundle") or DEMO)
            self._judge = self._new_judge(self._bundle)
            self._open()
        except (BundleError, AudioError) as error:
            self.get_logger().error(str(error))
            self._close()
            return TransitionCallbackReturn.FAILURE
        self._labels.publish(label_info(self._bundle))
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to judge."""
        assert self._bundle is not None
        self._clear()
        self._judge = self._new_judge(self._bundle)
        self._ended.clear()
        self._worker = threading.Thread(target=self._work, name="judge", daemon=True)
        self._worker.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Decide what is there, end every event, judge no more."""
        self._rest()
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close every topic and forget the bundle."""
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """End every event and close."""
        self._rest()
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """End the worker first, which publishes, and the microphone."""
        self._rest()
        self._deafen()
        super().destroy_node()

    def _value(self, name: str) -> Any:  # noqa: ANN401 - parameters are of many types
        return self.get_parameter(name).value

    def _new_judge(self, bundle: Bundle) -> Judge:
        names = ("on_score", "off_score", "minimum_seconds", "merge_gap_seconds", "update_seconds")
        events = SegmenterConfig(**{name: self._value(name) for name in names})
        hears = self._value("audio_type") != "none"
        return Judge(bundle, events, secrets.token_hex(4), audio=hears, threads=self._value("threads") or None)

    def _open(self) -> None:
        assert self._bundle is not None
        compressed = self._value("image_transport") == "compressed"
        image = CompressedImage if compressed else Image
        self._decode = compressed_frame if compressed else video_frame
        self._seconds = self.create_publisher(SecondMsg, "~/second", RESULTS, qos_overriding_options=OVERRIDABLE)
        self._events = self.create_publisher(EventMsg, "~/event", RESULTS, qos_overriding_options=OVERRIDABLE)
        self._labels = self.create_publisher(LabelInfo, "~/label_info", LATCHED)
        self._pictures = self.create_publisher(CompressedImage, "~/annotated", SENSOR)
        self._published = [self._seconds, self._events, self._labels, self._pictures]
        self._made = [self.create_subscription(image, "image", self._keep, SENSOR, qos_overriding_options=OVERRIDABLE)]
        kind = self._value("audio_type")
        if kind != "none" and self._bundle.manifest.hears:
            rate_hz = self._bundle.manifest.clip.sample_rate_hz
            self._ear = audio.Ear(self, kind, self._value("microphone"), rate_hz, self._keep)
        self._served = [
            self.create_service(SetBool, "~/enable", self._enable),
            self.create_service(LoadBundle, "~/load_bundle", self._load_bundle),
            self.create_service(SetTable, "~/set_table", self._set_table),
            self.create_service(Mark, "~/mark", self._mark),
            self.create_service(FeedbackSrv, "~/feedback", self._feed_back),
            self.create_service(Trigger, "~/self_test", self._self_test),
        ]

    def _close(self) -> None:
        self._deafen()
        for made in self._made:
            self.destroy_subscription(made)
        for served in self._served:
            self.destroy_service(served)
        for published in self._published:
            self.destroy_publisher(published)
        self._made, self._served, self._published = [], [], []
        self._bundle = self._judge = None

    def _deafen(self) -> None:
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    def _clear(self) -> None:
        self._queue: deque[Any] = deque()
        self._waiting = threading.Condition()
        self._ended = threading.Event()
        self._last: Any = None
        self._frame_id = ""
        self._counts = {"pictures": 0, "sounds": 0, "dropped": 0, "refused": 0, "seconds": 0, "events": 0}
        self._before, self._rates = dict(self._counts), {"pictures": 0.0, "sounds": 0.0}
        self._latencies: deque[float] = deque(maxlen=100)
        self._trouble = ""

    def _keep(self, message: Any) -> None:  # noqa: ANN401 - an image or sound
        if self._worker is None or not self._enabled:
            return
        with self._waiting:
            if len(self._queue) >= self._value("queue"):
                self._queue.popleft()
                self._counts["dropped"] += 1
            self._queue.append(message)
            self._waiting.notify()

    def _work(self) -> None:
        """Judge what is kept until told to end; then what is left."""
        quiet = True
        while True:
            with self._waiting:
                waits = self._value("max_wait")
                came = self._waiting.wait_for(lambda: self._queue or self._ended.is_set() or self._swap, waits)
                message = self._queue.popleft() if self._queue else None
            if self._swap is not None:
                self._change(*self._swap)
            if message is not None:
                self._take(message)
                quiet = False
            elif self._ended.is_set():
                self._say(self._now().flush())
                return
            elif not came and not quiet:
                self._say(self._now().pause())
                quiet = True

    def _now(self) -> Judge:
        assert self._judge is not None
        return self._judge

    def _take(self, message: Any) -> None:  # noqa: ANN401 - an image or sound
        if isinstance(message, Block):
            stamp_ns = message.stamp_ns
        else:
            stamp_ns = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
        jumps = self._now().jumps
        try:
            if isinstance(message, Image | CompressedImage):
                self._counts["pictures"] += 1
                self._frame_id = message.header.frame_id
                frame = self._last = self._decode(message)
                self._say(self._now().push(stamp_ns, frame=frame))
            else:
                self._counts["sounds"] += 1
                assert self._ear is not None
                for at_ns, block in self._ear.samples(message):
                    self._say(self._now().push(at_ns, audio=block))
        except (ImageError, AudioError) as error:
            self._counts["refused"] += 1
            topic = "image" if isinstance(error, ImageError) else "audio"
            self._complain(f"{topic}: {error}")
            return
        if self._now().jumps > jumps:
            self._complain(f"the clock of the stamps went back to {stamp_ns / NANOSECONDS:.3f} s; events were ended")
        elif self._trouble.startswith(("image: ", "audio: ")):
            self._trouble = ""

    def _say(self, judged: list[Judged]) -> None:
        assert self._bundle is not None
        for one in judged:
            more = {"seq": self._counts["seconds"], "source": self._value("source"), "mode": self._value("mode")}
            more["header"] = Header(frame_id=self._frame_id)
            if isinstance(one.record, Second):
                self._counts["seconds"] += 1
                more["seq"] = self._counts["seconds"]
                self._latencies.append(one.record.latency_ms)
                self._seconds.publish(second_message(one.record, one.origin_ns, self._bundle, **more))
                self._show(one)
            else:
                self._counts["events"] += 1
                self._events.publish(event_message(one.record, one.origin_ns, self._bundle, **more))

    def _show(self, judged: Judged) -> None:
        if self._last is not None and self._pictures.get_subscription_count():
            assert isinstance(judged.record, Second)
            self._pictures.publish(annotated(self._last, judged.record, judged.origin_ns))

    def _change(self, bundle: Bundle, judge: Judge) -> None:
        """Put another bundle in force, between two messages."""
        self._say(self._now().flush())
        self._bundle, self._judge, self._swap = bundle, judge, None
        self._labels.publish(label_info(bundle))

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.get_logger().warning(trouble)
        self._trouble = trouble

    def _rest(self) -> None:
        if self._worker is not None:
            with self._waiting:
                self._ended.set()
                self._waiting.notify()
            self._worker.join()
            self._worker = None

    def _use(self, bundle: Bundle) -> None:
        judge = self._new_judge(bundle)
        if self._worker is None:
            self._bundle, self._judge = bundle, judge
            self._labels.publish(label_info(bundle))
            return
        with self._waiting:
            self._swap = (bundle, judge)
            self._waiting.notify()

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success, response.message = True, "judging" if request.data else "judging nothing"
        return response

    def _load_bundle(self, request: LoadBundle.Request, response: LoadBundle.Response) -> LoadBundle.Response:
        try:
            bundle = Bundle.load(request.path)
            if request.sha256 and request.sha256 != bundle.sha256:
                msg = f"{request.path}: its SHA-256 is {bundle.sha256}, not {request.sha256}"
                raise BundleError(msg)  # noqa: TRY301
            self._use(bundle)
        except BundleError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, f"{bundle.manifest.name} {bundle.manifest.version}"
        return response

    def _set_table(self, request: SetTable.Request, response: SetTable.Response) -> SetTable.Response:
        assert self._bundle is not None
        try:
            fusion = read_fusion(notes.as_json(yaml.safe_load(request.yaml)), "fusion.json")
            self._use(replace(self._bundle, fusion=fusion))
        except (StrictError, BundleError, yaml.YAMLError, ValueError) as error:
            response.success, response.message = False, f"yaml: {str(error).splitlines()[0]}"
        else:
            response.success, response.message = True, fusion.version
        return response

    def _folder(self) -> Path:
        named = self._value("notes")
        return Path(named) if named else Mqtt().folder or Path()

    def _mark(self, request: Mark.Request, response: Mark.Response) -> Mark.Response:
        why = notes.mark(self._folder(), self._value("source"), request.label, request.note, utc(time.time_ns()))
        response.success, response.message = not why, why or "kept"
        return response

    def _feed_back(self, request: FeedbackSrv.Request, response: FeedbackSrv.Response) -> FeedbackSrv.Response:
        why = notes.feed_back(self._folder(), request.id, request.verdict, request.label, utc(time.time_ns()))
        response.success, response.message = not why, why or "kept"
        return response

    def _self_test(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        assert self._bundle is not None
        found = self_test(self._bundle)
        wrong = [f"{name}: {said}" for name, said in found.items() if said != "ok"]
        response.success, response.message = not wrong, "; ".join(wrong) or f"{len(found)} steps ok"
        return response

    def _parts(self) -> list[Part]:
        if self._judge is None:
            return [Part("detector", "not configured")]
        for name in self._rates:
            self._rates[name] = self._counts[name] - self._before[name]
        self._before = dict(self._counts)
        delays = sorted(self._latencies)
        values: dict[str, object] = {**self._counts, "late": self._now().late, "clock set back": self._now().jumps}
        if delays:
            values["inference p95 ms"] = f"{delays[int(0.95 * (len(delays) - 1))]:.1f}"
        active = self._worker is not None
        parts = [Part("detector", self._trouble if active else "", values=values)]
        parts.append(
            Part("camera", self._camera_trouble() if active else "", values={"hertz": self._rates["pictures"]})
        )
        if self._ear is not None:
            silent = "nothing comes in" if active and not self._rates["sounds"] else ""
            heard: dict[str, object] = {"hertz": self._rates["sounds"], "lost samples": self._ear.lost}
            parts.append(Part("sound", self._ear.trouble or silent, values=heard))
        return parts

    def _camera_trouble(self) -> str:
        if self.count_publishers("image") > 1:
            return "several nodes publish image; their pictures are mixed"
        if self.get_parameter("use_sim_time").value and self.get_clock().now().nanoseconds == 0:
            return "use_sim_time is set, and nobody publishes /clock"
        return "" if self._rates["pictures"] else "nothing comes in"


def main() -> int:
    """Run the node."""
    return live([EventDetectorNode])
