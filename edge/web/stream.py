"""Server-sent events to one watcher."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from .board import Board, Watcher

RETRY_MS = 2000
KEEPALIVE_SECONDS = 10.0
PATIENCE_SECONDS = 30.0
"""A watcher that has not taken a message for so long is let go."""


class EventStream:
    """An answer that lasts: each message of a watcher as `data:`, what was dropped as an event `dropped`."""

    def __init__(self, board: Board, watcher: Watcher) -> None:
        self._board, self._watcher = board, watcher

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends."""
        tasks = {asyncio.create_task(_gone(receive)), asyncio.create_task(self._send(send))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._board.leave(self._watcher)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = b"retry: %d\n\n" % RETRY_MS
        while body:
            part = {"type": "http.response.body", "body": body, "more_body": True}
            await asyncio.wait_for(send(part), PATIENCE_SECONDS)
            body = await self._next()
        await send({"type": "http.response.body", "body": b""})

    async def _next(self) -> bytes:
        try:
            got = await asyncio.wait_for(self._watcher.get(), KEEPALIVE_SECONDS)
        except asyncio.TimeoutError:
            return b": nothing new\n\n"
        if got is None:
            return b""
        message, dropped = got
        notice = b"event: dropped\ndata: %d\n\n" % dropped if dropped else b""
        return notice + b"data: " + message + b"\n\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
