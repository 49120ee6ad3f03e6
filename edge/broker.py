"""One MQTT connection, kept up: the address, the protocol versions, and one sentence for what fails."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

PASSWORD_VARIABLE = "TOUCHLINE_MQTT_PASSWORD"  # noqa: S105 - the name of it
FORM = "mqtt://[user[:password]@]host[:port][/base]"
KEEPALIVE_SECONDS = 15
ANSWER_SECONDS = 1.0
"""How long a broker may take to answer in MQTT 5 before 3.1.1 is tried, which every broker speaks."""
STABLE_SECONDS = 10
"""A connection that lasted this long makes the next failure news again; a flapping one is reported once."""


class MqttError(Exception):
    """A broker's address that cannot be used, or a broker that cannot; the message never shows a password."""


@dataclass(frozen=True)
class MqttUrl:
    """Where a broker is and the first levels of our topics; the password is never shown."""

    host: str
    port: int = 1883
    base: str = "touchline"
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> MqttUrl:
        """Read an address such as `mqtt://me@host/base`; TOUCHLINE_MQTT_PASSWORD may hold the password."""
        # No message here quotes the text: a malformed address may hold its password anywhere.
        if not text.startswith("mqtt://"):
            msg = f"MQTT address: must look like {FORM}, and this one does not begin with mqtt://"
            raise MqttError(msg)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            port = 0
        if port == 0 or "?" in text or "#" in text or "@" in parts.path:
            msg = f"MQTT address: must look like {FORM}, port 1 to 65535, / ? # @ : in a password as %2F ..."
            raise MqttError(msg)
        host, base = parts.hostname or "", parts.path.strip("/") or cls.base
        if not _is_host(host):
            msg = f"MQTT address: {host!r} is not a host name" if host else f"MQTT address: no host in it; {FORM}"
            raise MqttError(msg)
        if any(sign in base for sign in ("+", "#", "\0", "//")) or base.startswith("$"):
            msg = f"MQTT address: base {base!r} must be topic levels without + and #, not beginning with $"
            raise MqttError(msg)
        user = None if parts.username is None else unquote(parts.username)
        password = os.environ.get(PASSWORD_VARIABLE) if parts.password is None else unquote(parts.password)
        return cls(host, port or cls.port, unquote(base), user, password)

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


