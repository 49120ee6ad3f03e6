"""Between a robot's topics and MQTT: what the nodes say goes out by the contract; what is told may stop, never start.

A second and an event keep the stamps that the detector gave them. Events are on the disk before they count as sent and
wait there while the broker is away. Of a recording that is played again nothing is kept: it goes out on the topics of
`replay`. What is told is checked by the contract and reaches three services, none of which can make a robot move:
`event_detector/enable`, `event_detector/feedback` and `guard/stop`.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from touchline_msgs.msg import Event, LabelInfo, PolicyState, Second

from edge.address import MqttError, MqttUrl
from edge.config import Mqtt
from edge.events import SegmenterConfig
from edge.messages import Stamp, topic_id
from edge.mqtt import MqttPublisher
from edge.outbox import OutboxError
from edge.switches import Switches

from .health import Part, report
from .heard import birth
from .life import live
from .parameters import Setting, SettingError, declare
from .relay import EVENTS, LABELS, SECONDS, Relay
from .told import Told

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LOOK_SECONDS = 0.1
QUANTIZATION = "unknown"
"""Which numbers the detector's models use is not said on its topics."""
EVENT_SETTINGS = tuple(SegmenterConfig.__dataclass_fields__)
LOGGERS = ("edge.mqtt", "edge.control", "edge.sender", "edge.outbox")


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _id(text: str) -> str | None:
    return None if topic_id(text) == text else f"is {text!r}; it must be 1 to 64 letters, digits, - or _"


def _id_or_none(text: str) -> str | None:
    return _id(text) if text else None


SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at once"),
    Setting("url", "mqtt://localhost", "broker, mqtt[s]://[user@]host[:port][/base]; give passwords in a file"),
    Setting("node", "", "name of this robot in topics; empty: the host's", check=_id_or_none),
    Setting("source", "camera", "name of the source in topics, as the detector gives it", check=_id),
    Setting("outbox", "", "folder where events wait; empty: touchline in XDG_STATE_HOME; none: in memory only"),
    Setting("outbox_mb", 256, "what they may take there, megabytes", 1, 2**20),
    Setting(
        "delivery", "broker", "who must have an event: the broker or all consumers", choices=("broker", "end-to-end")
    ),
    Setting("consumers", "", "who acknowledges in end-to-end delivery, separated by commas"),
    Setting("user", "", "user name, where `url` has none"),
    Setting("password_file", "", "file whose first line is the password"),
    Setting("ca", "", "PEM file of the authorities to trust; empty: the system's"),
    Setting("certificate", "", "PEM file of our certificate"),
    Setting("key", "", "PEM file of its key"),
    Setting("alpn", "", "protocol to ask for in TLS, such as x-amzn-mqtt-ca"),
    Setting("protocol", "auto", "version of MQTT", choices=("auto", "5", "3.1.1")),
    Setting("envelope", "plain", "form of events", choices=("plain", "cloudevents")),
    Setting("home_assistant", default=False, description="announce the robot to Home Assistant"),
    Setting(
        "publish_ticks", default=True, description="how the switch for the decision of each second stands at first"
    ),
)


