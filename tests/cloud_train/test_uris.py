"""Recordings from elsewhere: fetched whole, gone on with after an interruption, removed once read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clouds import empty_account, running_moto

from cloud_train import uris
from cloud_train.uris import fetched
from edge.sources import SourceError

BODY = bytes(range(256)) * 4096


class Web:
    """A server on loopback that does what its `plan` says, request by request; `asked` holds the Range headers."""

    def __init__(self) -> None:
        web = self
        self.plan: list[str] = []
        self.asked: list[str | None] = []
        self.version = '"one"'

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/match.mp4"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        do = self.plan.pop(0) if self.plan else "whole"
        span = request.headers.get("Range")
        self.asked.append(span)
        if do.isdecimal():
            request.send_error(int(do))
            return
        fresh = request.headers.get("If-Range") == self.version and do != "no ranges"
        start = int(span[6:-1]) if span and fresh else 0
        request.send_response(206 if start else 200)
        request.send_header("Content-Type", "text/html" if do == "page" else "video/mp4")
        request.send_header("ETag", self.version)
        request.send_header("Content-Length", str(len(BODY) - start))
        request.end_headers()
        body = BODY[start:]
        request.wfile.write(body[: len(body) // 2] if do == "cut" else body)
        if do == "cut":
            request.close_connection = True


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(uris, "FIRST_WAIT_SECONDS", 0.01)
    made = Web()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def test_a_file_here_is_taken_as_it_is_and_stays(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    with fetched(str(tmp_path / "a.mp4"), tmp_path / "cache") as file:
        assert file == tmp_path / "a.mp4"
    assert file.is_file()
    assert not (tmp_path / "cache").exists()


def test_a_file_elsewhere_is_there_while_it_is_read_and_gone_afterwards(web: Web, tmp_path: Path):
    with fetched(web.url, tmp_path) as file:
        assert file.read_bytes() == BODY
        assert file.suffix == ".mp4"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plan", [["cut", "whole"], ["cut", "cut", "503", "cut"], ["429"], ["cut", "no ranges"]])
def test_a_connection_that_breaks_is_gone_on_with(web: Web, tmp_path: Path, plan: list[str]):
    web.plan = plan.copy()
    with fetched(web.url, tmp_path) as file:
        assert file.read_bytes() == BODY
    if plan[0] == "cut":
        assert web.asked[1] == f"bytes={len(BODY) // 2}-"


def test_what_a_killed_process_left_is_gone_on_with_unless_the_file_has_changed(web: Web, tmp_path: Path):
    for version in ('"one"', '"two"'):
        web.plan = ["cut", "404"]
        with pytest.raises(SourceError), fetched(web.url, tmp_path):
            pass
        assert [file.suffix for file in tmp_path.iterdir() if file.stat().st_size > 99] == [".part"]
        web.version = version
        with fetched(web.url, tmp_path) as file:
            assert file.read_bytes() == BODY
        assert web.asked[-1] == f"bytes={len(BODY) // 2}-"


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (["404"], "the server says 404"),
        (["403"], "the server says 403"),
        (["page"], "is a web page, not a recording; give the address of a media file, or a file"),
        (["503"] * 5, "not fetched in 5 attempts; the last: the server says 503"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(web: Web, tmp_path: Path, plan: list[str], sentence: str):
    web.plan = plan
    with pytest.raises(SourceError) as failure, fetched(web.url, tmp_path):
        pass
    assert str(failure.value).startswith(web.url)
    assert sentence in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uris, "FIRST_WAIT_SECONDS", 0.01)
    with (
        pytest.raises(SourceError, match=r"not fetched in 5 attempts; the last: .*refused"),
        fetched("http://127.0.0.1:9/a.mp4", tmp_path),
    ):
        pass


def test_s3_is_read_by_boto3_and_its_refusals_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uris.s3_client.cache_clear()
    with running_moto() as endpoint:
        empty_account(endpoint, monkeypatch, tmp_path).s3.put_object(Bucket="recordings", Key="b.mp4", Body=BODY)
        with fetched("s3://recordings/b.mp4", tmp_path / "cache") as file:
            assert file.read_bytes() == BODY
        for uri in ("s3://recordings/none.mp4", "s3://nowhere/a.mp4"):
            with pytest.raises(SourceError, match=rf"^{uri}: S3 says 404"), fetched(uri, tmp_path / "cache"):
                pass
    uris.s3_client.cache_clear()
