"""A device under test: events made at a rate, through the real publisher and outbox, killed at a moment if asked."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from edge import mqtt, sender
from edge.config import Mqtt
from edge.events import SegmenterConfig
from edge.messages import EventMessage, Fusion, Info, Model, Stamp, utc
from edge.outbox import Outbox

MOMENTS = ("any time", "before commit", "after commit", "before settling", "after settling", "while connecting")
NODE, SOURCE = "truck1", "cam"
MODEL = Model("made-1", "0" * 64, "int8")


@dataclass(frozen=True)
class Life:
    """One start of the process: where it publishes, how many events at what rate, and when it kills itself.

    `acknowledged` gets a line for each event that the outbox has said to be safe; with `too_soon`, a control that must
    lose something, for each that was handed to it.
    """

    url: str
    folder: str
    acknowledged: str
    events: int = 10**9
    rate: float = 200.0
    moment: str = "any time"
    after: float = 0.2
    consumers: tuple[str, ...] = ()
    linger: float = 0.0
    protocol: str = "3.1.1"
    too_soon: bool = False


def event(boot: str, seq: int) -> EventMessage:
    """Make the event `seq` of a start."""
    now = time.time_ns()
    return EventMessage(
        type="new", id=f"{boot}-{seq:06d}", node=NODE, source=SOURCE, boot=boot, seq=seq, label="tennis", class_index=0,
        score=0.9, unknown=False, start=utc(now), end=None, start_ns=now, media_start=0.0, media_end=None, seconds=3,
        fusion=Fusion("majority", "t-1", "rgb", None, 1, {}), model=MODEL, latency_ms={},
    )  # fmt: skip


def live(life: Life) -> None:
    """Live one life; ends by SIGKILL of its own at a named moment, or after its events and `linger` seconds."""
    publisher = open_publisher(life)
    boot = publisher.boot
    began = time.monotonic()
    for seq in range(1, life.events + 1):
        publisher(event(boot, seq))
        time.sleep(max(0.0, began + seq / life.rate - time.monotonic()))
    deadline = time.monotonic() + life.linger
    while publisher.queued and time.monotonic() < deadline:
        time.sleep(0.05)
    publisher.close()


class Publisher(mqtt.MqttPublisher):
    """The real publisher, which writes down what the outbox says and dies when asked to."""

    def __init__(self, life: Life) -> None:
        self.boot = secrets.token_hex(4)
        self.box: Tapped | None = None
        stamp = Stamp(NODE, SOURCE, self.boot, time.time_ns(), MODEL.bundle, MODEL.sha256, "t-1")
        info = Info(
            node=NODE, boot=self.boot, version="0", started=utc(time.time_ns()), sources=(SOURCE,), classes=("tennis",),
            model=MODEL, models={}, rule="majority", table="t-1", events=SegmenterConfig(),
        )  # fmt: skip
        settings = Mqtt(
            url=life.url, outbox=life.folder, protocol=life.protocol, consumers=life.consumers,
            delivery="end-to-end" if life.consumers else "broker",
        )  # fmt: skip
        made: list[Tapped] = []

        def tapped(path: Path, *, quota_bytes: int) -> Tapped:
            made.append(Tapped(path, quota_bytes=quota_bytes, life=life))
            return made[0]

        sender.Outbox = tapped  # type: ignore[assignment,misc] - the publisher opens its own
        super().__init__(settings, stamp, info, ("rgb",))
        self.box = made[0]

    @property
    def queued(self) -> int:
        """Events that are not settled."""
        assert self.box is not None
        return self.box.accounting()["event"].queued


def open_publisher(life: Life) -> Publisher:
    """Start the device; kills this process while it connects, if that is the moment."""
    publisher = Publisher(life)
    if life.moment == "while connecting":
        time.sleep(random.uniform(0, 0.05))  # noqa: S311 - no secret
        die()
    return publisher


class Tapped(Outbox):
    """The real outbox; `acknowledged` and the named moments are all that it adds."""

    def __init__(self, path: Path, *, quota_bytes: int, life: Life) -> None:
        self._life, self._born = life, time.monotonic()
        self._out = os.open(life.acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        super().__init__(path, quota_bytes=quota_bytes)

    def put(self, topic: str, payload: bytes, kind: str = "event", *, boot: str = "", seq: int = 0) -> Future[int]:
        """Store, and write down when the outbox says that it is safe."""
        if self._life.too_soon:
            self._say(boot, seq)
        self._perhaps("before commit")
        done = super().put(topic, payload, kind, boot=boot, seq=seq)  # type: ignore[arg-type]
        done.add_done_callback(lambda future: self._stored(future, boot, seq))
        return done

    def delivered(self, offsets: Iterable[int]) -> None:
        """Settle, with a moment before and one after."""
        self._perhaps("before settling")
        super().delivered(offsets)
        self._perhaps("after settling")

    def _stored(self, future: Future[int], boot: str, seq: int) -> None:
        if future.exception() is None:
            if not self._life.too_soon:
                self._say(boot, seq)
            self._perhaps("after commit")

    def _say(self, boot: str, seq: int) -> None:
        os.write(self._out, f"{boot} {seq}\n".encode())

    def _perhaps(self, moment: str) -> None:
        if self._life.moment == moment and time.monotonic() - self._born > self._life.after:
            die()


def die() -> None:
    """End this process as a power switch does: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
