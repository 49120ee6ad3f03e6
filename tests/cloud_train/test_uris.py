"""Recordings from elsewhere: fetched whole, gone on with after an interruption, removed once read."""

from __future__ import annotations

import errno
import hashlib
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clouds import empty_account, running_moto

from cloud_train import bodies, uris
from cloud_train.uris import fetched, local_file
from edge.sources import SourceError

BODY = bytes(range(256)) * 4096
HALF = len(BODY) // 2
READ = """
import sys, time, hashlib
from pathlib import Path
from cloud_train.uris import fetched
with fetched(sys.argv[1], Path(sys.argv[2])) as file:
    print("here", flush=True)
    for _ in range(5):
        time.sleep(0.1)
        print(hashlib.sha256(file.read_bytes()).hexdigest())
"""


class Web:
    """A server on loopback that does what its `plan` says, request by request; `asked` holds the Range headers."""

    def __init__(self) -> None:
        web = self
        self.plan: list[str] = []
        self.asked: list[str | None] = []
        self.version = '"one"'
        self.modified = formatdate(0, usegmt=True)
        self.go_on = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
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
        fresh = request.headers.get("If-Range") in (self.version, self.modified) and do != "no ranges"
        start = int(span[6:-1]) if span and fresh else 0
        if start >= len(BODY):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Type", "text/html" if do == "page" else "video/mp4")
        request.send_header("ETag", self.version)
        request.send_header("Last-Modified", self.modified)
        request.send_header("Content-Length", str(len(BODY) - start))
        if start and do != "no place":
            request.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        request.end_headers()
        body = BODY[start:]
        request.wfile.write(body[: len(body) // 2] if do in ("cut", "wait") else body)
        if do == "wait":
            self.go_on.wait(20)
        request.close_connection = request.close_connection or do in ("cut", "wait")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(uris, "FIRST_WAIT_SECONDS", 0.01)
    made = Web()
    yield made
    made.go_on.set()
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def reader(url: str, cache: Path) -> subprocess.Popen[str]:
    """Another process that fetches and reads a recording five times, and prints the hashes."""
    return subprocess.Popen([sys.executable, "-c", READ, url, str(cache)], stdout=subprocess.PIPE, text=True)


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


def test_a_file_elsewhere_is_removed_where_reading_it_fails(web: Web, tmp_path: Path):
    with pytest.raises(ZeroDivisionError), fetched(web.url, tmp_path) as file:
        assert file.stat().st_size / 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_fetched_once_and_stays(web: Web, tmp_path: Path):
    first = local_file(web.url, tmp_path)
    assert local_file(web.url, tmp_path) == first
    with fetched(web.url, tmp_path) as file:
        assert file == first
    assert len(web.asked) == 1
    assert list(tmp_path.iterdir()) == [first]
    assert first.read_bytes() == BODY


@pytest.mark.parametrize(
    "plan",
    [["cut", "whole"], ["cut", "cut", "503", "cut"], ["429"], ["cut", "no ranges"], ["cut", "no place"], ["cut"] * 9],
)
def test_a_connection_that_breaks_is_gone_on_with(web: Web, tmp_path: Path, plan: list[str]):
    web.plan = plan.copy()
    with fetched(web.url, tmp_path) as file:
        assert file.read_bytes() == BODY
    if plan[0] == "cut":
        assert web.asked[1] == f"bytes={HALF}-"


@pytest.mark.parametrize("version", ['W/"weak"', ""])
def test_without_a_strong_version_the_date_tells_whether_the_file_is_the_same(web: Web, tmp_path: Path, version: str):
    web.version, web.plan = version, ["cut"]
    with fetched(web.url, tmp_path) as file:
        assert file.read_bytes() == BODY
    assert web.asked == [None, f"bytes={HALF}-"]


def test_without_any_version_a_download_begins_anew_and_ends_where_it_gets_no_further(web: Web, tmp_path: Path):
    web.version = web.modified = ""
    web.plan = ["cut"]
    with fetched(web.url, tmp_path) as file:
        assert file.read_bytes() == BODY
    web.plan = ["cut"] * 20
    with pytest.raises(SourceError, match=rf"not fetched in 5 attempts; the last: {HALF} of {len(BODY)} bytes came"):
        local_file(web.url, tmp_path)
    assert set(web.asked) == {None}


def test_what_a_killed_process_left_is_gone_on_with_unless_the_file_has_changed(web: Web, tmp_path: Path):
    for version in ('"one"', '"two"'):
        web.plan = ["wait"]
        process = reader(web.url, tmp_path)
        while not any(file.stat().st_size == HALF for file in tmp_path.glob("*.part")):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.communicate()
        web.version = version
        with fetched(web.url, tmp_path) as file:
            assert file.read_bytes() == BODY
        assert web.asked[-1] == f"bytes={HALF}-"
        assert list(tmp_path.iterdir()) == []


def test_a_download_that_was_whole_but_for_its_name_is_fetched_anew(web: Web, tmp_path: Path):
    name = local_file(web.url, tmp_path).name
    (tmp_path / name).rename(tmp_path / f"{name}.part")
    (tmp_path / f"{name}.tag").write_text(web.version)
    assert local_file(web.url, tmp_path).read_bytes() == BODY


def test_processes_that_read_the_same_recording_share_one_download(web: Web, tmp_path: Path):
    web.plan = ["wait"]
    readers = [reader(web.url, tmp_path) for _ in range(3)]
    while not any(file.stat().st_size == HALF for file in tmp_path.glob("*.part")):
        time.sleep(0.02)
    time.sleep(0.5)
    web.go_on.set()
    outputs = [process.communicate()[0].split() for process in readers]
    assert [process.returncode for process in readers] == [0, 0, 0]
    whole = hashlib.sha256(BODY).hexdigest()
    assert outputs == [["here", *[whole] * 5]] * 3
    assert list(tmp_path.iterdir()) == []
    assert web.asked[:2] == [None, f"bytes={HALF}-"]


def test_a_file_that_is_read_elsewhere_is_removed_when_that_has_ended(web: Web, tmp_path: Path):
    with fetched(web.url, tmp_path):
        process = reader(web.url, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    assert list(tmp_path.iterdir()) == []
    output, _ = process.communicate()
    assert set(output.split()) == {hashlib.sha256(BODY).hexdigest()}
    assert len(web.asked) == 1


def test_a_disk_that_refuses_is_no_fault_of_the_recording(web: Web, tmp_path: Path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, limits[1]))
    try:
        with pytest.raises(OSError, match=r"\.part") as failure:
            local_file(web.url, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failure.value.errno == errno.EFBIG
    assert len(web.asked) == 1


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
    assert [file.suffix for file in tmp_path.iterdir() if file.stat().st_size] == []


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("https://www.youtube.com/watch?v=UDqivjS-lpI", "Touchline does not download from video sites; give a file"),
        ("http://youtu.be/UDqivjS-lpI", "Touchline does not download from video sites"),
        ("http://[host/a.mp4", "is no address"),
        ("http:///a.mp4", "is no address"),
        ("http://127.0.0.1:port/a.mp4", "is no address"),
    ],
)
def test_what_is_no_address_of_a_file_is_refused_at_once(tmp_path: Path, uri: str, sentence: str):
    with pytest.raises(SourceError) as failure:
        local_file(uri, tmp_path)
    assert str(failure.value).startswith(uri)
    assert sentence in str(failure.value)
    assert "attempts" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_what_signs_an_address_is_not_told(web: Web, tmp_path: Path):
    web.plan = ["403"]
    with pytest.raises(SourceError) as failure:
        local_file(f"{web.url}?signature=s3cret", tmp_path)
    assert str(failure.value).startswith(f"{web.url}: the server says 403")


def test_an_address_may_hold_any_letter(web: Web, tmp_path: Path):
    assert local_file(web.url.replace("match", "kyūdō final"), tmp_path).read_bytes() == BODY


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uris, "FIRST_WAIT_SECONDS", 0.01)
    with (
        pytest.raises(SourceError, match=r"not fetched in 5 attempts; the last: .*refused"),
        fetched("http://127.0.0.1:9/a.mp4", tmp_path),
    ):
        pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """The client of an account on loopback whose bucket `recordings` holds b.mp4."""
    monkeypatch.setattr(uris, "FIRST_WAIT_SECONDS", 0.01)
    bodies.s3_client.cache_clear()
    with running_moto() as endpoint:
        client = empty_account(endpoint, monkeypatch, tmp_path).s3
        client.put_object(Bucket="recordings", Key="b.mp4", Body=BODY)
        yield client
    bodies.s3_client.cache_clear()


