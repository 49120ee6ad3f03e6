"""A Polly on loopback: its REST protocol over http.server, its speech by espeak-ng, its errors on request."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import pytest

from edge.voice import speak

REGION = "eu-west-1"
VOICES = [
    {"Id": name, "LanguageCode": code, "LanguageName": language, "Gender": gender, "SupportedEngines": engines, **more}
    for name, code, language, gender, engines, more in (
        ("Joanna", "en-US", "US English", "Female", ["neural", "standard"], {}),
        ("Matthew", "en-US", "US English", "Male", ["generative", "neural", "standard"], {}),
        ("Vicki", "de-DE", "German", "Female", ["neural", "standard"], {}),
        ("Aditi", "en-IN", "Indian English", "Female", ["standard"], {"AdditionalLanguageCodes": ["hi-IN"]}),
    )
]


class PollyServer(ThreadingHTTPServer):
    """Counts what it is asked: `texts` of requests, `answered` those it gave speech for.

    `refusals` are answered first, each an HTTP status, an error's name and its message. `delay_seconds` is how long a
    request takes. `at_once` is the most requests it ever had in hand, `times` when each came.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.lock = Lock()
        self.texts: list[str] = []
        self.requests: list[dict] = []
        self.answered: Counter[str] = Counter()
        self.refusals: list[tuple[int, str, str]] = []
        self.lexicons = {"sports": "2026-11-01T00:00:00+00:00"}
        self.delay_seconds = 0.0
        self.in_hand = self.at_once = 0
        self.times: list[float] = []
        self.speech: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PollyServer

    def do_GET(self) -> None:
        if self.path.startswith("/v1/voices"):
            half = len(VOICES) // 2
            more = "NextToken" in self.path
            self._json({"Voices": VOICES[half:]} if more else {"Voices": VOICES[:half], "NextToken": "more"})
        elif self.path.startswith("/v1/lexicons"):
            listed = [
                {"Name": name, "Attributes": {"LanguageCode": "en-US", "LexemesCount": 3, "LastModified": stamp}}
                for name, stamp in self.server.lexicons.items()
            ]
            self._json({"Lexicons": listed})
        else:
            self._refuse(404, "ResourceNotFoundException", self.path)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.times.append(time.monotonic())
            server.texts.append(asked["Text"])
            server.requests.append({**asked, "Authorization": self.headers.get("Authorization", "")})
            server.in_hand += 1
            server.at_once = max(server.at_once, server.in_hand)
            refusal = server.refusals.pop(0) if server.refusals else _wrong(asked)
        try:
            time.sleep(server.delay_seconds)
            if refusal:
                self._refuse(*refusal)
            else:
                self._speak(asked)
        finally:
            with server.lock:
                server.in_hand -= 1

    def _speak(self, asked: dict) -> None:
        ssml = asked["TextType"] == "ssml"
        rate_hz = int(asked["SampleRate"])
        data = self.server.speech
        if data is None:
            data = speak(asked["Text"], rate_hz=rate_hz, ssml=ssml).samples.astype("<i2").tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "audio/pcm")
        billed = re.sub("<[^>]*>", "", asked["Text"]) if ssml else asked["Text"]
        self.send_header("x-amzn-RequestCharacters", str(len(billed)))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for begin in range(0, len(data), 4096):
            chunk = data[begin : begin + 4096]
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        with self.server.lock:
            self.server.answered[asked["Text"]] += 1

    def _json(self, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, error: str, message: str) -> None:
        body = json.dumps({"message": message}).encode()
        self.send_response(status)
        self.send_header("x-amzn-ErrorType", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _wrong(asked: dict) -> tuple[int, str, str] | None:
    """What Polly itself would refuse."""
    voice = next((voice for voice in VOICES if voice["Id"] == asked["VoiceId"]), None)
    if voice is None:
        where = f"Value '{asked['VoiceId']}' at 'voiceId' failed to satisfy constraint"
        return 400, "ValidationException", f"1 validation error detected: {where}: Member must satisfy enum value set"
    if asked.get("Engine", "standard") not in voice["SupportedEngines"]:
        return 400, "ValidationException", f"This voice does not support the selected engine: {asked['Engine']}"
    if len(asked["Text"]) > 6000:
        return 400, "TextLengthExceededException", "Maximum text length has been exceeded"
    return None


@contextmanager
def running() -> Iterator[PollyServer]:
    """Answer as Polly in a thread."""
    with PollyServer() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def configure(server: PollyServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send boto3 there, and what is cached into `folder`."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL_POLLY": server.url, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "XDG_CACHE_HOME": str(folder / "cache"),
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
