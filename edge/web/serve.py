"""The page's server: a thread of its own with an event loop, fed by the loop that judges, which never waits for it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.config import ConfigError, Web
from edge.contract import Feedback
from edge.messages import Info, Message

from .access import Gate
from .app import Site, make_app
from .board import Board
from .metrics import Metrics
from .standing import Card, Media, NodeStanding, SourceStanding

CONNECTIONS = 256
"""More than these are refused at once: the process needs its file descriptors for other things."""
REQUEST_SECONDS = 10.0
"""A client that has not finished its request line and headers by then is let go."""
TURN_SECONDS = 0.1
LOOK_SECONDS = 0.25
"""Sources are looked at so often, the node half as often: a fault is to be seen within 3 s."""
CLOSE_SECONDS = 2.0
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shop:
    """What a page shows: who the node is, the media of its sources by `node/source`, how it is, and earlier events.

    `look` is asked twice a second, in a thread, with the seconds since the last message, and may wait for the disk; so
    may `say`, which takes what a person says of an event further. `rows` are the fusion table's: which modality is
    trusted for which label.
    """

    say: Callable[[Feedback, Card], None]
    info: Info | None = None
    rows: Mapping[str, str] = field(default_factory=dict)
    media: Mapping[str, Media] = field(default_factory=dict)
    look: Callable[[float], NodeStanding] | None = None
    events: tuple[Card, ...] = ()
    clips: Path | None = None


class Page:
    """A sink that shows what it takes at `address`, to whoever has the token.

    Everything but the hand-over happens in the page's thread. Raises ConfigError when the address cannot be used.
    """

    def __init__(self, web: Web, token: str, shop: Shop) -> None:
        self._web, self._shop, self._heard = web, shop, time.monotonic()
        self._socket = listen(web)
        self.board = Board(streams=web.streams)
        self._metrics = Metrics(self.board)
        secure = bool(web.certificate)
        site = Site(self.board, self._metrics, Gate(token), shop.say, shop.media, shop.clips, secure=secure)
        host, port = self._socket.getsockname()[:2]
        self.address = f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        self._server = uvicorn.Server(self._configuration(site))
        self._loop = asyncio.new_event_loop()
        self._begin()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def __str__(self) -> str:
        return f"page {self.address}"

    def __call__(self, message: Message) -> None:
        """Hand a message to the page's thread."""
        self._heard = time.monotonic()
        if not message.replay:
            self.later(partial(self._take, message))

    def later(self, work: Callable[[], object]) -> None:
        """Do something in the page's thread."""
        self._loop.call_soon_threadsafe(work)

    def close(self) -> None:
        """End every stream and stop, within two seconds."""
        if self._thread.is_alive():
            self.later(self._stop)
            self._thread.join(CLOSE_SECONDS)
        self._socket.close()

    def _configuration(self, site: Site) -> uvicorn.Config:
        web = self._web
        return uvicorn.Config(
            make_app(site),
            http=Impatient,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=web.certificate or None,
            ssl_keyfile=web.key or None,
        )

    def _begin(self) -> None:
        for shown in self._shop.events:
            self.board.restore(shown)
        if self._shop.info is not None:
            self.board.introduce(self._shop.info, dict(self._shop.rows))
        for name, media in self._shop.media.items():
            self.board.look(name, media.standing(), time.monotonic())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        tasks = [asyncio.create_task(self._turn()), asyncio.create_task(self._look())]
        for task in tasks:
            task.add_done_callback(lambda _: self._stop())
        await self._server.serve(sockets=[self._socket])
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()
        for result in results:
            if isinstance(result, Exception):
                raise result  # a page that no longer follows must not look as if it did

    async def _turn(self) -> None:
        while True:
            self.board.turn(time.monotonic())
            await asyncio.sleep(TURN_SECONDS)

    async def _look(self) -> None:
        """Ask how everything is, never in this thread, which has watchers to serve."""
        for turn in count():
            for name, standing in await asyncio.to_thread(self._standings):
                self.board.look(name, standing, time.monotonic())
            if turn % 2 == 0 and self._shop.look is not None and self._shop.info is not None:
                quiet = time.monotonic() - self._heard
                self.board.look_at_node(self._shop.info.node, await asyncio.to_thread(self._shop.look, quiet))
            await asyncio.sleep(LOOK_SECONDS)

    def _standings(self) -> list[tuple[str, SourceStanding]]:
        return [(name, media.standing()) for name, media in self._shop.media.items()]

    def _take(self, message: Message) -> None:
        self.board.take(message, time.monotonic())
        self._metrics.take(message)

    def _stop(self) -> None:
        self.board.end()
        self._server.should_exit = True


class Impatient(H11Protocol):
    """uvicorn's HTTP, for at most so many connections, and for clients that say what they want in time."""

    _timer: asyncio.TimerHandle | None = None
    _answered: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or refuse at once where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(FULL)
            transport.close()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(REQUEST_SECONDS, self._look)

    def _look(self) -> None:
        cycle: Any = self.cycle
        if cycle is self._answered and (cycle is None or cycle.response_complete):
            self.transport.close()  # since the last look no request was read
        else:
            self._answered = cycle
            self._wait()


def listen(web: Web) -> socket.socket:
    """Open the page's port; ConfigError says why it cannot be."""
    host, port = web.place
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        msg = f"web.address: {web.address} cannot be used ({(error.strerror or str(error)).lower()})"
        raise ConfigError(msg) from None
    return listening