def test_s3_is_read_by_boto3_and_its_refusals_are_sentences(s3, tmp_path: Path):
    s3.put_object(Bucket="recordings", Key="odd #1?/ä.mp4", Body=b"odd")
    with fetched("s3://recordings/b.mp4", tmp_path / "cache") as file:
        assert file.read_bytes() == BODY
    with fetched("s3://recordings/odd #1?/ä.mp4", tmp_path / "cache") as file:
        assert file.read_bytes() == b"odd"
    for uri in ("s3://recordings/none.mp4", "s3://nowhere/a.mp4"):
        with pytest.raises(SourceError, match=rf"^{uri}: S3 says 404"), fetched(uri, tmp_path / "cache"):
            pass
    for uri in ("s3://recordings", "s3:///a.mp4", "s3://a b/a.mp4"):
        with pytest.raises(SourceError, match=rf"^{uri}: names no object; an address is s3://BUCKET/KEY"):
            local_file(uri, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("same", [True, False])
def test_a_download_from_s3_is_gone_on_with_unless_the_object_has_changed(s3, tmp_path: Path, same: bool):
    file = local_file("s3://recordings/b.mp4", tmp_path)
    file.rename(f"{file}.part")
    Path(f"{file}.part").write_bytes(bytes(HALF))  # other bytes show what was taken from here
    tag = s3.head_object(Bucket="recordings", Key="b.mp4")["ETag"]
    Path(f"{file}.tag").write_text(tag if same else '"another"')
    assert (
        local_file("s3://recordings/b.mp4", tmp_path).read_bytes()
        == (bytes(HALF) if same else BODY[:HALF]) + BODY[HALF:]
    )


@pytest.mark.usefixtures("s3")
def test_s3_without_credentials_or_without_a_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        SourceError, match=r"^s3://recordings/b.mp4: not fetched in 5 attempts; the last: Could not connect"
    ):
        local_file("s3://recordings/b.mp4", tmp_path / "cache")
    bodies.s3_client.cache_clear()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SourceError, match=r"^s3://recordings/b.mp4: no AWS credentials; set AWS_PROFILE, or"):
        local_file("s3://recordings/b.mp4", tmp_path / "cache")