class Connection:
    """A paho client that is kept connected: MQTT 5 first, 3.1.1 where the broker does not answer to that.

    It asks for `topics` at QoS 1. `on_up()` follows every connection, and that, just before `up` turns true;
    `on_down(sentence)` follows once every kind of failure. Both, and `on_message`, are called in paho's thread
    and must not wait. `on_ack(mid)` is called while paho holds its locks: it may only put the id aside.
    """

    def __init__(
        self,
        url: MqttUrl,
        client_id: str,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        topics: Sequence[str] = (),
        on_message: Callable[[MQTTMessage], None] | None = None,
        on_ack: Callable[[int], None] | None = None,
        will: tuple[str, str] | None = None,
        session_seconds: int = 0,
    ) -> None:
        self._url, self._client_id, self._will, self._session_seconds = url, client_id, will, session_seconds
        self._topics, self._report_up, self._report_down = topics, on_up, on_down
        self._report_message, self._report_ack = on_message, on_ack
        self._swap = threading.Lock()
        self._client: Client | None = None
        self._closed = self._answered = False
        self._since = 0.0
        self._said: set[str] = set()
        self.up = False
        """Whether the broker has accepted us and the connection is not known to be lost."""
        self.failing = False
        """Whether an attempt has failed since the connection was last up."""

    def open(self) -> None:
        """Begin to connect, in a thread of paho's; never waits and never fails."""
        self._start(MQTTProtocolVersion.MQTTv5)

    @property
    def speaks_5(self) -> bool:
        """Whether the broker is spoken to in MQTT 5, so that messages may have properties."""
        return self._client is not None and self._client.protocol == MQTTProtocolVersion.MQTTv5

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Hand a message to the network thread and return its id; while `up` or from `on_up`."""
        assert self._client is not None
        return self._client.publish(topic, payload, qos, retain, properties).mid

    def cut(self) -> None:
        """Lose the connection on purpose, without a word: the last will is published and we connect again."""
        sock: Any = self._client.socket() if self._client is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Drop what paho would send again; from `on_up`, by owners that send again themselves."""
        assert self._client is not None
        self._client.drop_out_messages()

    def close(self) -> None:
        """Disconnect; bounded, even while a host name is being looked up."""
        with self._swap:
            self._closed, client = True, self._client
        if client is None:
            return
        ends = None
        if self._session_seconds and client.protocol == MQTTProtocolVersion.MQTTv5:
            ends = _session(PacketTypes.DISCONNECT, 0)
        client.disconnect(properties=ends)
        client.drop_out_messages()
        # loop_stop joins paho's thread, which may sit in a name look-up for a long time.
        stop = threading.Thread(target=client.loop_stop, daemon=True)
        stop.start()
        stop.join(timeout=2)
        self.up = False

    def _start(self, protocol: MQTTProtocolVersion, instead_of: Client | None = None) -> None:
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=protocol)
        if self._url.user is not None:
            client.username_pw_set(self._url.user, self._url.password)
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.reconnect_delay_set(1, 8)
        client.on_pre_connect, client.on_connect_fail = self._on_pre_connect, self._on_connect_fail
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_message
        keep = None
        if self._session_seconds and protocol == MQTTProtocolVersion.MQTTv5:
            keep = _session(PacketTypes.CONNECT, self._session_seconds)
        with self._swap:
            if self._closed or self._client is not instead_of:
                return
            self._client = client
            client.connect_async(self._url.host, self._url.port, keepalive=KEEPALIVE_SECONDS, properties=keep)
            client.loop_start()

    def _fall_back(self, client: Client) -> None:
        client.on_disconnect = None
        client.disconnect()
        self._start(MQTTProtocolVersion.MQTTv311, instead_of=client)
        client.loop_stop()  # in paho's own thread this only asks it to end

    def _ready(self) -> None:
        self._since = time.monotonic()
        self._report_up()
        self.up, self.failing = True, False

    def _fail(self, what: str, kind: str | None = None) -> None:
        self.failing = True
        if (kind or what) not in self._said and not self._closed:
            self._said.add(kind or what)
            self._report_down(f"mqtt broker {self._url}: {what}")

    def _on_pre_connect(self, _client: Client, _userdata: object) -> None:
        self.up = self._answered = False

    def _on_socket_open(self, client: Client, _userdata: object, _socket: object) -> None:
        if client.protocol == MQTTProtocolVersion.MQTTv5 and self._since == 0:
            # Some old brokers misread an MQTT 5 greeting with a last will, and wait for the rest of it.
            timer = threading.Timer(ANSWER_SECONDS, lambda: None if self._answered else self._fall_back(client))
            timer.daemon = True
            timer.start()

    def _on_connect_fail(self, _client: Client, _userdata: object) -> None:
        # paho calls this inside its except clause and does not hand the error over.
        self._fail(_why(sys.exc_info()[1]))

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _: Properties | None,
    ) -> None:
        self._answered = True
        if self._closed or client is not self._client:
            client.disconnect()
        elif not reason.is_failure:
            if self._topics:
                client.subscribe([(topic, 1) for topic in self._topics])
            else:
                self._ready()
        elif reason.value == 0x84 and client.protocol == MQTTProtocolVersion.MQTTv5:  # this version unsupported
            self._fall_back(client)
        elif reason.value in (0x86, 0x87):
            self._fail("wrong user name or password")
        else:
            self._fail(f"refused the connection ({reason.getName().lower()})")

    def _on_disconnect(
        self,
        client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _: Properties | None,
    ) -> None:
        if self.up:
            self.up = False
            if time.monotonic() - self._since > STABLE_SECONDS:
                self._said.clear()
            because = f" ({reason.getName().lower()})" if flags.is_disconnect_packet_from_server else ""
            self._fail(f"connection lost{because}", kind="lost")
        elif not self._answered and not self._closed:
            self._answered = True  # paho may report one loss twice
            if client.protocol == MQTTProtocolVersion.MQTTv5 and self._since == 0:
                self._fall_back(client)  # some old brokers hang up on MQTT 5
            else:
                self._fail("closed the connection without an MQTT answer")

    def _on_publish(self, _client: Client, _userdata: object, mid: int, reason: ReasonCode, _: Properties) -> None:
        if reason.is_failure:
            self._fail("does not let us publish (check its access list)")
        if self._report_ack is not None:
            self._report_ack(mid)

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail("does not let us subscribe (check its access list)")
        else:
            self._ready()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._report_message is not None:
            self._report_message(message)


def _session(packet: int, seconds: int) -> Properties:
    properties: Any = Properties(packet)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = seconds
    return properties  # type: ignore[no-any-return]


def _why(error: BaseException | None) -> str:
    if isinstance(error, socket.gaierror):
        return "unknown host" if error.errno == socket.EAI_NONAME else "its host name cannot be looked up now"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer"
    return (getattr(error, "strerror", None) or str(error) or "connection failed").lower()
