"""A TCP proxy on loopback that spoils what passes: delay, bandwidth, slices, resets, silence, no acknowledgements."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

BLOCK = 65536


@dataclass(frozen=True)
class Toxics:
    """What is done to each direction: seconds of delay, bytes a second (0: all), bytes in a slice (0: whole).

    `silent` swallows everything, `deaf` only what comes from the broker (half-open), `no_puback` the broker's
    acknowledgements of QoS 1; `refuse` hangs up on new connections.
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
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def reset(self) -> None:
        """Cut every connection by RST."""
        self._loop.call_soon_threadsafe(self._reset)

    def close(self) -> None:
        """End the proxy and its connections."""
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()

    def _reset(self) -> None:
        for writer in self._open:
            raw = writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._open.clear()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.toxics.refuse:
            writer.close()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        self._open |= {writer, up_writer}
        await asyncio.gather(
            self._pass(reader, up_writer, from_broker=False), self._pass(up_reader, writer, from_broker=True)
        )
        self._open -= {writer, up_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_broker: bool) -> None:
        with contextlib.suppress(OSError):
            while block := await reader.read(BLOCK):
                toxics = self.toxics
                if toxics.silent or (toxics.deaf and from_broker):
                    continue
                if toxics.no_puback and from_broker:
                    block = without_pubacks(block)
                if toxics.delay:
                    await asyncio.sleep(toxics.delay)
                size = toxics.slice_bytes or len(block) or 1
                for at in range(0, len(block), size):
                    writer.write(block[at : at + size])
                    await writer.drain()
                    if toxics.bandwidth:
                        await asyncio.sleep(min(size, len(block)) / toxics.bandwidth)
                    elif toxics.slice_bytes:
                        await asyncio.sleep(0)
        with contextlib.suppress(OSError):
            writer.close()


def without_pubacks(block: bytes) -> bytes:
    """Take PUBACK packets (MQTT 3.1.1, whole ones) out of what a broker sends."""
    kept, at = b"", 0
    while at + 1 < len(block):
        end = at + 2 + block[at + 1]  # a broker's answers are shorter than 128 bytes
        if block[at] != 0x40:
            kept += block[at:end]
        at = end
    return kept
