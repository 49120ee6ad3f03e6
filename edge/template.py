"""A configuration file to start from: every key with its default and what it is for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from .config import Config

HEAD = """\
# Where Touchline runs: what it watches, whom it tells. Read by: touchline run --config FILE
# A key behind # has the value that it shows; options of the command line go before this file.
"""
COMMENTS = {
    "bundle": "The models, a folder; empty: the demo bundle, which knows a drawn world only.",
    "threads": "For each model; 0: one for a small model, else the cores, at most 4.",
    "delegate": "A TFLite delegate's library, as a GPU's; where it fails, or judges otherwise, the CPU goes on.",
    "jsonl": "A file for every message, one JSON a line.",
    "source": "What to watch.",
    "sources": "In place of [source]: several live ones that share the models, each a table [[sources]] with its keys.",
    "source.url": "A media file, or live: rtsp:// srt:// udp:// rtp:// http:// v4l2:// mic://.",
    "source.name": "Its name in topics; empty: the file's.",
    "source.pace": "realtime: as a live source would come; fast: as fast as it goes.",
    "source.sound": "Of a live source: sound from elsewhere, as mic://NAME.",
    "source.user": "Of a live source,",
    "source.password_file": "and a file with nothing but the password; chmod 600.",
    "source.decoder": "ffmpeg, or jetson for the hardware of one.",
    "mqtt": "Where events go.",
    "mqtt.url": "mqtt[s]://[user[:password]@]host[:port][/base]; empty: nowhere.",
    "mqtt.node": "This device's name in topics; empty: the host's. With certificates: the name in ours.",
    "mqtt.outbox": "Where events wait until they are delivered, a folder; none: in memory only.",
    "mqtt.outbox_mb": "What they may take there, in megabytes.",
    "mqtt.delivery": "Delivered is what the broker has (broker), or what all consumers have committed (end-to-end).",
    "mqtt.consumers": "Who acknowledges then.",
    "mqtt.user": "If the address names none.",
    "mqtt.password_file": "A file whose first line is the password; chmod 600.",
    "mqtt.ca": "PEM: the authorities that may have signed the broker's certificate; empty: those of the system.",
    "mqtt.certificate": "PEM: our certificate.",
    "mqtt.key": "PEM: its private key; empty: in the certificate's file.",
    "mqtt.alpn": "x-amzn-mqtt-ca for AWS IoT Core on port 443.",
    "mqtt.protocol": "5, 3.1.1, or auto.",
    "mqtt.envelope": "The form of events: plain, or cloudevents.",
    "mqtt.home_assistant": "Announce this node to Home Assistant.",
    "mqtt.publish_ticks": "Each second's decision too, until somebody switches it.",
    "events": "When a run of seconds becomes an event.",
    "events.on_score": "A label opens at this score,",
    "events.off_score": "and is carried on down to this one.",
    "events.minimum_seconds": "It is an event once it has lasted so long;",
    "events.merge_gap_seconds": "a hole of so long does not end it.",
    "events.update_seconds": "It is told again every so often.",
    "announce": "What is said aloud when an event begins.",
    "announce.language": "Of the sentences, as en; empty: nothing is said.",
    "announce.voice": "offline (espeak-ng), or one of Amazon Polly's.",
    "announce.engine": "Of Polly's voice.",
    "announce.fallback": "offline: that voice speaks where Polly cannot be used at the start.",
    "announce.region": "Polly's; empty: AWS_DEFAULT_REGION.",
    "announce.cache": "A folder for what was paid for; empty: touchline/speech in XDG_CACHE_HOME.",
    "announce.wordings": "A TOML file of sentences.",
    "announce.labels": "Only these; none: all.",
    "announce.folder": "Gets WAV files, in place of the loudspeaker.",
    "announce.device": "The loudspeaker; empty: the system's.",
    "announce.minimum_seconds_between": "Two announcements.",
    "announce.rate_hz": "Samples a second.",
    "web": "The page, and clips of events.",
    "web.address": "HOST:PORT; empty: no page.",
    "web.token_file": "A file with the token; empty: TOUCHLINE_WEB_TOKEN, or one that is made at the first start.",
    "web.certificate": "PEM: makes it https.",
    "web.key": "PEM: its private key; empty: in the certificate's file.",
    "web.streams": "Browsers at once.",
    "web.clips": "Where clips are, a folder; empty: touchline/clips in XDG_STATE_HOME.",
    "web.pre_seconds": "A clip begins so long before its event,",
    "web.post_seconds": "ends so long after it,",
    "web.clip_seconds": "and holds so much of it at most.",
    "web.retraining": "Clips that a person has judged, in a folder for each label; empty: touchline/retraining.",
    "quotas": "What may lie on the disk, in megabytes; 0: as much as comes.",
    "quotas.clips_mb": "Clips of events; the oldest go first,",
    "quotas.free_mb": "also while less than this is free.",
    "quotas.jsonl_mb": "The file of messages; the one before is kept beside it.",
}
"""For each table and key of the configuration."""


def template(values: Mapping[str, Any]) -> str:
    """Write the file; `values`, by dotted key, stand in it as they are, other keys as comments with their defaults."""
    config = dataclasses.asdict(Config())
    tables = {name: table for name, table in config.items() if isinstance(table, dict)}
    lines = [HEAD, *(line for name in config if name not in tables for line in _entry(name, config[name], values))]
    for name, table in tables.items():
        lines += ["", *_comment(name), f"[{name}]"]
        lines += [line for key in table for line in _entry(f"{name}.{key}", table[key], values)]
    return "\n".join(lines) + "\n"


def _entry(key: str, default: Any, values: Mapping[str, Any]) -> list[str]:  # noqa: ANN401 - any TOML value
    off = "" if key in values else "#"
    return [*_comment(key), f"{off}{key.rpartition('.')[2]} = {json.dumps(values.get(key, default))}"]


def _comment(key: str) -> list[str]:
    return [f"# {COMMENTS[key]}"] if key in COMMENTS else []
