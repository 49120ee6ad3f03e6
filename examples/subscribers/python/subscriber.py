"""A subscriber with nothing but paho-mqtt and docs/mqtt.md: prints and stores each event of every device once.

python subscriber.py STORE.db [--host H] [--port P] [--base touchline] [--mqtt311]

The store is one SQLite table, keyed as the page says: (node, source, boot, seq). Everything happens in one thread:
an event is committed before paho acknowledges it to the broker, which keeps for us what we have not acknowledged.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import sys
import time
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTErrorCode, MQTTMessage, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_SECONDS = 2.0
"""What is late comes by itself; what is missing for longer is asked for, and again after twice as long."""
SESSION_SECONDS = 3600

TABLES = """
CREATE TABLE IF NOT EXISTS events (
    node TEXT, source TEXT, boot TEXT, seq INTEGER, stream TEXT, "offset" INTEGER, payload TEXT,
    PRIMARY KEY (node, source, boot, seq));
CREATE INDEX IF NOT EXISTS offsets ON events (node, source, stream, "offset");
CREATE TABLE IF NOT EXISTS gaps (
    node TEXT, source TEXT, stream TEXT, first INTEGER, last INTEGER,
    PRIMARY KEY (node, source, stream, first));
"""
# Each event in the order of its stream, beside the one before it.
NEIGHBOURS = """
SELECT node, source, stream, "offset", boot, lag("offset") OVER line, lag(boot) OVER line, lag(seq) OVER line
FROM events WHERE stream IS NOT NULL WINDOW line AS (PARTITION BY node, source, stream ORDER BY "offset")
"""
# The end of a boot's messages without a hole: up to there each seq is its place in the order.
PREFIX = """
SELECT max(seq) FROM (
    SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM events WHERE node = ? AND boot = ?
) WHERE seq = place
"""


class Subscriber:
    """What was seen of every device, and what is missing of it."""

    def __init__(self, store: str, base: str) -> None:
        self.base, self.caller = base, f"python-{time.time_ns():x}"
        self.store = sqlite3.connect(store)
        self.store.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + TABLES)
        self.asked: dict[tuple[str, str, int], float] = {}
        self.changed = True

    def on_connect(self, client: Client, *_: object) -> None:
        """Subscribe at every connection: the broker may have forgotten us."""
        topics = ["+/status", "+/info", "+/+/event", "+/+/gap", f"+/rpc/history/reply/{self.caller}"]
        client.subscribe([(f"{self.base}/{topic}", 1) for topic in topics])

    def on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        """Take what comes; paho acknowledges it when this returns."""
        node, *rest = message.topic[len(self.base) + 1 :].split("/")
        if rest == ["status"]:
            print(f"{node} is {message.payload.decode()}", flush=True)
            return
        try:
            payload = json.loads(message.payload)
        except ValueError as error:
            print(f"{message.topic}: not JSON: {error}", file=sys.stderr)
            return
        if rest == ["info"]:
            self.catch_up(client, payload)
        elif rest[1:] == ["gap"] and payload["schema"] == "gap/1":
            self.explained(payload)
        elif rest[1:] == ["event"]:
            self.event(payload.get("data", payload))  # CloudEvents put it into an envelope
        elif rest[:2] == ["rpc", "history"] and payload["ok"]:
            for event in payload["events"]:
                self.event(event)
            if payload["more"]:
                last = payload["events"][-1]
                self.ask(client, node, last["boot"], last["seq"])

    def event(self, event: dict[str, Any]) -> None:
        """Commit an event, and print it if it is new."""
        if event["schema"] != "event/1":
            return
        row = [event[key] for key in ("node", "source", "boot", "seq", "stream", "offset")]
        with self.store:
            new = self.store.execute(
                "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", [*row, json.dumps(event)]
            ).rowcount
        if new:
            self.changed = True
            late = "  (late)" if event["late"] else ""
            where = f"{event['node']}/{event['source']}"
            print(f"{event['start']}  {where}  {event['type']} {event['label']} {event['score']}{late}", flush=True)

    def explained(self, gap: dict[str, Any]) -> None:
        """Remember what the device says will never come."""
        row = [gap[key] for key in ("node", "source", "stream", "first", "last")]
        with self.store:
            new = self.store.execute("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?)", row).rowcount
        if new:
            self.changed = True
            print(f"{gap['node']}/{gap['source']}: dropped {gap['dropped']}: {gap['reason']}", flush=True)

    def catch_up(self, client: Client, info: dict[str, Any]) -> None:
        """We or the device are here anew: ask for what follows what we have of its boot without a hole."""
        found = self.store.execute(PREFIX, (info["node"], info["boot"]))
        self.ask(client, info["node"], info["boot"], found.fetchone()[0] or 0)

    def ask_for_missing(self, client: Client) -> None:
        """Ask for every hole in a stream that is older than our patience."""
        now = time.monotonic()
        holes = self.holes() if self.changed or self.asked else []
        self.changed = False
        self.asked = {hole[:3]: self.asked.get(hole[:3], now + PATIENCE_SECONDS) for hole in holes}
        for node, source, offset, boot, before, after in holes:
            if now >= self.asked[node, source, offset]:
                self.asked[node, source, offset] = now + 2 * PATIENCE_SECONDS
                print(f"{node}/{source}: something is missing before offset {offset}", flush=True)
                self.ask(client, node, before, after)
                if boot != before:
                    self.ask(client, node, boot, 0)

    def holes(self) -> list[tuple[str, str, int, str, str, int]]:
        """Find where an offset does not follow the one before it, and no gap says why."""
        found = []
        for node, source, stream, offset, boot, previous, before, after in self.store.execute(NEIGHBOURS).fetchall():
            if previous is None or previous == offset - 1:
                continue
            gaps = self.store.execute(
                "SELECT first, last FROM gaps WHERE node = ? AND source = ? AND stream = ? AND last > ? AND first < ?",
                (node, source, stream, previous, offset),
            ).fetchall()
            explained = {number for first, last in gaps for number in range(max(first, previous + 1), last + 1)}
            if set(range(previous + 1, offset)) - explained:
                found.append((node, source, offset, boot, before, after))
        return found

    def ask(self, client: Client, node: str, boot: str, after: int) -> None:
        """Ask a node for its events of a boot after a seq."""
        topic = f"{self.base}/{node}/rpc/history"
        question = {
            "schema": "rpc/1",
            "id": f"{time.time_ns():x}",
            "reply_to": f"{topic}/reply/{self.caller}",
            "parameters": {"boot": boot, "after": after, "limit": 100},
        }
        client.publish(topic, json.dumps(question), qos=1)


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--base", default="touchline")
    parser.add_argument("--mqtt311", action="store_true", help="for brokers that do not speak MQTT 5")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    subscriber = Subscriber(options.store, options.base)
    name, api = f"example-{options.store}", CallbackAPIVersion.VERSION2
    if options.mqtt311:
        client = Client(api, name, clean_session=False, protocol=MQTTProtocolVersion.MQTTv311)
        client.connect(options.host, options.port, keepalive=15)
    else:
        client = Client(api, name, protocol=MQTTProtocolVersion.MQTTv5)
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = SESSION_SECONDS
        client.connect(options.host, options.port, keepalive=15, clean_start=False, properties=keep)
    client.on_connect, client.on_message = subscriber.on_connect, subscriber.on_message
    while True:
        if client.loop(0.5) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            time.sleep(1)
            try:
                client.reconnect()
            except OSError as error:
                print(f"{options.host}:{options.port}: {error}", file=sys.stderr)
        elif client.is_connected():
            subscriber.ask_for_missing(client)


if __name__ == "__main__":
    main()
