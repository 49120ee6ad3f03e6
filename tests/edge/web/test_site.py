"""The page over real HTTP: what it gives, to whom, and what it survives."""

import json
import socket
import threading
import time
from dataclasses import replace

import made
import pages
import pytest
from brokers import until
from pages import BEARER, TOKEN, head, lines
from prometheus_client.parser import text_string_to_metric_families

from edge.config import Web
from edge.web import serve
from edge.web.access import TRIES
from edge.web.board import WAITING
from edge.web.serve import CONNECTIONS

OPINION = {**BEARER, "Content_Type": "application/json"}
WITH_TOKEN = ["/", "/page.js", "/state.js", "/style.css", "/icon.svg", "/api/state", "/stream", "/metrics", "/nothing",
              "/api/sources/truck1/cam2/picture.jpg", "/api/events/x/clip.mp4"]  # fmt: skip


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "clips"
    with pages.site(folder, streams=3) as one:
        yield one


def settled(site) -> None:
    """Wait until what was handed over has been taken."""
    done = threading.Event()
    site.page.later(done.set)
    assert done.wait(5)


class TestToken:
    @pytest.mark.parametrize("path", WITH_TOKEN)
    def test_is_asked_for(self, site, path):
        status, headers, content = site.get(path)
        assert status == 401
        assert headers["www-authenticate"] == "Bearer"
        assert TOKEN.encode() not in content

    @pytest.mark.parametrize("value", ["Bearer wrong", "Bearer", "Basic YTpi", TOKEN, "Bearer \xe4"])
    def test_that_is_wrong_is_refused(self, site, value):
        assert site.get("/api/state", Authorization=value)[0] == 401

    def test_is_not_asked_for_health(self, site):
        assert site.get("/healthz")[0] == 200

    def test_form_comes_where_a_browser_asks(self, site):
        status, headers, content = site.get("/", Accept="text/html,*/*")
        assert (status, b"<form" in content) == (401, True)
        assert "script-src 'none'" in headers["content-security-policy"]

    def test_opens_everything_with_a_cookie(self, site):
        status, headers, _ = site.get("/login", "POST", f"token={TOKEN}".replace(" ", "+").encode())
        cookie = headers["set-cookie"]
        assert (status, headers["location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        session = cookie.partition(";")[0]
        assert site.get("/api/state", Cookie=session)[0] == 200
        assert site.get("/api/state", Cookie=f"{session}x")[0] == 401

    def test_that_is_wrong_in_the_form_is_said(self, site):
        status, _, content = site.get("/login", "POST", b"token=nonsense")
        assert (status, b"That is not the token." in content) == (401, True)

    @pytest.mark.parametrize("how", ["form", "bearer"])
    def test_cannot_be_guessed_fast(self, site, how):
        def guess():
            return site.get("/login", "POST", b"token=x") if how == "form" else site.get("/", Authorization="Bearer x")

        for _ in range(TRIES):
            assert guess()[0] == 401
        status, headers, _ = guess()
        assert (status, int(headers["retry-after"]) > 0) == (429, True)
        assert site.get("/login", "POST", f"token={TOKEN}".encode())[0] == 429

    def test_of_a_browser_does_not_serve_another_site(self, site):
        _, headers, _ = site.get("/login", "POST", f"token={TOKEN}".replace(" ", "+").encode())
        session = {"Cookie": headers["set-cookie"].partition(";")[0]}
        assert site.get("/logout", "POST", b"", Origin="http://evil.example", **session)[0] == 403
        assert site.get("/logout", "POST", b"", Origin=f"http://127.0.0.1:{site.port}", **session)[0] == 303


class TestBadInput:
    @pytest.mark.parametrize("path", [
        "/../../../../etc/passwd", "/page.js/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2fetc%2fpasswd",
        "/api/events/..%2f..%2f..%2fetc/clip.mp4", "/api/events/%2e%2e/clip.mp4", "/api/events/../clip.mp4",
        "/api/events/x%00/clip.mp4", "/api/sources/../../picture.jpg", "/static/page.js", "//etc/passwd",
    ])  # fmt: skip
    def test_leads_to_no_file(self, site, tmp_path, path):
        (tmp_path / "clip.mp4").write_bytes(b"root:x")
        status, _, content = site.get(path, **BEARER)
        assert (status, b"root:" in content) == (404, False)

    @pytest.mark.parametrize(("method", "path"), [
        ("POST", "/"), ("DELETE", "/api/state"), ("PUT", "/metrics"), ("POST", "/stream"), ("POST", "/healthz"),
        ("GET", "/logout"), ("GET", "/api/events/x/feedback"), ("PATCH", "/login"),
    ])  # fmt: skip
    def test_method_is_refused(self, site, method, path):
        assert site.get(path, method, b"" if method != "GET" else None, **BEARER)[0] == 405

    @pytest.mark.parametrize(
        "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"]
    )
    def test_that_is_no_http_is_answered_and_closed(self, site, sent):
        with socket.create_connection(("127.0.0.1", site.port), timeout=5) as sock:
            sock.sendall(sent)
            assert head(sock).startswith(b"HTTP/1.1 400")

    def test_head_of_a_request_is_bounded(self, site):
        with socket.create_connection(("127.0.0.1", site.port), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000)
            assert head(sock)[9:12] in (b"400", b"431")

    @pytest.mark.parametrize(("body", "status", "names"), [
        (b"{", 422, "truncated"), (b'{"verdict":"maybe"}', 422, "verdict"), (b'{"verdict":"label"}', 422, "label"),
        (b'{"verdict":"ack","label":"golf"}', 422, "label"),
        (b'{"verdict":"label","label":"chess"}', 422, "tennis, badminton"),
        (b'"\xff"', 422, "object"), (b'{"verdict":"\xff"}', 422, "utf-8"), (b"x" * 20_000, 413, "16384 bytes"),
    ])  # fmt: skip
    def test_as_feedback_is_explained(self, site, body, status, names):
        site.page(made.event_message())
        settled(site)
        answered, _, content = site.get("/api/events/b7f2-000001/feedback", "POST", body, **OPINION)
        assert (answered, names in json.loads(content)["error"].lower()) == (status, True), content
        assert site.said == []

    def test_as_feedback_of_another_type_is_refused(self, site):
        site.page(made.event_message())
        settled(site)
        form = {**BEARER, "Content_Type": "application/x-www-form-urlencoded"}
        assert site.get("/api/events/b7f2-000001/feedback", "POST", b'{"verdict":"ack"}', **form)[0] == 415
        assert site.get("/api/events/none/feedback", "POST", b"{}", **OPINION)[0] == 404

    def test_answers_all_forbid_the_same(self, site):
        for path in ("/", "/nothing", "/healthz", "/login"):
            headers = site.get(path, **BEARER)[1]
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers


class TestStream:
    def test_gives_one_line_a_second_for_a_source(self, site):
        with site.stream() as sock:
            assert until(lambda: len(site.page.board.watchers) == 1)
            for seq in (1, 2, 3):
                site.page(made.tick(seq, seq - 1.0))
                time.sleep(0.25)
            found = [json.loads(line) for line in lines(sock, 4)]
        assert [message["tick"]["seq"] for message in found if message["tick"]] == [1, 2, 3]
        assert {message["source"] for message in found} == {pages.NAME}

    def test_shows_a_fault_within_three_seconds(self, site):
        with site.stream() as sock:
            began = time.monotonic()
            site.media.now = replace(site.media.now, level="error", state="stalled", message="nothing for 2 s")
            while json.loads(lines(sock, 1)[0])["standing"]["state"] != "stalled":
                assert time.monotonic() < began + 3
        assert site.get("/healthz")[0] == 503
        assert json.loads(site.get("/healthz")[2])["reasons"] == ["truck1/cam2: stalled"]
        assert (
            'touchline_source_level{level="error",node="truck1",source="cam2"} 1.0'
            in site.get("/metrics", **BEARER)[2].decode()
        )

    def test_beyond_the_limit_is_told_when_to_come_again(self, site):
        open_ones = [site.stream() for _ in range(3)]
        assert until(lambda: len(site.page.board.watchers) == 3)
        status, headers, _ = site.get("/stream", **BEARER)
        assert (status, headers["retry-after"]) == (503, "5")
        for sock in open_ones:
            sock.close()
        assert until(lambda: not site.page.board.watchers)

    def test_ends_with_the_page(self, site):
        with site.stream() as sock:
            assert until(lambda: site.page.board.watchers)
            began = time.monotonic()
            site.page.close()
            while sock.recv(4096):
                pass
            assert time.monotonic() - began < 2

    def test_of_a_thousand_never_holds_up_who_judges(self, site):
        sockets = [site.stream() for _ in range(1000)]
        longest = 0.0
        for seq in range(1, 101):
            began = time.monotonic()
            site.page(made.tick(seq, float(seq)))
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.01)
        assert longest < 0.25
        settled(site)
        assert len(site.page.board.watchers) <= 3
        assert until(lambda: len(site.page._server.server_state.connections) <= CONNECTIONS)
        for sock in sockets:
            sock.close()
        assert until(lambda: site.get("/healthz")[0] == 200)

    def test_to_who_does_not_read_is_bounded(self, site):
        with site.stream() as sock:
            assert until(lambda: site.page.board.watchers)
            wide = replace(made.tick(), faults=("x" * 50_000,))
            for seq in range(300):
                site.page(replace(wide, seq=seq))
            assert until(lambda: site.page.board.dropped > 100, 20)
            assert len(next(iter(site.page.board.watchers))._waiting) <= WAITING
            while sock.recv(1 << 20).count(b"event: dropped") == 0:
                pass  # what the kernel had buffered comes first


