"""One second at a time: the loop that carries media to decisions, events and those who listen."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from .announce import announcements
from .bag import Bag, is_bag
from .bundle import DEMO, Bundle
from .check import check
from .clip import Clip, Event, Second
from .config import Config
from .config import Source as SourceConfig
from .events import Segmenter
from .live.address import is_live, name_of
from .messages import Media, Message, Stamp, event_message, info, tick, topic_id
from .mqtt import MqttPublisher
from .pipeline import Pipeline
from .recorded import Recorded
from .retention import MEGABYTE
from .showing import clip_finder, show
from .sinks import JsonLines, Sink, deliver
from .sources import Source, ahead, paced
from .switches import Switches
from .windows import Windower, clips

CLIPS_AHEAD = 2
"""Decoding may run this many seconds ahead of the decision: enough to overlap, little to hold in memory."""


def run(config: Config, sinks: Sequence[Sink] = (), beat: Callable[[], None] = lambda: None) -> int:
    """Watch the configured source to its end and deliver every decision and event; return the seconds judged.

    Raises BundleError, SourceError, MqttError, OutboxError, SinkError or what `announcements` raises before anything is
    sent, SourceError later only when nothing in the source could be decoded. Events that are open when the media or the
    process ends, or when it is told to judge nothing, are ended. Live sources have no end; `beat` is called while they
    are judged.
    """
    if config.sources or is_live(config.source.url):
        from .live.service import Service

        return Service(config, sinks, beat).run()
    bundle = Bundle.load(config.bundle or DEMO)
    pipeline = Pipeline(bundle, config.threads or None, config.delegate)
    judged = 0
    with ExitStack() as stack:
        source, windower = open_media(config.source.url, bundle)
        stack.enter_context(source)
        stamp = make_stamp(config, bundle)
        switches = Switches(off=() if config.mqtt.publish_ticks else ("publish_ticks",))
        realtime = config.source.pace == "realtime"
        media = Recorded(config.source.url, paced=realtime, bag=isinstance(source, Bag))
        sinks = [*sinks, *_configured_sinks(config, bundle, stamp, source, switches)]
        for sink in sinks:
            stack.callback(sink.close)
        showing = show(config, bundle, stamp, switches, media={stamp.source: media}, sinks=sinks)
        for sink in showing.sinks:
            stack.callback(sink.close)
        sinks = [*showing.sinks, *sinks]  # what is announced can be asked for
        segmenter = Segmenter(config.events, stamp.boot)
        to_message = stamper(stamp)
        packets = media.watching(paced(source) if realtime else source)
        reached = 0.0
        try:
            for clip in ahead(clips(packets, windower), CLIPS_AHEAD):
                reached = clip.start + 1
                records = _judge(clip, pipeline, segmenter, switches)
                judged += any(isinstance(record, Second) for record in records)
                for record in records:
                    deliver(to_message(record, showing.keep(record, media, reached)), sinks)
        finally:
            for event in segmenter.flush():
                deliver(to_message(event, showing.keep(event, media, reached)), sinks)
        showing.stay()
    return judged


def _judge(clip: Clip, pipeline: Pipeline, segmenter: Segmenter, switches: Switches) -> list[Second | Event]:
    if not switches["enabled"]:
        return list(segmenter.flush())
    second = pipeline(clip, switches.left_out)
    return [] if second is None else [second, *segmenter.push(second)]


def open_media(url: str, bundle: Bundle) -> tuple[Source | Bag, Windower]:
    """Open a media file, or a recording of ROS, for what the bundle judges, with the windower that cuts it."""
    manifest = bundle.manifest
    opened = Bag if is_bag(url) else Source
    source = opened(url, manifest.clip.sample_rate_hz, video=manifest.sees, audio=manifest.hears)
    return source, Windower(manifest.clip, video=source.video, audio=source.audio)


def source_name(source: SourceConfig) -> str:
    """Name a source as topics do: as configured, else after its address."""
    return topic_id(source.name or name_of(source.url))


def make_stamp(config: Config, bundle: Bundle) -> Stamp:
    """Say who speaks: node, source, this start of the process, and the models and table in force."""
    return Stamp(
        node=topic_id(config.mqtt.node or socket.gethostname()),
        source=source_name(config.source),
        boot=secrets.token_hex(4),
        epoch_ns=time.time_ns(),
        model=f"{bundle.manifest.name}-{bundle.manifest.version}",
        sha256=bundle.sha256,
        table=bundle.fusion.version,
    )


def stamper(stamp: Stamp) -> Callable[[Second | Event, Media | None], Message]:
    """Turn records into messages, each kind counted on its own, so that a subscriber can notice a gap."""
    ticks, events = count(1), count(1)

    def to_message(record: Second | Event, media: Media | None = None) -> Message:
        if isinstance(record, Second):
            return tick(record, stamp, next(ticks))
        return event_message(record, stamp, next(events), media)

    return to_message


def _configured_sinks(
    config: Config, bundle: Bundle, stamp: Stamp, source: Source | Bag, switches: Switches
) -> list[Sink]:
    sinks = list(outlets(config, bundle, lambda: switches["record"]))
    if config.mqtt.url:
        roles = roles_of(config, bundle, video=source.video, audio=source.audio)
        birth = info(bundle, stamp, config.events)
        test, find = partial(self_test, bundle), clip_finder(config)
        sinks.append(MqttPublisher(config.mqtt, stamp, birth, roles, switches=switches, self_test=test, find_clip=find))
    return sinks


def outlets(config: Config, bundle: Bundle, records: Callable[[], bool]) -> Iterator[Sink]:
    """Open what is configured besides MQTT and the page; `records` says whether messages are written just now."""
    if config.announce.language:
        yield announcements(config.announce, bundle.manifest.labels)
    if config.jsonl:
        yield JsonLines(Path(config.jsonl), records, limit_bytes=config.quotas.jsonl_mb * MEGABYTE)


def roles_of(config: Config, bundle: Bundle, *, video: bool, audio: bool) -> list[str]:
    """List what a source of these media takes part in: the bundle's modalities, and the recording of messages."""
    roles: list[str] = [name for name in bundle.manifest.models if (audio if name == "audio" else video)]
    return [*roles, "record"] if config.jsonl else roles


def self_test(bundle: Bundle) -> dict[str, str]:
    """Do again what the bundle did where it was made: each step of `touchline check` with `ok` or what is wrong."""
    return {step.name: "ok" if step.ok else step.detail for step in check(bundle.path)}
