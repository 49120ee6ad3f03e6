"""The judge of what arrives: a broker (MQTT 3.1.1) that writes each message to disk before it acknowledges it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 12, 14


@dataclass(frozen=True)
class Arrival:
    """A message that was written down: when, in seconds of the monotonic clock, where and what."""

    time: float
    topic: str
    payload: bytes


class Oracle:
    """Serves on a loopback port and logs every publication, synced, as one line of JSON; one at a time."""

    def __init__(self, log: Path) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def serve(self, port: int) -> None:
        """Serve for ever; prints the port."""
        server = await asyncio.start_server(self._client, "127.0.0.1", port)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, flags, body = await _packet(reader)
                answer = self._answer(kind, flags, body)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()

    def _answer(self, kind: int, flags: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            level = body[6]
            return b"\x20\x02\x00\x00" if level == 4 else b"\x20\x02\x00\x01"
        if kind == PUBLISH:
            return self._publication(flags, body)
        if kind == SUBSCRIBE:
            return b"\x90" + bytes([2 + _filters(body)]) + body[:2] + b"\x01" * _filters(body)
        if kind == PINGREQ:
            return b"\xd0\x00"
        return None if kind == DISCONNECT else b""

    def _publication(self, flags: int, body: bytes) -> bytes:
        qos, length = flags >> 1 & 3, int.from_bytes(body[:2], "big")
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        mid, payload = (rest[:2], rest[2:]) if qos else (b"", rest)
        line = json.dumps([time.monotonic(), topic, payload.decode()])
        os.write(self._log, line.encode() + b"\n")
        if not qos:
            return b""
        os.fdatasync(self._log)
        return b"\x40\x02" + mid


def arrivals(log: Path) -> list[Arrival]:
    """Read what an oracle has written down."""
    lines = log.read_bytes().split(b"\n")[:-1]
    return [Arrival(at, topic, payload.encode()) for at, topic, payload in map(json.loads, lines)]


async def _packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return first >> 4, first & 15, await reader.readexactly(length)


def _filters(body: bytes) -> int:
    count, at = 0, 2
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
        count += 1
    return count


def main() -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python benchmarks/oracle.py arrivals.jsonl")
    parser.add_argument("log", type=Path, help="write every message to this file")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: a free one, printed)")
    arguments: Any = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Oracle(arguments.log).serve(arguments.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