class MqttGatewayNode(LifecycleNode):
    """Connects when it is activated, says `stopped` when it is deactivated; a broker that is gone stops nothing."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - whatever a node takes
        super().__init__("mqtt_gateway", **kwargs)
        self._publisher: MqttPublisher | None = None
        self._relay: Relay | None = None
        self._told: Told | None = None
        self._label_info: LabelInfo | None = None
        self._heard_on: list[Any] = []
        self._ticking: Any = None
        self._words = _RosLog(self)
        declare(self, SETTINGS, lambda: None, lambda: self._publisher is not None)
        self._mqtt()
        report(self, self._parts)

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Check the settings and listen to the nodes."""
        try:
            self._mqtt()
        except SettingError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._told = Told(self, enabled=self._enabled, hindrance=self._hindrance, complain=self._warn)
        self._listen()
        self._ticking = self.create_timer(LOOK_SECONDS, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Connect, in the background."""
        assert self._told is not None
        mqtt, source = self._mqtt(), self.get_parameter("source").value
        name = mqtt.node or topic_id(socket.gethostname())
        stamp = Stamp(name, source, secrets.token_hex(4), time.time_ns(), "", "", "", QUANTIZATION)
        switches = Switches(off=() if mqtt.publish_ticks else ("publish_ticks",))
        info = birth(stamp, events=SegmenterConfig())
        self._words.begin()
        try:
            self._publisher = MqttPublisher(mqtt, stamp, info, (), switches=switches, reach=self._told.reach)
        except (MqttError, OutboxError) as error:
            self._words.end()
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._relay = Relay(self._publisher, stamp, self._warn)
        if self._label_info is not None:
            self._describe(self._label_info)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send what can be sent soon, and disconnect."""
        self._end()
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Listen no more."""
        self._leave()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Leave as from any state."""
        self._end()
        self._leave()
        return TransitionCallbackReturn.SUCCESS

    def _mqtt(self) -> Mqtt:
        """Read the settings; SettingError names the parameter and what would be right."""
        given = {each.name: self.get_parameter(each.name).value for each in SETTINGS}
        del given["autostart"], given["source"]
        try:
            mqtt = Mqtt(**{**given, "consumers": _names(given["consumers"])})
            MqttUrl.parse(mqtt.url, user=mqtt.user, password_file=mqtt.password_file)
        except (ValueError, MqttError) as error:
            msg = f"url: {error}" if isinstance(error, MqttError) else str(error)
            raise SettingError(msg) from None
        return mqtt

    def _listen(self) -> None:
        def hear(kind: type, topic: str, take: Callable[[Relay, Any], None], qos: QoSProfile) -> None:
            def heard(message: Any) -> None:  # noqa: ANN401
                if self._relay is not None:
                    take(self._relay, message)

            options = QoSOverridingOptions.with_default_policies()
            self._heard_on.append(self.create_subscription(kind, topic, heard, qos, qos_overriding_options=options))

        results = QoSProfile(depth=10)
        hear(Second, SECONDS, lambda relay, message: relay.second(message, time.monotonic()), results)
        hear(Event, EVENTS, lambda relay, message: relay.event(message, time.monotonic()), results)
        for node in ("guard", "policy"):
            take = partial(_policy, node)
            hear(PolicyState, f"{node}/state", take, LATCHED)
        hear(
            DiagnosticArray,
            "/diagnostics",
            lambda relay, message: relay.diagnostics(message, time.monotonic()),
            results,
        )
        # Also heard while inactive: it is sent once.
        options = QoSOverridingOptions.with_default_policies()
        self._heard_on.append(
            self.create_subscription(LabelInfo, LABELS, self._describe, LATCHED, qos_overriding_options=options)
        )

    def _describe(self, message: LabelInfo) -> None:
        self._label_info = message
        if self._relay is not None and self._told is not None:
            self._relay.label_info(message)
            self._told.ask_settings(EVENT_SETTINGS, self._relay.settings)

    def _enabled(self, on: bool) -> None:  # noqa: FBT001 - what the service takes
        if self._relay is not None:
            self._relay.enabled(time.monotonic(), on=on)

    def _hindrance(self) -> str:
        guarded = self.count_publishers("guard/state") > 0
        return self._relay.hindrance(guarded=guarded) if self._relay is not None else ""

    def _look(self) -> None:
        if self._relay is not None and self._told is not None:
            self._told.look()
            self._relay.look(time.monotonic(), stop=self._told.stop_trouble)

    def _end(self) -> None:
        if self._publisher is None or self._relay is None:
            return
        self._relay.close()
        self._publisher.close()
        self._words.end()
        self._publisher = self._relay = None

    def _leave(self) -> None:
        if self._told is not None:
            self._told.close()
            self._told = None
        for subscription in self._heard_on:
            self.destroy_subscription(subscription)
        self._heard_on = []
        if self._ticking is not None:
            self.destroy_timer(self._ticking)
            self._ticking = None

    def _warn(self, sentence: str) -> None:
        self.get_logger().warning(sentence)

    def _parts(self) -> list[Part]:
        if self._publisher is None or self._relay is None or self._told is None:
            return [Part("broker", "not active, nothing is sent")]
        now, relay, box = time.monotonic(), self._relay, self._publisher.outbox
        events = asdict(box.accounting()["event"]) if box is not None else {}
        lost = f"{events['dropped']} events had to be dropped" if events.get("dropped") else ""
        return [
            Part("broker", self._publisher.trouble, broken=True),
            Part("outbox", lost, broken=True, values=events),
            Part("detector", relay.detector_trouble(now), values=dict(relay.counts)),
            Part("policy", self._told.stop_trouble or relay.policy_trouble(now)),
            Part("commands", "; ".join(filter(None, self._told.troubles.values()))),
        ]


class _RosLog(logging.Handler):
    """Carries what the publisher says into the node's log, between `begin` and `end`."""

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__()
        self._node = node

    def begin(self) -> None:
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self)

    def end(self) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._node.get_logger().warning(record.getMessage())


def _policy(node: str, relay: Relay, message: PolicyState) -> None:
    relay.policy(node, message, time.monotonic())


def main() -> int:
    """Run the gateway."""
    return live([MqttGatewayNode])
