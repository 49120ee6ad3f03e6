"""A TCP proxy on loopback that spoils what passes: delay, bandwidth, slices, resets, silence, no PUBACKs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field

BLOCK = 65536
WAITING = 64
"""Blocks under way in each direction at most; then the sender waits, as a full pipe makes it."""
PUBACK = 0x40


@dataclass(frozen=True)
class Toxics:
    """What is done to each direction: seconds of delay, bytes a second (0: all), bytes in a slice (0: whole).

    `silent` swallows everything, `deaf` only what comes from the broker (half-open): a connection that has lost
    something that way stays so for good, as TCP has no holes, though new ones may work. `no_puback` withholds the
    broker's acknowledgements of QoS 1; `refuse` hangs up on new connections.
    """

    delay: float = 0.0
    bandwidth: int = 0
    slice_bytes: int = 0
    silent: bool = False
    deaf: bool = False
    no_puback: bool = False
    refuse: bool = False


class Proxy:
    """Passes connections on to a port, in a thread of its own; `toxics` may be changed at any time."""

    def __init__(self, port: int) -> None:
        self.toxics = Toxics()
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ended: asyncio.Event | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(ready),), daemon=True)
        self._thread.start()
        ready.wait()

    def reset(self) -> None:
        """Cut every connection by RST."""
        self._loop.call_soon_threadsafe(self._reset)

    def close(self) -> None:
        """End the proxy and its connections."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(5)
        self._loop.close()

    def _end(self) -> None:
        assert self._ended is not None
        self._ended.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._ended.wait()
        server.close()
        self._reset()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _reset(self) -> None:
        for writer in self._open:
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):  # closed meanwhile
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if not self.toxics.refuse:
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, up_writer}
        self._open |= ends
        try:
            await asyncio.gather(
                *self._direction(_Direction(from_broker=False), reader, up_writer),
                *self._direction(_Direction(from_broker=True), up_reader, writer),
            )
        finally:
            self._open -= ends
            up_writer.close()

    def _direction(
        self, direction: _Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        """Take in and give out apart, so that a delay does not narrow the line."""
        return (
            asyncio.ensure_future(self._take(direction, reader)),
            asyncio.ensure_future(self._give(direction, writer)),
        )

    async def _take(self, direction: _Direction, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(BLOCK):
                toxics = self.toxics
                direction.dead |= toxics.silent or (toxics.deaf and direction.from_broker)
                if direction.dead:
                    continue
                if direction.from_broker:
                    block = direction.pubacks.pass_on(block, withhold=toxics.no_puback)
                await direction.waiting.put((self._loop.time() + toxics.delay, block))
        await direction.waiting.put((0.0, b""))

    async def _give(self, direction: _Direction, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, block = await direction.waiting.get()
                if not due:
                    break
                await asyncio.sleep(due - self._loop.time())
                await self._write(writer, block)
        direction.dead = True
        while not direction.waiting.empty():  # who takes in may wait for room
            direction.waiting.get_nowait()
        with contextlib.suppress(OSError):
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter, block: bytes) -> None:
        toxics = self.toxics
        size = toxics.slice_bytes or max(1, toxics.bandwidth // 20) if toxics.bandwidth else toxics.slice_bytes or BLOCK
        for at in range(0, len(block), size):
            part = block[at : at + size]
            writer.write(part)
            await writer.drain()
            if toxics.bandwidth or toxics.slice_bytes:
                await asyncio.sleep(len(part) / toxics.bandwidth if toxics.bandwidth else 0)


class Pubacks:
    """Takes PUBACK packets out of the stream of what a broker sends, however it is cut into blocks."""

    def __init__(self) -> None:
        self._rest = b""

    def pass_on(self, block: bytes, *, withhold: bool) -> bytes:
        """Give the whole packets so far, less the PUBACKs if they are withheld."""
        data, at, kept = self._rest + block, 0, b""
        while (end := _packet_end(data, at)) is not None and end <= len(data):
            if not withhold or data[at] != PUBACK:
                kept += data[at:end]
            at = end
        self._rest = data[at:]
        return kept


@dataclass
class _Direction:
    from_broker: bool
    dead: bool = False
    waiting: asyncio.Queue[tuple[float, bytes]] = field(default_factory=lambda: asyncio.Queue(WAITING))
    pubacks: Pubacks = field(default_factory=Pubacks)


def _packet_end(data: bytes, at: int) -> int | None:
    """Find where the MQTT packet that begins at `at` ends; None if its length is not there yet."""
    length = 0
    for k in range(4):
        if at + 1 + k >= len(data):
            return None
        length |= (data[at + 1 + k] & 0x7F) << 7 * k
        if not data[at + 1 + k] & 0x80:
            return at + 2 + k + length
    return None