class TestSlowClients:
    def test_that_never_finish_a_request_are_let_go(self, monkeypatch):
        monkeypatch.setattr(serve, "REQUEST_SECONDS", 0.3)
        with pages.site() as site, socket.create_connection(("127.0.0.1", site.port), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:")
            assert head(sock) == b""

    def test_that_never_finish_a_body_are_told(self, monkeypatch):
        monkeypatch.setattr("edge.web.app.BODY_SECONDS", 0.3)
        with pages.site() as site, socket.create_connection(("127.0.0.1", site.port), timeout=5) as sock:
            sock.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken=")
            assert head(sock).startswith(b"HTTP/1.1 408")

    def test_do_not_hold_a_stream_open_while_another_works(self, monkeypatch):
        monkeypatch.setattr(serve, "REQUEST_SECONDS", 0.2)
        with pages.site() as site, site.stream() as sock:
            time.sleep(1)
            assert len(site.page.board.watchers) == 1
            assert lines(sock, 1)


class TestMetrics:
    def test_are_prometheus_and_count(self, site):
        for seq in (1, 2):
            site.page(
                replace(made.tick(seq), latency_ms={"clip_to_decision": 20.0, "end_to_decision": 1500.0 * (seq - 1)})
            )
        site.page(made.event_message())
        settled(site)
        families = list(text_string_to_metric_families(site.get("/metrics", **BEARER)[2].decode()))
        found = {sample.name: sample.value for family in families for sample in family.samples}
        assert found["touchline_seconds_total"] == 2
        assert found["touchline_late_seconds_total"] == 1
        assert found["touchline_events_total"] == 1
        assert found["touchline_decision_latency_seconds_count"] == 2
        assert found["touchline_source_frames_per_second"] == 25.0


class TestMedia:
    def test_picture_is_that_of_the_source(self, site):
        status, headers, content = site.get("/api/sources/truck1/cam2/picture.jpg", **BEARER)
        assert (status, headers["content-type"], content) == (200, "image/jpeg", pages.JPEG)
        assert headers["x-media-time"] == "1.500"

    def test_clip_is_given_in_parts(self, site, tmp_path):
        folder = tmp_path / "clips" / "b7f2-000001"
        folder.mkdir(parents=True)
        (folder / "clip.mp4").write_bytes(bytes(range(100)))
        status, headers, content = site.get("/api/events/b7f2-000001/clip.mp4", Range="bytes=10-19", **BEARER)
        assert (status, content) == (206, bytes(range(10, 20)))
        assert headers["content-type"] == "video/mp4"


class TestFeedback:
    def test_is_handed_on_and_shown(self, site):
        site.page(made.event_message())
        settled(site)
        body = b'{"verdict":"label","label":"golf"}'
        status, _, content = site.get("/api/events/b7f2-000001/feedback", "POST", body, **OPINION)
        assert (status, json.loads(content)["verdict"]["label"]) == (200, "golf")
        assert site.said[0][0].label == "golf"
        assert site.state()["events"][0]["verdict"]["verdict"] == "label"

    def test_that_cannot_be_kept_says_why(self, site):
        site.failure = OSError(28, "No space left on device")
        site.page(made.event_message())
        settled(site)
        status, _, content = site.get("/api/events/b7f2-000001/feedback", "POST", b'{"verdict":"ack"}', **OPINION)
        assert (status, "no space left" in json.loads(content)["error"]) == (507, True)
        assert site.state()["events"][0]["verdict"] is None


class TestAddress:
    @pytest.mark.parametrize("address", ["8080", "127.0.0.1:8080", "[::1]:8080", ":8080", "truck.local:0"])
    def test_that_can_be_is_taken(self, address):
        assert Web(address=address).place

    @pytest.mark.parametrize("address", ["host", "host:", "host:x", "1:2:3", "host:70000", "-1"])
    def test_that_cannot_be_is_refused(self, address):
        with pytest.raises(ValueError, match="HOST:PORT"):
            Web(address=address)
