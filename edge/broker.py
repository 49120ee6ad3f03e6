"""One MQTT connection, kept up: TLS, the protocol versions, and one sentence for what fails."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from .address import MqttError, MqttUrl
from .reasons import closed, why
from .tls import Security

__all__ = ["Connection", "MqttError", "MqttUrl", "Protocol"]

Protocol = Literal["auto", "5", "3.1.1"]
"""`auto`: MQTT 5, and 3.1.1 where the broker does not answer to that."""
KEEPALIVE_SECONDS = 15
ANSWER_SECONDS = 1.0
"""How long a broker may take to answer in MQTT 5 before 3.1.1 is tried, which every broker speaks."""
STABLE_SECONDS = 10
"""A connection that lasted this long makes the next failure news again; a flapping one is reported once."""


class Connection:
    """A paho client that is kept connected, over TLS where the address begins with mqtts://.

    It asks for `topics` at QoS 1. `on_up()` follows every connection, and that, just after `up` turned true;
    `on_down(sentence)` follows once every kind of failure. Both, and `on_message`, are called in paho's thread
    and must not wait. `on_ack(mid)` is called while paho holds its locks: it may only put the id aside;
    `on_refusal(mid, reason)` comes before it where the broker took the message and refused it (MQTT 5 only).

    With `resend=False` paho sends nothing again by itself, for owners that do; with `listens=False` a broker that
    refuses our topics is still published to.
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
        on_refusal: Callable[[int, int], None] | None = None,
        will: tuple[str, str] | None = None,
        session_seconds: int = 0,
        security: Security | None = None,
        protocol: Protocol = "auto",
        resend: bool = True,
        listens: bool = True,
    ) -> None:
        self._security = security or (Security() if url.tls else None)
        if self._security is not None and not url.tls:
            msg = f"mqtt broker {url}: TLS is set up, but the address begins with mqtt://, which is plain: mqtts://"
            raise MqttError(msg)
        self._tls = self._security.context() if self._security else None
        self._protocol = protocol
        self._url, self._client_id, self._will, self._session_seconds = url, client_id, will, session_seconds
        self._topics, self._report_up, self._report_down = topics, on_up, on_down
        self._report_message, self._report_ack, self._report_refusal = on_message, on_ack, on_refusal
        self._resend, self._listens = resend, listens
        self._swap = threading.Lock()
        self._client: Client | None = None
        self._closed = self._answered = False
        self._since, self._attempt = 0.0, 0
        self._refusal: ssl.SSLError | None = None
        self._said: set[str] = set()
        self.up = False
        """Whether the broker has accepted us and the connection is not known to be lost."""
        self.failing = False
        """Whether an attempt has failed since the connection was last up."""
        self.most_bytes: int | None = None
        """The largest packet that the broker takes, if it said so (MQTT 5)."""

    def open(self) -> None:
        """Begin to connect, in a thread of paho's; never waits and never fails."""
        self._start(MQTTProtocolVersion.MQTTv311 if self._protocol == "3.1.1" else MQTTProtocolVersion.MQTTv5)

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
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.reconnect_delay_set(1, 8)
        client.on_pre_connect, client.on_connect_fail = self._on_pre_connect, self._on_connect_fail
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_socket_open, client.on_socket_close = self._on_socket_open, self._on_socket_close
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

    def _may_fall_back(self, client: Client) -> bool:
        return self._protocol == "auto" and client.protocol == MQTTProtocolVersion.MQTTv5 and self._since == 0

    def _fall_back(self, client: Client) -> None:
        client.on_disconnect = None
        client.disconnect()
        self._start(MQTTProtocolVersion.MQTTv311, instead_of=client)
        client.loop_stop()  # in paho's own thread this only asks it to end

    def _ready(self) -> None:
        self._since = time.monotonic()
        self.up, self.failing = True, False
        self._report_up()

    def _fail(self, what: str, kind: str | None = None) -> None:
        self.failing = True
        if (kind or what) not in self._said and not self._closed:
            self._said.add(kind or what)
            self._report_down(f"mqtt broker {self._url}: {what}")

    def _on_pre_connect(self, _client: Client, _userdata: object) -> None:
        self.up = self._answered = False
        self._refusal = None
        self._attempt += 1
        if self._security is not None and self._tls is not None:
            self._security.renew(self._tls)  # what it raises is a failure to connect

    def _on_socket_open(self, client: Client, _userdata: object, _socket: object) -> None:
        if self._may_fall_back(client):
            # Some old brokers misread an MQTT 5 greeting with a last will, and wait for the rest of it.
            timer = threading.Timer(ANSWER_SECONDS, self._miss_answer, (client, self._attempt))
            timer.daemon = True
            timer.start()

    def _miss_answer(self, client: Client, attempt: int) -> None:
        if attempt == self._attempt and not self._answered:
            self._fall_back(client)

    def _on_socket_close(self, _client: Client, _userdata: object, sock: object) -> None:
        # In TLS 1.3 a broker refuses our certificate only after the handshake, and paho hides what it says.
        self._refusal = getattr(sock, "failure", None)

    def _on_connect_fail(self, _client: Client, _userdata: object) -> None:
        # paho calls this inside its except clause and does not hand the error over.
        self._fail(why(sys.exc_info()[1], self._security))

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answered = True
        if self._closed or client is not self._client:
            client.disconnect()
        elif not reason.is_failure:
            self.most_bytes = getattr(properties, "MaximumPacketSize", None)
            if not self._resend:
                self.forget()  # here, as paho sends again right after this
            if self._topics:
                client.subscribe([(topic, 1) for topic in self._topics])
            else:
                self._ready()
        elif reason.value == 0x84 and self._protocol == "auto" and client.protocol == MQTTProtocolVersion.MQTTv5:
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
            if self._refusal is not None:
                self._fail(why(self._refusal, self._security))
            elif self._may_fall_back(client):
                self._fall_back(client)  # some old brokers hang up on MQTT 5
            else:
                self._fail(closed(self._security))

    def _on_publish(self, _client: Client, _userdata: object, mid: int, reason: ReasonCode, _: Properties) -> None:
        if reason.is_failure:
            self._fail("does not let us publish (check its access list)")
            if self._report_refusal is not None:
                self._report_refusal(mid, reason.value)
        if self._report_ack is not None:
            self._report_ack(mid)

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail("does not let us subscribe (check its access list)")
        if self._listens and any(reason.is_failure for reason in reasons):
            return
        self._ready()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._report_message is not None:
            self._report_message(message)


def _session(packet: int, seconds: int) -> Properties:
    properties: Any = Properties(packet)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = seconds
    return properties  # type: ignore[no-any-return]
