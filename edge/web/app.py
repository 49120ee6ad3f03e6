"""The page's addresses: files of the package, the state, the stream, pictures and clips, and what a person says."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from edge.contract import Feedback, Verdict
from edge.messages import utc

from .access import COOKIE, SESSION_SECONDS, Gate, Guarded, login_page, too_many
from .board import Board
from .metrics import CONTENT_TYPE, Metrics
from .standing import Card, Media
from .stream import EventStream

STATIC = Path(__file__).with_name("static")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
OWN = ("login.html",)
"""Shown by the door, not by its name."""
MOST_BYTES = 16_384
BODY_SECONDS = 10.0
EVENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
RETRY = {"retry-after": "5", "connection": "close"}


@dataclass(frozen=True)
class Opinion:
    """What the page sends of an event."""

    verdict: Verdict
    label: str | None = None
    by: str = "page"


@dataclass(frozen=True)
class Site:
    """What the page is made of; `say` carries what a person says further and may raise OSError."""

    board: Board
    metrics: Metrics
    gate: Gate
    say: Callable[[Feedback, Card], None]
    media: Mapping[str, Media] = field(default_factory=dict)
    clips: Path | None = None
    secure: bool = False


def make_app(site: Site) -> ASGIApp:
    """Build the application."""
    form = (STATIC / "login.html").read_text(encoding="utf-8")
    guard = Middleware(Guarded, gate=site.gate, form=form)
    errors: Mapping[type[Exception] | int, Callable[[Request, Exception], Response]] = {HTTPException: _explained}
    routes = [*_files(), *_state(site), *_media(site), *_doors(site, form)]
    return Starlette(routes=routes, middleware=[guard], exception_handlers=dict(errors))


def _files() -> list[BaseRoute]:
    def file(path: Path) -> Route:
        content, kind = path.read_bytes(), TYPES[path.suffix]

        async def answer(_: Request) -> Response:
            return Response(content, media_type=kind)

        return Route("/" if path.name == "page.html" else f"/{path.name}", answer)

    return [file(path) for path in sorted(STATIC.iterdir()) if path.name not in OWN]


def _state(site: Site) -> list[BaseRoute]:
    async def state(_: Request) -> Response:
        return Response(
            site.board.snapshot(utc(time.time_ns()), pictures=list(site.media)), media_type="application/json"
        )

    async def stream(request: Request) -> Response | EventStream:
        watcher = None if request.method == "HEAD" else site.board.watch()
        if watcher is None:
            return JSONResponse({"error": "as many streams are open as may be; try again in 5 s"}, 503, RETRY)
        return EventStream(site.board, watcher)

    async def metrics(_: Request) -> Response:
        return Response(site.metrics.write(), headers={"content-type": CONTENT_TYPE})

    async def health(_: Request) -> Response:
        reasons = site.board.reasons()
        return JSONResponse({"ok": not reasons, "reasons": reasons}, 503 if reasons else 200)

    return [
        Route("/api/state", state),
        Route("/stream", stream),
        Route("/metrics", metrics),
        Route("/healthz", health),
    ]


def _media(site: Site) -> list[BaseRoute]:
    async def picture(request: Request) -> Response:
        media = site.media.get("{node}/{source}".format(**request.path_params))
        shown = None if media is None else await asyncio.to_thread(media.preview)
        if shown is None:
            raise HTTPException(404, "this source shows no picture")
        return Response(shown.jpeg, media_type="image/jpeg", headers={"x-media-time": f"{shown.time:.3f}"})

    async def kept(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        if site.clips is None or not EVENT.fullmatch(request.path_params["event"]):
            raise HTTPException(404, "no such event")
        file = site.clips / request.path_params["event"] / name
        if not file.is_file():
            raise HTTPException(404, "this event has no clip, or it had to make room")
        return FileResponse(file, headers={"cache-control": "no-cache"})

    async def say(request: Request) -> Response:
        feedback, shown = await _feedback(request, site.board)
        try:
            await asyncio.to_thread(site.say, feedback, shown)
        except OSError as error:
            raise HTTPException(507, f"could not be kept ({(error.strerror or str(error)).lower()})") from None
        return Response(msgspec.json.encode(site.board.say(feedback)), media_type="application/json")

    return [
        Route("/api/sources/{node}/{source}/picture.jpg", picture),
        Route("/api/events/{event}/clip.mp4", kept),
        Route("/api/events/{event}/thumb.jpg", kept),
        Route("/api/events/{event}/feedback", say, methods=["POST"]),
    ]


def _doors(site: Site, form: str) -> list[BaseRoute]:
    async def login(request: Request) -> Response:
        if request.method != "POST":
            return login_page(form)
        address = request.client.host if request.client else ""
        if pause := site.gate.pause(address):
            return too_many(pause)
        fields = parse_qs((await body(request)).decode(errors="replace"))
        if not site.gate.knows(fields.get("token", [""])[0].strip()):
            site.gate.wrong(address)
            return login_page(form, 401, "That is not the token.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, site.gate.cookie(), max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=site.secure
        )
        return answer

    async def logout(_: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=site.secure)
        return answer

    return [Route("/login", login, methods=["GET", "POST"]), Route("/logout", logout, methods=["POST"])]


async def body(request: Request) -> bytes:
    """Read a small body that comes soon."""
    try:
        return await asyncio.wait_for(_all(request), BODY_SECONDS)
    except (asyncio.TimeoutError, ClientDisconnect):
        raise HTTPException(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None


async def _all(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"more than {MOST_BYTES} bytes")
    return content


async def _feedback(request: Request, board: Board) -> tuple[Feedback, Card]:
    shown = board.events.get(request.path_params["event"])
    if shown is None:
        raise HTTPException(404, "no such event")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "feedback is application/json")
    try:
        opinion = msgspec.json.decode(await body(request), type=Opinion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(422, f"not feedback: {str(error)[:1].lower()}{str(error)[1:]}") from None
    node = board.nodes.get(shown.event.node)
    classes = node.info.classes if node and node.info else ()
    if (opinion.verdict == "label") != (opinion.label is not None):
        raise HTTPException(422, "label: goes with the verdict label, and only with it")
    if opinion.label is not None and opinion.label not in classes:
        raise HTTPException(422, f"label: {opinion.label!r} is none of {', '.join(classes)}")
    return Feedback(id=shown.event.id, verdict=opinion.verdict, label=opinion.label, by=opinion.by[:64]), shown


def _explained(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
