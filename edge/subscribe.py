"""The listening side: typed events, each once, from any number of devices, and what was missed from their history."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TypeVar

import msgspec
from paho.mqtt.client import MQTTMessage

from .address import MqttError, MqttUrl
from .broker import Connection, Protocol
from .contract import Acknowledgement, Gap, RpcRequest
from .envelope import unwrap
from .history import History, HistoryReply, all_since
from .messages import EventMessage, Info, MessageError, read_event
from .rpc import request_properties
from .seen import Count, Seen, stream
from .tls import Security

SESSION_SECONDS = 300
"""How long an MQTT 5 broker is asked to keep our events while the connection is lost."""
TURN_SECONDS = 0.25
"""How often what is due is looked at, and how long an acknowledgement may wait for the next."""
CLOSE_SECONDS = 2.0

T = TypeVar("T")


@dataclass(frozen=True)
class Callbacks:
    """Who is told what, in the thread of `subscribe`."""

    event: Callable[[EventMessage, bytes], None]
    status: Callable[[str, str], None]
    note: Callable[[str], None]


def subscribe(
    url: str | MqttUrl,
    *,
    on_event: Callable[[EventMessage, bytes], None],
    on_status: Callable[[str, str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    consumer: str | None = None,
    history: bool = False,
    count: int | None = None,
    timeout_seconds: float | None = None,
    security: Security | None = None,
    protocol: Protocol = "auto",
) -> int:
    """Call back, in this thread, for each event of every node, and return how many there were.

    `on_event(event, payload)` gets each message once, in the order of arrival: one that a device sends late is
    marked `late`, or comes from its history. `on_status(node, status)` gets every node's status, `on_note` a
    sentence about a loss, a gap or an unreadable message. Ends after `count` events or `timeout_seconds`, without
    them never. MqttError says why the first connection failed; later the connection is retried.

    `history` asks each device for what it has kept of its present boot, and for every message that is missing.

    `consumer` names one whose commits devices wait for (end-to-end delivery): when `on_event` has returned, the
    message counts as committed, and the offset up to which nothing is missing is acknowledged in a retained message.
    A new start goes on from there. What was committed above that offset before a crash is given again, so commit by
    the key (node, source, boot, seq). An error that `on_event` raises ends this call; its message is not acknowledged.
    With `history` as well, a device is asked for all it has kept.

    `security` is that of an `mqtts://` address, `protocol` the version of MQTT.
    """
    inbox: SimpleQueue[MQTTMessage | str | int | None] = SimpleQueue()
    address = MqttUrl.parse(url) if isinstance(url, str) else url
    caller = f"subscriber-{secrets.token_hex(4)}"
    topics = ["+/status", "+/+/event", "+/+/gap"]
    topics += [f"+/rpc/history/reply/{caller}"] if history or consumer else []
    topics += ["+/info"] if history else []
    topics += [f"+/+/acknowledge/{consumer}"] if consumer else []
    connection = Connection(
        address,
        f"touchline-{caller}",
        topics=[f"{address.base}/{topic}" for topic in topics],
        on_up=lambda: inbox.put(None),
        on_down=inbox.put,
        on_ack=inbox.put,
        on_message=inbox.put,
        session_seconds=SESSION_SECONDS,
        security=security,
        protocol=protocol,
        resend=False,  # acknowledgements and questions are made anew
    )
    callbacks = Callbacks(on_event, on_status or _ignore, on_note or _ignore)
    listener = _Listener(connection, address, callbacks, caller=caller, consumer=consumer, history=history, limit=count)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    connection.open()
    try:
        while not listener.done:
            wait = TURN_SECONDS if deadline is None else min(TURN_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                break
            try:
                listener.take(inbox.get(timeout=wait))
            except Empty:
                listener.turn(time.monotonic())
        listener.history.finish()
    finally:
        _acknowledged(listener, inbox)
        connection.close()
    return listener.events


def _acknowledged(listener: _Listener, inbox: SimpleQueue[MQTTMessage | str | int | None]) -> None:
    """Send the last acknowledgements, and wait a little until the broker has them."""
    deadline = time.monotonic() + CLOSE_SECONDS
    listener.acknowledge()
    while listener.unacknowledged and (wait := deadline - time.monotonic()) > 0:
        try:
            item = inbox.get(timeout=wait)
        except Empty:
            return
        if isinstance(item, int):
            listener.unacknowledged.discard(item)


class _Listener:
    """Takes what the connection brings: None when it is up, a sentence when it fails, an id published, a message."""

    def __init__(
        self,
        connection: Connection,
        address: MqttUrl,
        callbacks: Callbacks,
        *,
        caller: str,
        consumer: str | None,
        history: bool,
        limit: int | None,
    ) -> None:
        self.events, self._limit = 0, limit
        self.unacknowledged: set[int] = set()
        self._connection, self._address, self._tell = connection, address, callbacks
        self._caller, self._consumer, self._whole = caller, consumer, history
        self._seen = Seen(from_oldest=consumer is not None)
        self.history = History(self._seen, self._ask if history or consumer else None, callbacks.note)
        self._connected = self._lost = False
        self._due = 0.0
        self._progress: dict[Count, int] = {}  # what was acknowledged of each stream; -1: to be said again

    @property
    def done(self) -> bool:
        """Whether as many events have come as were wanted."""
        return self._limit is not None and self.events >= self._limit

    def take(self, item: MQTTMessage | str | int | None) -> None:
        """Take one thing; MqttError when the first connection fails."""
        now = time.monotonic()
        if isinstance(item, MQTTMessage):
            self._message(item.topic[len(self._address.base) + 1 :].split("/"), bytes(item.payload), now)
        elif isinstance(item, int):
            self.unacknowledged.discard(item)
        elif item is None:
            if self._lost:
                self._tell.note(f"mqtt broker {self._address}: connected again")
            self._connected, self._lost = True, False
            self._progress = dict.fromkeys(self._progress, -1)
        elif self._connected:
            self._lost = True
            self._tell.note(f"{item}; the connection is retried")
        else:
            raise MqttError(item)
        if now >= self._due:
            self.turn(now)

    def turn(self, now: float) -> None:
        """Do what is due: acknowledge, ask."""
        self._due = now + TURN_SECONDS
        if self._connection.up:
            self.acknowledge()
            self.history.ask_due(now)

    def acknowledge(self) -> None:
        """Publish, for every stream that has got on, the end of what was committed without a hole."""
        for count, said in self._progress.items():
            upto = self._seen.prefix(count)
            if upto > max(said, 0) and self._connection.up:
                topic = f"{self._address.base}/{count.node}/{count.source}/acknowledge/{self._consumer}"
                payload = msgspec.json.encode(Acknowledgement(stream=count.name, upto=upto))
                self.unacknowledged.add(self._connection.publish(topic, payload, qos=1, retain=True))
                self._progress[count] = upto

    def _message(self, levels: list[str], payload: bytes, now: float) -> None:
        node = levels[0]
        try:
            if levels[1:] == ["status"]:
                status = payload.decode(errors="replace")
                self._tell.status(node, status)
                self.history.status(node, status, now)
            elif levels[1:] == ["info"]:
                self._info(_read(payload, Info), now)
            elif levels[2:] == ["event"]:
                self._live(payload, now)
            elif levels[2:] == ["gap"]:
                self._gap(_read(payload, Gap))
            elif levels[1:3] == ["rpc", "history"]:
                self._reply(_read(payload, HistoryReply), now)
            elif payload:
                said = _read(payload, Acknowledgement)
                self._seen.commit(node, levels[1], said.stream, said.upto)
                self._progress.setdefault(stream(node, levels[1], said.stream), said.upto)
        except MessageError as error:
            self._tell.note(f"{'/'.join([self._address.base, *levels])}: {error}")

    def _live(self, payload: bytes, now: float) -> None:
        before = self.events
        event = self._event(unwrap(payload), now)
        if self.events == before:
            self._seen.sent_again(event)
        elif event.late:
            self.history.filling(event.node, now)

    def _event(self, payload: bytes, now: float) -> EventMessage:
        event = read_event(payload)
        count = None if event.stream is None else stream(event.node, event.source, event.stream)
        if self._seen.knows(event):
            if count in self._progress and (event.offset or 0) <= self._seen.prefix(count):
                self._progress[count] = -1  # the device does not know that we have it
            return event
        self._tell.event(event, payload)
        self.events += 1
        hole = self._seen.add(event)
        if hole is not None:
            self.history.want(hole, now)
        if count is not None:
            self._follow(count)
        return event

    def _follow(self, count: Count) -> None:
        if self._consumer is not None:
            self._progress.setdefault(count, 0)

    def _gap(self, gap: Gap) -> None:
        self._follow(stream(gap.node, gap.source, gap.stream))
        if lost := self._seen.explain(gap):
            messages = "event message" if lost == 1 else "event messages"
            self._tell.note(f"{gap.node}/{gap.source}: the device dropped {lost} {messages}: {gap.reason}")

    def _info(self, info: Info, now: float) -> None:
        """We or the device are here anew: ask for what follows what we have of its boot without a hole."""
        have = min(self._seen.boot_prefix(info.node, source, info.boot) for source in info.sources)
        boot = None if self._consumer is not None and not have else info.boot
        self.history.want(all_since(info.node, boot, have), now)

    def _reply(self, reply: HistoryReply, now: float) -> None:
        events = []
        for payload in reply.events:
            if self.done:
                return
            events.append(self._event(bytes(payload), now))
        self.history.settle(reply, events, now)

    def _ask(self, node: str, request: RpcRequest) -> None:
        topic = f"{self._address.base}/{node}/rpc/history"
        reply_to = f"{topic}/reply/{self._caller}"
        properties = None
        if self._connection.speaks_5:
            properties = request_properties(reply_to, request.id)
        else:
            request = replace(request, reply_to=reply_to)
        self._connection.publish(topic, msgspec.json.encode(request), qos=1, properties=properties)


def _read(payload: bytes, cls: type[T]) -> T:
    try:
        return msgspec.json.decode(payload, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"not a readable message: {str(error)[:1].lower()}{str(error)[1:]}"
        raise MessageError(msg) from None


def _ignore(*_: str) -> None:
    pass
