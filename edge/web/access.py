"""Who may see the page: a token, as a bearer or in a cookie that a form gives; and what every answer forbids."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "touchline"
SESSION_SECONDS = 30 * 86400
TRIES, TRY_SECONDS = 10, 60.0
"""So many wrong tokens from one address within so long; then it has to wait."""
MOST_ADDRESSES = 1024
OPEN = ("/healthz", "/login")
"""Paths that need no token."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Gate:
    """Compares tokens in constant time, gives cookies that only it could have signed, and counts wrong tries."""

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"touchline session", "sha256")
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def knows(self, token: str) -> bool:
        """Whether it is the token."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._digest)

    def cookie(self) -> str:
        """Make a session: until when it holds, a random name, and the signature of both."""
        session = f"{round(self._clock()) + SESSION_SECONDS}.{secrets.token_urlsafe(12)}"
        return f"{session}.{self._sign(session)}"

    def admits(self, cookie: str) -> bool:
        """Whether a cookie is ours and still holds."""
        session, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign(session).encode(), signature.encode()):
            return False
        return float(session.partition(".")[0]) > self._clock()

    def pause(self, address: str) -> int:
        """Seconds that an address has to wait before it may try again; 0: none."""
        tries = self._wrong.get(address)
        if tries is None or len(tries) < TRIES:
            return 0
        return max(0, round(tries[0] + TRY_SECONDS - self._clock()))

    def wrong(self, address: str) -> None:
        """An address has tried a wrong token."""
        self._wrong.setdefault(address, deque(maxlen=TRIES)).append(self._clock())
        self._wrong.move_to_end(address)
        while len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def _sign(self, session: str) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, session.encode(), "sha256")).decode().rstrip("=")


class Guarded:
    """Lets a request through to `app` that shows the token or the cookie; `form` is what a browser gets instead."""

    def __init__(self, app: ASGIApp, gate: Gate, form: str) -> None:
        self._app, self._gate, self._form = app, gate, form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers that every answer has."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(Request(scope))
        await (answer or self._app)(scope, receive, sealed)

    def _refusal(self, request: Request) -> Response | None:
        if request.url.path in OPEN:
            return None
        address = request.client.host if request.client else ""
        if self._gate.admits(session_of(request.headers)):
            return None if _ours(request) else JSONResponse({"error": "comes from another site"}, 403)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            if pause := self._gate.pause(address):
                return too_many(pause)
            if self._gate.knows(token.strip()):
                return None
            self._gate.wrong(address)
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return login_page(self._form, status=401)
        error = {"error": "needs the token: Authorization: Bearer ..., or the cookie that /login gives"}
        return JSONResponse(error, 401, {"www-authenticate": "Bearer"})


def session_of(headers: Headers) -> str:
    """Read our cookie; empty where there is none."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def login_page(form: str, status: int = 200, error: str = "") -> Response:
    """The form, under a policy that allows its own style and no script."""
    style = form.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = POLICY.replace("script-src 'self'", "script-src 'none'")
    policy = policy.replace("style-src 'self'", f"style-src 'sha256-{digest}'")
    headers = {"content-security-policy": policy}
    return HTMLResponse(form.replace("<!-- error -->", error), status, headers)


def too_many(pause: int) -> Response:
    """Say that an address has tried too often."""
    return JSONResponse({"error": f"too many wrong tokens; try again in {pause} s"}, 429, {"retry-after": str(pause)})


def _ours(request: Request) -> bool:
    """Whether a request that changes something comes from our own page."""
    if request.method in ("GET", "HEAD"):
        return True
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")
