"""The loop of a box that watches live sources for weeks: one judge for all, each with its own events and health."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from edge.bundle import DEMO, Bundle
from edge.clip import Clip, Event, Modality, Mode, Second
from edge.config import Config, ConfigError
from edge.config import Source as SourceConfig
from edge.events import Segmenter
from edge.messages import NANOSECONDS, Stamp, event_message, info, tick
from edge.mqtt import MqttPublisher
from edge.pipeline import Pipeline
from edge.runtime import make_stamp, outlets, roles_of, self_test
from edge.showing import Showing, clip_finder, show
from edge.sinks import Sink, deliver
from edge.switches import Switches

from .address import with_password
from .inbox import Inbox
from .load import Load, look, modes_of
from .media import LEVELS, LiveMedia
from .source import LiveSource, SourceHealth
from .wall import WallClock

TURN_SECONDS = 0.5
"""The loop turns so often though nothing comes."""
SILENCE_SECONDS = 3.0
"""An event ends when nothing was judged for so long beyond the gap that it may have."""
SAYS: dict[Mode, str] = {
    "full": "everything is looked at",
    "no_flow": "motion is left out, as the device cannot keep up",
    "fewer_pictures": "motion is left out and fewer pictures are looked at, as the device cannot keep up",
    "smaller_pictures": "motion is left out and one small picture a second is looked at, as the device cannot keep up",
}

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Lane:
    """One source with what belongs to it alone."""

    source: LiveSource
    stamp: Stamp
    switches: Switches
    segmenter: Segmenter
    sinks: list[Sink]
    publisher: MqttPublisher | None = None
    state: str = ""
    ticks: count[int] = field(default_factory=lambda: count(1))
    events: count[int] = field(default_factory=lambda: count(1))
    judged_at: float = 0.0
    reached: float = 0.0
    dropped: int = 0
    showing: Showing = field(default_factory=Showing)

    def __post_init__(self) -> None:
        self.media = LiveMedia(self.source)

    def say(self, second: Second) -> None:
        """Deliver a decision and the events that come of it."""
        self.judged_at, self.reached = time.monotonic(), second.start + 1
        deliver(tick(second, self.stamp, next(self.ticks)), self.sinks)
        self._say_events(self.segmenter.push(second))

    def end_event(self) -> None:
        """End the event that is on, if any."""
        self._say_events(self.segmenter.flush())

    def _say_events(self, events: Iterable[Event]) -> None:
        for event in events:
            links = self.showing.keep(event, self.media, self.reached)
            deliver(event_message(event, self.stamp, next(self.events), links), self.sinks)


class Service:
    """Watches the configured live sources until the process is told to end; `run` returns the seconds judged.

    `lanes` are the sources by name, `load` chooses how much is looked at. `beat` is called at every turn of the loop,
    twice a second or more: a watchdog may rely on it. What can be refused is refused at once: BundleError,
    ConfigError, MqttError, OutboxError, SinkError.
    """

    def __init__(self, config: Config, sinks: Sequence[Sink] = (), beat: Callable[[], None] = lambda: None) -> None:
        self._config, self._beat, self._inbox = config, beat, Inbox()
        self.bundle = Bundle.load(config.bundle or DEMO)
        self._pipeline = Pipeline(self.bundle, config.threads or None, config.delegate)
        self.load, self.lanes = Load(modes_of(self.bundle.manifest)), dict[str, Lane]()
        self._origin, self._epoch_ns, self._wall = time.monotonic(), time.time_ns(), WallClock()
        self._showing = Showing()
        self._shared = [*sinks]
        try:
            self._shared += outlets(config, self.bundle, self._records)
            sources = config.sources or (config.source,)
            stamps = [make_stamp(replace(config, source=source), self.bundle) for source in sources]
            for source, stamp in zip(sources, stamps, strict=True):
                self._open(source, stamp, [each.source for each in stamps])
            self._show(stamps[0])
        except BaseException:
            self.close()
            raise

    def run(self) -> int:
        """Judge whatever comes until a signal ends the process; events that are on are ended then."""
        judged = 0
        try:
            while True:
                self._beat()
                item = self._inbox.get(TURN_SECONDS)
                if item is not None:
                    judged += self._judge(*item)
                self._turn()
        finally:
            for lane in self.lanes.values():
                lane.end_event()
            self.close()
        return judged

    def close(self) -> None:
        """End readers, files and publishers, all at the same time: each may take a second."""
        closing = [sink.close for sink in (*self._shared, *self._showing.sinks)]
        for lane in self.lanes.values():
            closing += [lane.source.close, *([lane.publisher.close] if lane.publisher else [])]
        with ThreadPoolExecutor(len(closing) or 1) as pool:
            for done in [pool.submit(close) for close in closing]:
                done.result()

    # Opening.

    def _open(self, config: SourceConfig, stamp: Stamp, names: Sequence[str]) -> None:
        if stamp.source in self.lanes:
            msg = f"two sources are named {stamp.source!r}; give each a name of its own in the configuration"
            raise ConfigError(msg)
        manifest = self.bundle.manifest
        source = LiveSource(
            with_password(config.url, config.user, config.password_file),
            manifest.clip,
            sees=manifest.sees,
            hears=manifest.hears,
            sound=config.sound,
            decoder=config.decoder,
            name=stamp.source,
            origin=self._origin,
            inbox=self._inbox,
            on_health=lambda health: self._told(stamp.source, health),
        )
        switches = Switches(off=() if self._config.mqtt.publish_ticks else ("publish_ticks",))
        stamp = replace(stamp, epoch_ns=self._epoch_ns)
        lane = Lane(source, stamp, switches, Segmenter(self._config.events, stamp.boot), list(self._shared))
        self.lanes[stamp.source] = lane
        if self._config.mqtt.url:
            lane.publisher = self._publisher(lane, names)
            lane.sinks.append(lane.publisher)
        self._told(stamp.source, source.health())

    def _show(self, stamp: Stamp) -> None:
        """Open the page, if one is configured, for all lanes."""
        lanes = self.lanes.values()
        media = {lane.stamp.source: lane.media for lane in lanes}
        sinks = [sink for lane in lanes for sink in lane.sinks]
        self._showing = show(
            self._config, self.bundle, stamp, self.lanes[stamp.source].switches, media=media, sinks=sinks
        )
        for lane in lanes:
            lane.showing = self._showing
            lane.sinks = [*self._showing.sinks, *lane.sinks]  # what is announced can be asked for

    def _publisher(self, lane: Lane, names: Sequence[str]) -> MqttPublisher:
        source = lane.source
        return MqttPublisher(
            self._config.mqtt,
            lane.stamp,
            info(self.bundle, lane.stamp, self._config.events),
            roles_of(self._config, self.bundle, video=source.video, audio=source.audio),
            switches=lane.switches,
            self_test=partial(self_test, self.bundle),
            find_clip=clip_finder(self._config),
            sources=names,
            leader=self._leader,
        )

    @property
    def _leader(self) -> MqttPublisher | None:
        return next((lane.publisher for lane in self.lanes.values() if lane.publisher), None)

    def _records(self) -> bool:
        return any(lane.switches["record"] for lane in self.lanes.values())

    # The loop.

    def _judge(self, name: str, came: float, clip: Clip) -> int:
        lane, mode, began = self.lanes[name], self.load.mode, time.monotonic()
        if not lane.switches["enabled"]:
            lane.end_event()
            return 0
        motion: frozenset[Modality] = frozenset() if mode == "full" else frozenset({"flow"})
        second = self._pipeline(clip, lane.switches.left_out | motion)
        if second is not None:
            late = time.monotonic() - self._origin - (clip.start + 1)
            lane.say(replace(second, mode=mode, end_to_decision_ms=1000 * late))
        self._weigh(lane, waited=began - came, took=time.monotonic() - began)
        return int(second is not None)

    def _weigh(self, lane: Lane, *, waited: float, took: float) -> None:
        """Look at less, or at more again, as the cost of this second says."""
        healths = [each.source.health() for each in self.lanes.values()]
        dropped = self._inbox.dropped[lane.stamp.source]
        missed, lane.dropped = dropped - lane.dropped, dropped
        busy = max((health.busy for health in healths if health.state not in ("offline", "connecting")), default=0.0)
        if self.load.push(time.monotonic(), waited=waited, took=took, dropped=missed, busy=busy):
            self._apply(self.load.mode)

    def _apply(self, mode: Mode) -> None:
        wanted = look(mode, self.bundle.manifest.clip.frames_per_second)
        for lane in self.lanes.values():
            lane.source.spare(mode, wanted)
        log.warning("mode %s: %s", mode, SAYS[mode])
        if self._leader:
            self._leader.health("load", "ok" if mode == "full" else "warn", SAYS[mode])

    def _turn(self) -> None:
        step = self._wall.push()
        if self._leader:
            trouble = self._wall.trouble
            self._leader.health("clock", "warn" if trouble else "ok", trouble or "has not been set since the start")
        silence = SILENCE_SECONDS + self._config.events.merge_gap_seconds
        for lane in self.lanes.values():
            lane.stamp = replace(lane.stamp, epoch_ns=lane.stamp.epoch_ns + round(step * NANOSECONDS))
            if lane.judged_at and time.monotonic() - lane.judged_at > silence:
                lane.judged_at = 0.0
                lane.end_event()

    def _told(self, name: str, health: SourceHealth) -> None:
        """A source's state has changed; in its thread."""
        lane = self.lanes.get(name)
        if lane is None:
            return
        if health.state != lane.state:
            lane.state = health.state
            log.log(logging.INFO if health.state == "online" else logging.WARNING, "%s: %s", name, health.message)
        if lane.publisher is not None:
            lane.publisher.health("source", LEVELS.get(health.state, "warn"), health.message, health.state)
