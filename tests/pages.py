"""A page of its own for a test, on a free port of loopback, and a client that speaks HTTP to it byte by byte."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import made

from edge.config import Web
from edge.web.serve import Page, Shop
from edge.web.standing import Card, Picture, SourceStanding

TOKEN = "a token for tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
NAME = "truck1/cam2"
JPEG = b"\xff\xd8 not really \xff\xd9"


class StillMedia:
    """Media of one picture, as good as `level` says."""

    def __init__(self) -> None:
        self.now = SourceStanding(level="ok", state="online", live=True, frames_per_second=25.0)

    def preview(self) -> Picture:
        return Picture(JPEG, 1.5)

    def standing(self) -> SourceStanding:
        return self.now


class Site:
    """A running page, what people said on it, and requests to it."""

    def __init__(self, clips: Path | None = None, **settings) -> None:
        self.said: list[tuple] = []
        self.failure: OSError | None = None
        self.media = StillMedia()
        shop = Shop(self.say, info=made.INFO, rows={"golf": "rgb"}, media={NAME: self.media}, clips=clips)
        self.page = Page(Web(**{"address": "127.0.0.1:0", **settings}), TOKEN, shop)
        self.port = int(self.page.address.rpartition(":")[2])

    def say(self, feedback, card: Card) -> None:
        if self.failure is not None:
            raise self.failure
        self.said.append((feedback, card))

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers):
        """Send one request as it is; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields.setdefault("Content-Length", str(len(body)))
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def state(self) -> dict:
        return json.loads(self.get("/api/state", **BEARER)[2])

    def stream(self, seconds: float = 10.0) -> socket.socket:
        """Open a stream and send its request."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        sock.sendall(f"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: {BEARER['Authorization']}\r\n\r\n".encode())
        return sock


def head(sock: socket.socket) -> bytes:
    """Read the status line of an answer; empty where the connection was closed."""
    content = b""
    while b"\r\n" not in content and (part := sock.recv(4096)):
        content += part
    return content.partition(b"\r\n")[0]


def lines(sock: socket.socket, count: int, begins: bytes = b"data: ") -> list[bytes]:
    """Read so many lines of a stream that begin so."""
    found, file, deadline = [], sock.makefile("rb"), time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        line = file.readline()
        if line.startswith(begins):
            found.append(line[len(begins) :].strip())
    return found


@contextmanager
def site(clips: Path | None = None, **settings):
    one = Site(clips, **settings)
    try:
        yield one
    finally:
        one.page.close()
