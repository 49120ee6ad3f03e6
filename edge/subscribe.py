"""The listening side: typed events, each once, from any number of devices."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import msgspec
from paho.mqtt.client import MQTTMessage
from rich.console import Console
from rich.text import Text

from .broker import Connection, MqttError, MqttUrl
from .lines import event_line
from .messages import EventMessage, MessageError, read_event

SESSION_SECONDS = 300
"""How long an MQTT 5 broker is asked to keep our events while the connection is lost."""
EARLIER = 100
"""How far before the first message seen of a boot an older, late one is still taken."""
MAX_MISSING = 10_000


@dataclass
class _Boot:
    highest: int
    missing: set[int]


@dataclass
class Seen:
    """Which messages have been seen, by (node, boot, seq): tells new ones, duplicates and gaps apart."""

    _boots: dict[tuple[str, str], _Boot] = field(default_factory=dict)

    def push(self, node: str, boot: str, seq: int) -> int | None:
        """Take one message: None for a duplicate, else how many before it have not come."""
        known = self._boots.get((node, boot))
        if known is None:
            self._boots[node, boot] = _Boot(seq, set(range(max(0, seq - EARLIER), seq)))
            return 0
        if seq > known.highest:
            gap = seq - known.highest - 1
            known.missing |= set(range(max(known.highest + 1, seq - MAX_MISSING), seq))
            known.highest = seq
            return gap
        if seq in known.missing:
            known.missing.remove(seq)
            return 0
        return None


def subscribe(
    url: str,
    *,
    on_event: Callable[[EventMessage, bytes], None],
    on_status: Callable[[str, str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    count: int | None = None,
    timeout_seconds: float | None = None,
) -> int:
    """Call back, in this thread, for each event of every node, and return how many there were.

    `on_event(event, payload)` gets each message once, `on_status(node, status)` every node's status,
    `on_note` a sentence about a loss, a gap or an unreadable message. Ends after `count` events or
    `timeout_seconds`, without them never. MqttError says why the first connection failed; later the
    connection is retried.
    """
    inbox: SimpleQueue[MQTTMessage | str | None] = SimpleQueue()
    address = MqttUrl.parse(url)
    connection = Connection(
        address,
        f"touchline-subscribe-{secrets.token_hex(4)}",
        topics=(f"{address.base}/+/status", f"{address.base}/+/+/event"),
        on_up=lambda: inbox.put(None),
        on_down=inbox.put,
        on_message=inbox.put,
        session_seconds=SESSION_SECONDS,
    )
    listener = _Listener(address, on_event, on_status or _ignore, on_note or _ignore)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    connection.open()
    try:
        while count is None or listener.events < count:
            wait = 1.0 if deadline is None else deadline - time.monotonic()
            if wait <= 0:
                break
            try:
                item = inbox.get(timeout=min(wait, 1.0))
            except Empty:
                continue
            listener.take(item)
    finally:
        connection.close()
    return listener.events


class _Listener:
    """Takes what the connection brings: None when it is up, a sentence when it fails, a message."""

    def __init__(
        self,
        address: MqttUrl,
        on_event: Callable[[EventMessage, bytes], None],
        on_status: Callable[[str, str], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.events = 0
        self._address, self._on_event, self._on_status, self._on_note = address, on_event, on_status, on_note
        self._seen = Seen()
        self._connected = self._lost = False

    def take(self, item: MQTTMessage | str | None) -> None:
        if isinstance(item, MQTTMessage):
            self._message(item.topic, bytes(item.payload))
        elif item is None:
            if self._lost:
                self._on_note(f"mqtt broker {self._address}: connected again")
            self._connected, self._lost = True, False
        elif self._connected:
            self._lost = True
            self._on_note(f"{item}; the connection is retried")
        else:
            raise MqttError(item)

    def _message(self, topic: str, payload: bytes) -> None:
        node, *rest = topic[len(self._address.base) + 1 :].split("/")
        if rest == ["status"]:
            self._on_status(node, payload.decode(errors="replace"))
            return
        try:
            event = read_event(payload)
        except MessageError as error:
            self._on_note(f"{topic}: {error}")
            return
        gap = self._seen.push(event.node, event.boot, event.seq)
        if gap is None:
            return
        if gap:
            self._on_note(f"{event.node}: {gap} event message{'s' if gap > 1 else ''} before this one did not arrive")
        self.events += 1
        self._on_event(event, payload)


def run_subscribe(
    url: str, *, json_lines: bool = False, count: int | None = None, timeout_seconds: float | None = None
) -> int:
    """Print events, one human line or (`json_lines`) one JSON a line, until Ctrl-C, and return the exit code.

    It is 1 when the broker could not be reached or fewer than `count` events came in `timeout_seconds`.
    MqttError says what is wrong with the address.
    """
    MqttUrl.parse(url)
    out, aside = Console(highlight=False), Console(stderr=True, highlight=False)
    notes = aside if json_lines else out

    def on_event(event: EventMessage, payload: bytes) -> None:
        if json_lines:
            sys.stdout.write(msgspec.json.format(payload, indent=-1).decode() + "\n")
            sys.stdout.flush()
        else:
            line = Text(f"{event.start[:10]} {event.start[11:19]}  {event.node}/{event.source}  ")
            out.print(line + event_line(event, plain=not out.is_terminal), soft_wrap=True)

    def on_status(node: str, status: str) -> None:
        notes.print(Text(f"{node} is {status}", style="dim"), soft_wrap=True)

    def on_note(sentence: str) -> None:
        aside.print(Text(sentence, style="yellow"), soft_wrap=True)

    try:
        events = subscribe(
            url,
            on_event=on_event,
            on_status=on_status,
            on_note=on_note,
            count=count,
            timeout_seconds=timeout_seconds,
        )
    except MqttError as error:
        aside.print(Text(f"touchline: {error}"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 0
    if count is not None and timeout_seconds is not None and events < count:
        aside.print(Text(f"touchline: {events} of {count} events came within {timeout_seconds:g} s"), soft_wrap=True)
        return 1
    return 0


def _ignore(*_: str) -> None:
    pass
