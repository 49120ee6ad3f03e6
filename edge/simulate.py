"""A device without a camera: plays a recorded match over MQTT, with the faults that a subscriber must survive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue

import msgspec
from paho.mqtt.client import MQTTMessage

from . import __version__
from .address import MqttError, MqttUrl
from .broker import Connection, Protocol
from .clip import MODALITIES
from .contract import Acknowledgement, Gap, RpcReply, RpcRequest
from .events import SegmenterConfig
from .messages import EventMessage, Info, Message, Tick, encode
from .rpc import answer_address
from .script import Step
from .tls import Security

UP_SECONDS = 30.0
"""How long a broker may take to be there, at first and after a cut."""
IN_FLIGHT = 20
RESEND_SECONDS = 2.0
"""A consumer that has not got on for so long is sent again what it has not acknowledged."""
MOST_GIVEN = 100
"""Events in one answer."""
NO_LABEL = "none"


class Device:
    """A node with one source as a subscriber sees it: retained state, ticks, events, history by rpc.

    Everything happens in the caller's thread, in `do` and `wait`; paho's only fills the inbox. `given` holds the
    offsets that were asked for and given from history, `upto` what the consumer, if one is named, has acknowledged.
    """

    def __init__(
        self,
        address: MqttUrl,
        messages: Sequence[Message],
        *,
        consumer: str | None = None,
        security: Security | None = None,
        protocol: Protocol = "auto",
        say: Callable[[str], None],
    ) -> None:
        self.ticks = self.events = self.upto = 0
        self.given: set[int] = set()
        self.asked = 0.0
        self._address, self._say, self._consumer = address, say, consumer
        self._messages, self._boot, self._label = messages, messages[0].boot, NO_LABEL
        self._up = self._met = False
        self._node = f"{self._address.base}/{messages[0].node}"
        self._source = f"{self._node}/{messages[0].source}"
        self._inbox: SimpleQueue[MQTTMessage | str | int | None] = SimpleQueue()
        self._kept: list[EventMessage | Gap] = []
        self._waiting: list[EventMessage | Gap] = []
        self._flying: dict[int, EventMessage | Gap | None] = {}  # None: state, which a new connection sends anew
        self._connection = Connection(
            self._address,
            f"touchline-{messages[0].node}-{messages[0].source}",
            topics=[f"{self._node}/rpc/+", *([f"{self._source}/acknowledge/{consumer}"] if consumer else [])],
            on_up=lambda: self._inbox.put(None),
            on_down=self._inbox.put,
            on_ack=self._inbox.put,
            on_message=self._inbox.put,
            will=(f"{self._node}/status", "offline"),
            security=security,
            protocol=protocol,
            resend=False,  # we do, in our order
        )

    def open(self) -> None:
        """Connect and say what the node is; MqttError says why it cannot."""
        self._connection.open()
        if not self.wait(UP_SECONDS, until=lambda: self._up):
            msg = f"mqtt broker {self._address}: no answer"
            raise MqttError(msg)

    def do(self, step: Step) -> None:
        """Carry out one step of a script."""
        if step.deed == "cut":
            self.wait(UP_SECONDS, until=lambda: self._up and not self._flying)
            self._up = False
            self._connection.cut()
        elif step.deed == "mend":
            self.wait(UP_SECONDS, until=lambda: self._up)
        elif isinstance(step.message, Tick):
            self.ticks += 1
            if self._up:
                self._connection.publish(f"{self._source}/tick", encode(step.message))
        elif step.message is not None:
            self._event(step, step.message)
        self.wait(UP_SECONDS, until=lambda: len(self._flying) < IN_FLIGHT or not self._up)

    def settle(self) -> bool:
        """Wait until the broker, and the consumer if one is named, has everything; False if that takes too long."""
        last = max(_last(message) for message in self._kept)
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline:
            sent = self.wait(UP_SECONDS, until=lambda: self._up and not self._flying and not self._waiting)
            if sent and self._consumer is None:
                return True
            before = self.upto
            if self.wait(RESEND_SECONDS, until=lambda: self.upto >= last):
                return True
            if self.upto > before:
                deadline = time.monotonic() + UP_SECONDS
            else:
                self._waiting = [message for message in self._kept if _last(message) > self.upto]
                self._send(late=True)
        return False

    def stay(self, seconds: float) -> None:
        """Answer questions until none has come for so long."""
        self.asked = time.monotonic()
        while (left := self.asked + seconds - time.monotonic()) > 0:
            self.wait(left)

    def close(self) -> None:
        """Say that the node has stopped, and disconnect."""
        if self._up:
            for role in self._roles():
                self._state(f"{self._source}/status/{role}", "offline")
            self._state(f"{self._node}/status", "stopped")
            self.wait(2, until=lambda: not self._flying)
        self._connection.close()

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Attend to the connection until a condition holds; False when the time is over."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                self._take(self._inbox.get(timeout=min(left, 0.2)))
            except Empty:
                continue
        return True

    def _event(self, step: Step, event: EventMessage) -> None:
        if step.deed in ("event", "hold", "drop"):
            self._kept.append(_gap(event) if step.deed == "drop" else event)
            if event.boot != self._boot:
                self._boot = event.boot
                self._birth()
            self._set_label(NO_LABEL if event.type == "end" else event.label)
        if step.deed != "hold":
            self.events += step.deed in ("event", "late")
            self._waiting.append(_gap(event) if step.deed == "drop" else event)
            self._send(late=step.deed == "late")

    def _send(self, *, late: bool) -> None:
        while self._up and self._waiting:
            message = self._waiting.pop(0)
            if isinstance(message, Gap):
                topic, payload = f"{self._source}/gap", msgspec.json.encode(message)
            else:
                topic, payload = f"{self._source}/event", encode(replace(message, late=late))
            self._flying[self._connection.publish(topic, payload, qos=1)] = message

    def _state(self, topic: str, payload: bytes | str) -> None:
        if self._up:
            self._flying[self._connection.publish(topic, payload, qos=1, retain=True)] = None

    def _set_label(self, label: str) -> None:
        if label != self._label:
            self._label = label
            self._state(f"{self._source}/label", label)

    def _roles(self) -> list[str]:
        votes = {name for message in self._messages for name in message.fusion.votes}
        return [name for name in MODALITIES if name in votes]

    def _birth(self) -> None:
        """Say all retained state anew."""
        self._state(f"{self._node}/status", "online")
        self._state(f"{self._node}/info", encode(_info(self._messages, self._boot)))
        for role in self._roles():
            self._state(f"{self._source}/status/{role}", "online")
        self._state(f"{self._source}/label", self._label)

    def _take(self, item: MQTTMessage | str | int | None) -> None:
        if isinstance(item, int):
            self._flying.pop(item, None)
        elif isinstance(item, MQTTMessage):
            self._heard(item)
        elif item is not None:
            if not self._met:
                raise MqttError(item)
            if self._up:
                self._say(f"{item}; the connection is retried")
        else:
            self._up = self._met = True
            self._waiting = [message for message in self._flying.values() if message is not None] + self._waiting
            self._flying.clear()
            self._birth()
            self._send(late=True)

    def _heard(self, message: MQTTMessage) -> None:
        try:
            if message.topic.startswith(f"{self._node}/rpc/"):
                request = msgspec.json.decode(message.payload, type=RpcRequest)
                self._answer(message, message.topic.rpartition("/")[2], request)
            elif message.topic == f"{self._source}/acknowledge/{self._consumer}" and message.payload:
                said = msgspec.json.decode(message.payload, type=Acknowledgement)
                if said.stream == _stream(self._messages):
                    self.upto = max(self.upto, said.upto)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._say(f"{message.topic}: not understood: {error}")

    def _answer(self, message: MQTTMessage, method: str, request: RpcRequest) -> None:
        self.asked = time.monotonic()
        topic, properties = answer_address(message, request.reply_to)
        if topic is None or not topic.startswith(f"{self._node}/rpc/{method}/reply/"):
            self._say(f"{message.topic}: a question must say where under {message.topic}/reply/ the answer goes")
            return
        reply = RpcReply(id=request.id, node=self._messages[0].node, method=method, ok=True)
        if method == "history":
            kept = [item for item in self._kept if isinstance(item, EventMessage)]
            events, more = history(kept, request)
            self.given |= {event.offset or 0 for event in events}
            reply = replace(reply, events=events, more=more)
        else:
            reply = replace(reply, ok=False, error="a simulated device answers history only")
        self._connection.publish(topic, msgspec.json.encode(reply), qos=1, properties=properties)


def history(kept: Sequence[EventMessage], request: RpcRequest) -> tuple[tuple[EventMessage, ...], bool]:
    """The events after the one that a question names, from the oldest if it names none or one not kept, and if more.

    An event with that `boot` and the seq `after` need not be among them: the first of the boot above it is.
    """
    boot, after, limit = (request.parameters.get(key) for key in ("boot", "after", "limit"))
    at = [index for index, event in enumerate(kept) if event.boot == boot and event.seq <= int(after or 0)]
    first = at[-1] + 1 if at else next((index for index, event in enumerate(kept) if event.boot == boot), 0)
    number = min(int(limit or MOST_GIVEN), MOST_GIVEN)
    given = kept[first : first + number]
    return tuple(replace(event, late=True) for event in given), first + number < len(kept)


def _gap(event: EventMessage) -> Gap:
    offset = event.offset or 0
    return Gap(
        node=event.node,
        source=event.source,
        stream=event.stream or "",
        first=offset,
        last=offset,
        dropped={"event": 1},
        reason="the outbox was full (simulated)",
    )


def _last(message: EventMessage | Gap) -> int:
    return message.last if isinstance(message, Gap) else message.offset or 0


def _stream(messages: Sequence[Message]) -> str | None:
    return next(message.stream for message in messages if isinstance(message, EventMessage))


def _info(messages: Sequence[Message], boot: str) -> Info:
    """The birth of the device that made a recording, as far as its messages tell."""
    first = next(message for message in messages if message.boot == boot)
    classes = {message.class_index: message.label for message in messages if not message.unknown}
    width = max([len(m.probabilities) for m in messages if isinstance(m, Tick)] + [max(classes, default=-1) + 1])
    return Info(
        node=first.node,
        boot=boot,
        version=__version__,
        started=first.start,
        sources=(first.source,),
        classes=tuple(classes.get(index, f"class-{index}") for index in range(width)),
        model=first.model,
        models={},
        rule=first.fusion.rule,
        table=first.fusion.table,
        events=SegmenterConfig(),
    )
