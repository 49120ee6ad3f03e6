"""Ticks and events to an MQTT broker, none of them lost; with birth, last will, retained state and commands."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue

from paho.mqtt.client import MQTTMessage
from paho.mqtt.properties import Properties

from .broker import Connection, MqttError, MqttUrl
from .config import Mqtt
from .contract import HOME_ASSISTANT, Acknowledgement, Feedback, KeptClip, Level
from .control import Control, Reach
from .discovery import BIRTH, BIRTH_TOPIC, discovery
from .drain import Drain
from .messages import EventMessage, Info, Message, Stamp, Tick, encode
from .outbox import Outbox, OutboxError
from .remote import RefusedError
from .sender import Sender, open_outbox, past
from .switches import Switches
from .tls import Security
from .vitals import Vitals
from .wire import Wire

__all__ = ["MqttError", "MqttPublisher", "MqttUrl"]

MAX_WAITING = 10_000
"""Events kept in memory where no disk keeps them; later ones are dropped and counted."""
CLOSE_SECONDS, KEPT_CLOSE_SECONDS = 5.0, 1.0
"""How long the end takes at most, and where the disk keeps for the next start what could not be sent."""
CONSUMER_SECONDS = 1.0
"""How long the end waits for consumers to acknowledge what the broker has."""
WATCHDOG_SECONDS = 30.0

log = logging.getLogger(__name__)


class MqttPublisher:
    """A sink that publishes under `{base}/{node}`; it connects in the background from the start.

    At every connection it publishes all retained state anew, then the events that are not settled (see `drain`).
    Events wait in the outbox, over restarts, too; ticks are lost while the broker is away. The retained label is that
    of the event that is on, or `none`. `settings` may be just an address. `roles` are the modalities at hand, and
    `record`; commands turn `switches`. One thread does everything but encode and store events; paho's callbacks and
    the caller only hand it work by `later`; so do owners with `reach`, for `control` and `vitals`. `find_clip` finds
    the clip of an event, where any are kept. Raises MqttError or OutboxError before anything is sent.

    A node that watches several `sources` has a publisher for each; the first leads: what concerns the whole node is
    said and heard by the `leader` alone.
    """

    def __init__(
        self,
        settings: Mqtt | str,
        stamp: Stamp,
        info: Info,
        roles: Sequence[str],
        *,
        switches: Switches | None = None,
        self_test: Callable[[], dict[str, str]] | None = None,
        find_clip: Callable[[str], KeptClip | None] | None = None,
        reach: Reach | None = None,
        sources: Sequence[str] = (),
        leader: MqttPublisher | None = None,
    ) -> None:
        mqtt = Mqtt(url=settings) if isinstance(settings, str) else settings
        switches = switches or Switches()
        self._mqtt, self._stamp = mqtt, stamp
        self._sources, self._leads, self._outboxes = tuple(sources) or (stamp.source,), leader is None, list[Outbox]()
        self._url = MqttUrl.parse(mqtt.url, user=mqtt.user, password_file=mqtt.password_file)
        self._node = f"{self._url.base}/{stamp.node}"
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._announce, self._closed = True, False
        self._ending = self._stopping = self._taken_at = self._progress = self._due = 0.0
        self._produced = self._stored = self._dropped = 0
        self._untold: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._complaint, self._lost = "", f"{self} is not connected yet"
        self.control = Control(
            self, stamp, roles, switches, base=self._url.base, mqtt=mqtt, self_test=self_test, reach=reach,
            leads=self._leads, find_clip=find_clip,
        )  # fmt: skip
        self._connection = self._make_connection()
        self._wire = Wire(self._connection, self._node)
        self.outbox = open_outbox(mqtt, stamp)
        if self.outbox is not None:
            (self if leader is None else leader)._outboxes.append(self.outbox)  # noqa: SLF001 - one of its own kind
        self._sender = Sender(
            str(self), self._connection, stamp, node=self._node, outbox=self.outbox, form=mqtt.envelope
        )
        self._drain = Drain(self.outbox, self._sender.send, consumers=mqtt.consumers, now_ns=time.time_ns)
        suffix = f"-{stamp.source}" if len(self._sources) > 1 else ""
        self.vitals = Vitals(self._wire, stamp, switches, self.outbox, suffix=suffix)
        self._birth(info)
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._thread.start()
        self._connection.open()

    def _make_connection(self) -> Connection:
        mqtt, source = self._mqtt, self._stamp.source
        security = Security(mqtt.ca, mqtt.certificate, mqtt.key, mqtt.alpn)
        return Connection(
            self._url,
            # The same at every start, so that a new process takes over from one that the broker has not
            # missed yet, and the old one's last will comes before the new one's birth.
            f"touchline-{self._stamp.node}-{source}",
            topics=(*self.control.topics(), *((BIRTH_TOPIC,) if mqtt.home_assistant and self._leads else ())),
            on_up=partial(self.later, self._up),
            on_down=self._down,
            on_message=lambda message: self.later(partial(self._heard, message)),
            on_ack=lambda mid: self.later(partial(self._answered, mid)),
            on_refusal=lambda mid, reason: self.later(partial(self._refused, mid, reason)),
            will=(f"{self._node}/status", "offline") if self._leads else None,
            security=None if security == Security() else security,
            protocol=mqtt.protocol,
            resend=False,
            listens=False,
        )

    def __str__(self) -> str:
        return f"mqtt broker {self._url}"

    def __call__(self, message: Message) -> None:
        """Publish a tick (QoS 0) or an event (QoS 1, and the label if it changed), without waiting."""
        self.later(partial(self._wire.replay if message.replay else self.vitals.take, message))
        if isinstance(message, Tick) or message.replay:
            return
        payload = encode(message)
        self._produced += 1
        if self.outbox is None:
            self.later(partial(self._keep, payload))
        else:
            topic = f"{self._stamp.source}/event"
            done = self.outbox.put(topic, payload, boot=message.boot, seq=message.seq)
            done.add_done_callback(lambda done: self.later(partial(self._store, payload, done)))

    def close(self) -> None:
        """Send what can be sent soon, say that the node has stopped, and how much waits for the next start."""
        if self._closed:
            return
        self.later(self._end)
        self._thread.join(CLOSE_SECONDS + 1)
        self._closed = True
        self._wire.end()
        self._connection.close()
        waiting = 0
        if self.outbox is not None:
            self.outbox.flush(1)
            waiting = self.outbox.accounting()["event"].queued
            self.outbox.close()
        while not self._inbox.empty():
            self._guard(self._inbox.get())  # events that the outbox could not take
        lost = self._dropped + self._sender.dropped + self._drain.loose
        if waiting:
            log.warning("%s: %d event messages wait for the next start", self, waiting)
        if lost:
            log.warning("%s: %d event messages were not delivered", self, lost)

    def health(self, component: str, level: Level, message: str, state: str = "") -> None:
        """Publish how a part of the device is; from any thread."""
        self.later(partial(self.vitals.report, component, level, message, state))

    @property
    def trouble(self) -> str:
        """What keeps messages here at present, in a sentence; empty while nothing does."""
        disk = "" if self.outbox is None else self.outbox.failure
        return disk or ("" if self._wire.up else self._lost)

    @property
    def link(self) -> tuple[Level, str]:
        """How the connection to the broker is, with a sentence."""
        if self._wire.up:
            return "ok", f"connected to {self}"
        return "error" if self._connection.failing else "warn", self._lost

    @property
    def outbox_health(self) -> tuple[Level, str]:
        """How the outbox is, with a sentence."""
        return self.vitals.outbox_health(self._drain.loose)

    def feedback(self, feedback: Feedback) -> Future[None]:
        """Publish what a person says here of an event, at the latest when the broker is back, and keep it at once.

        The future is done when it is kept; RefusedError says why it is not.
        """
        done: Future[None] = Future()
        self.later(partial(self._tell, feedback, done))
        return done

    # What the parts ask for (`control.Post`, `vitals.Post`).

    def later(self, work: Callable[[], None]) -> None:
        """Do something in the publisher's thread."""
        self._inbox.put(work)

    def state(self, levels: str, payload: bytes | str) -> None:
        """Set retained state below the node."""
        self._wire.state(levels, payload)

    def answer(self, topic: str, payload: bytes, properties: Properties | None) -> None:
        """Publish an answer."""
        self._wire.answer(topic, payload, properties)

    def acknowledged(self, consumer: str, what: Acknowledgement) -> None:
        """A consumer has committed; RefusedError if that cannot be."""
        if self.outbox is not None and what.stream == self.outbox.stream:
            if what.upto > self.outbox.last:
                msg = "upto: is beyond all that was ever sent"
                raise RefusedError(msg)
            self._drain.acknowledged(consumer, what.upto, time.monotonic())

    def history(self, after: tuple[str, int] | None, limit: int) -> tuple[tuple[EventMessage, ...], bool]:
        """Events that are kept, and whether there are more."""
        return past(self._outboxes, after, limit)

    # The thread.

    def _work(self) -> None:
        while not self._closed:
            try:
                work = self._inbox.get(timeout=0.01 if self._ending else 0.1)
                while True:
                    self._guard(work)
                    work = self._inbox.get_nowait()
            except Empty:
                self._guard(self._routine)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever fails here, publishing goes on
            sentence = str(error) if isinstance(error, OutboxError) else f"{self}: {error or type(error).__name__}"
            if sentence != self._complaint:
                self._complaint = sentence
                log.warning("%s; detection goes on", sentence)

    def _routine(self) -> None:
        now = time.monotonic()
        sent_all = False
        if self._wire.up:
            sent_all = self._drain.run(now)
            if sent_all:
                self._drain.resend_due(now)
            self._watch(now)
        if self._ending:
            self._end_when_done(now, sent_all=sent_all)
        elif now >= self._due:
            self._due = now + 1
            self.vitals.look(now, memory=self._drain.loose)
            self._wire.expire(now)

    def _watch(self, now: float) -> None:
        if not (self._drain.flying or self._wire.unanswered):
            self._progress = now
        elif now - self._progress > WATCHDOG_SECONDS:
            log.warning("%s: has answered nothing for %.0f s and is connected anew", self, WATCHDOG_SECONDS)
            self._progress = now
            self._connection.cut()

    def _end(self) -> None:
        self._ending = time.monotonic() + (CLOSE_SECONDS if self.outbox is None else KEPT_CLOSE_SECONDS)
        self.vitals.end()

    def _end_when_done(self, now: float, *, sent_all: bool) -> None:
        if not self._wire.up:
            self._closed = self._connection.failing or now > self._ending
        elif self._stopping:
            self._closed = not self._wire.unanswered or now > self._stopping + CONSUMER_SECONDS
        else:
            taken = sent_all and not self._drain.flying and self._stored == self._produced
            self._taken_at = (self._taken_at or now) if taken else 0.0
            acknowledged = taken and (self._drain.settled or now > self._taken_at + CONSUMER_SECONDS)
            if acknowledged or now > self._ending:
                self._stopping = now
                self.control.close()
                if self._leads:
                    self.state("status", "stopped")

    def _birth(self, info: Info) -> None:
        if self._leads:
            self.state("status", "online")
            self.state("info", encode(replace(info, sources=self._sources)))
        self.control.announce()
        self.vitals.begin()
        if self._mqtt.home_assistant and self._leads:
            stamp, names = self._stamp, self.control.names
            found = discovery(self._url.base, stamp.node, self._sources, model=stamp.model, switches=names)
            self._wire.set(found.topic, found.payload)

    def _up(self) -> None:
        if self._announce:
            log.info("%s: connected, publishing under %s", self, self._node)
        self._announce, self._progress = False, time.monotonic()
        self._wire.begin()
        self._drain.connected(self._progress)
        self._tell_all()

    def _down(self, sentence: str) -> None:
        # In paho's thread.
        self._lost = sentence
        retried = "" if self._connection.up else " and the connection is retried"
        log.warning("%s; detection goes on%s", sentence, retried)
        self._announce = True

    def _keep(self, payload: bytes) -> None:
        self._stored += 1
        if self._drain.loose < MAX_WAITING:
            self._drain.add_loose(payload)
        else:
            self._dropped += 1

    def _store(self, payload: bytes, done: Future[int]) -> None:
        if done.exception() is None:
            self._stored += 1
        else:
            self._keep(payload)

    def _tell(self, feedback: Feedback, done: Future[None]) -> None:
        self._untold.append(encode(feedback))
        self._tell_all()
        try:
            if self._mqtt.folder is not None:
                self.control.keep(feedback)
        except RefusedError as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    def _tell_all(self) -> None:
        while self._untold and self._wire.up:
            self._wire.answer(f"{self._node}/feedback", self._untold.popleft(), None)

    def _answered(self, mid: int) -> None:
        now = time.monotonic()
        # paho also reports ticks, which no one answers: they are no sign of life.
        if self._wire.answered(mid) or self._drain.answered(mid, now):
            self._progress = now

    def _refused(self, mid: int, reason: int) -> None:
        flight = self._drain.refused(mid, reason, time.monotonic())
        if flight is not None:
            self._sender.bury(flight, f"the broker refuses it ({reason:#04x})")

    def _heard(self, message: MQTTMessage) -> None:
        if message.topic == BIRTH_TOPIC:
            if message.payload == BIRTH.encode():
                self._wire.again(HOME_ASSISTANT["home_assistant"].address.format(node=self._stamp.node))
            return
        why = self.control.heard(message)
        if why is not None:
            self.vitals.refused(self.control.refused, why)
