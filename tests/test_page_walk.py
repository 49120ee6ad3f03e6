"""From a recording to a judged event on the page: a real device, a real broker, a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from brokers import free_port, until
from browser import chromium, page_of
from live_media import Sender, make_shows

from cloud_train.recordings import find_recordings

MATCH = Path(__file__).parents[1] / "examples" / "match.mp4"
TOKEN = "t0ken of the walk"


class Running:
    """A `touchline` process with a page, and what it logged."""

    def __init__(self, *arguments: str, token: str | None = TOKEN) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {**os.environ, **({"TOUCHLINE_WEB_TOKEN": token} if token else {})}
        command = [sys.executable, "-m", "edge", *arguments, "--web", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert until(self._listens, 30)

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def get(self, path: str) -> str:
        asked = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.read().decode()

    def events(self) -> list[dict]:
        return json.loads(self.get("/api/state"))["events"]

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=15)[1]


@pytest.fixture
def running():
    started = []

    def start(*arguments, **options):
        started.append(Running(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_an_event_is_clicked_judged_and_kept(running, broker, client, state_home):
    said = broker.listen(topic="touchline/+/feedback")
    events = broker.listen(topic="touchline/+/+/event")
    device = running("run", str(MATCH), "--mqtt", broker.url, "--quiet")
    assert until(lambda: sum(shown["event"]["type"] == "end" for shown in device.events()) >= 4, 60)
    announced = [json.loads(payload) for _, payload in events.got]
    assert all(message["media"]["clip"] == f"/api/events/{message['id']}/clip.mp4" for message in announced)
    assert get_clip(client, broker, announced[0])["media"]["pre_s"] == announced[0]["media"]["pre_s"]

    with chromium() as browser, page_of(browser, device.url, TOKEN) as page:
        page.wait_for_selector("#list button")
        page.wait_for_function("() => document.getElementById('picture').naturalWidth > 0")
        page.click("#list button:has-text('rugby')")
        page.wait_for_function("() => document.getElementById('clip').readyState >= 2")
        assert page.evaluate("document.getElementById('clip').duration") >= 5
        page.select_option("#truth", "lacrosse")
        page.click("#was button")
        page.wait_for_selector("#answer:has-text('Kept: → lacrosse')")

    (rugby,) = [shown["event"] for shown in device.events() if shown["event"]["label"] == "rugby"]
    assert until(lambda: said.got)
    assert json.loads(said.got[0][1]) == {
        "schema": "feedback/1", "id": rugby["id"], "verdict": "label", "label": "lacrosse", "by": "page",
    }  # fmt: skip
    (file,) = (state_home / "touchline").glob("feedback-*.jsonl")
    assert [json.loads(line)["label"] for line in file.read_text().splitlines()] == ["lacrosse"]
    (recording,) = find_recordings(state_home / "touchline" / "retraining")
    assert recording.label == "lacrosse"

    began = time.monotonic()
    device.end()
    assert time.monotonic() - began < 4
    again = running("run", str(MATCH), "--quiet")
    (restored,) = [shown for shown in again.events() if shown["event"]["id"] == rugby["id"]]
    assert restored["verdict"]["label"] == "lacrosse"


def get_clip(client, broker, event):
    """Ask the device over MQTT for the clip of an event."""
    topic = f"touchline/{event['node']}/rpc/get_clip"
    asker = client(broker, f"{topic}/reply/walk")
    question = {"id": "q", "reply_to": f"{topic}/reply/walk", "parameters": {"event": event["id"]}}
    asker.tell(topic, {"schema": "rpc/1", **question})
    assert until(lambda: asker.got)
    return json.loads(asker.got[0].payload)["clip"]


def test_feedback_waits_for_the_broker(running, stopped_broker, state_home):
    device = running("run", str(MATCH), "--mqtt", stopped_broker.url, "--quiet")
    assert until(device.events, 60)
    event = device.events()[0]["event"]["id"]
    asked = urllib.request.Request(
        f"{device.url}/api/events/{event}/feedback",
        data=b'{"verdict":"ack"}',
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200
    (file,) = (state_home / "touchline").glob("feedback-*.jsonl")
    assert json.loads(file.read_text())["verdict"] == "ack"
    assert 'touchline_part_level{level="error",node=' in device.get("/metrics")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        device.get("/healthz")
    said = stopped_broker.start().listen(topic="touchline/+/feedback")
    assert until(lambda: said.got, 15)
    assert until(lambda: re.search('level="ok",node="[^"]+",part="broker"} 1.0', device.get("/metrics")), 5)
    assert json.loads(device.get("/healthz"))["ok"]


def test_a_token_is_made_once_and_kept_for_its_owner(running, state_home):
    file = state_home / "touchline" / "web-token"
    first = running("run", str(MATCH), "--quiet", token=None).process.stderr.readline()
    token = file.read_text().strip()
    assert f"the token is {token}" in first
    assert file.stat().st_mode & 0o777 == 0o600
    second = running("run", str(MATCH), "--quiet", token=None).process.stderr.readline()
    assert token not in second
    assert str(file) in second


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--web", "nowhere"], "--web: address: must be HOST:PORT"),
    (["--web", "203.0.113.9:80"], "web.address: 203.0.113.9:80 cannot be used"),
], ids=["no port", "not ours"])  # fmt: skip
def test_an_address_that_cannot_be_is_refused_in_a_sentence(arguments, sentence):
    command = [sys.executable, "-m", "edge", "run", str(MATCH), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert re.fullmatch(rf"touchline: {sentence}.*\n", ran.stderr), ran.stderr


def test_every_device_of_a_broker_has_its_place_on_one_page(running, broker):
    record = Path(__file__).parents[1] / "examples" / "match.jsonl"
    page = running("web", broker.url)
    device = [sys.executable, "-m", "edge", "simulate-device", str(record), "--mqtt", broker.url, "--speed", "10"]
    subprocess.run([*device, "--node", "truck7", "--source", "cam1"], check=True, timeout=60, capture_output=True)
    state = json.loads(page.get("/api/state"))
    assert state["sources"]["truck7/cam1"]["tick"]["node"] == "truck7"
    assert state["pictures"] == []
    assert {shown["event"]["node"] for shown in state["events"]} == {"truck7"}
    assert until(lambda: json.loads(page.get("/api/state"))["sources"]["truck7/cam1"]["standing"]["level"] == "stale")
    heard = broker.listen(topic="touchline/truck7/feedback")
    event = state["events"][0]["event"]["id"]
    with chromium() as browser, page_of(browser, page.url, TOKEN) as seen:
        seen.click(f"#list button[data-id='{event}']")
        seen.click("#wrong")
        seen.wait_for_selector("#answer:has-text('Kept')")
    assert json.loads(heard.wait("touchline/truck7/feedback"))["verdict"] == "wrong"


@pytest.mark.slow
def test_a_live_source_that_is_unplugged_is_flagged_and_comes_back(running, broker, client, tmp_path):
    sender = Sender(make_shows(tmp_path), free_port())
    try:
        device = running("run", sender.url, "--mqtt", broker.url, "--quiet")
        assert until(lambda: level(device) == "ok", 30)
        assert until(lambda: any(shown["event"]["media"] for shown in device.events()), 40)
        event = next(shown["event"] for shown in device.events() if shown["event"]["media"])
        assert get_clip(client, broker, event)["start"] <= event["start"]
        for order, then, seconds in (("stop", "error", 3.5), ("go", "ok", 5.5)):  # half a second to ask
            sender.do(order)
            began = time.monotonic()
            assert until(lambda then=then: level(device) == then, 15)
            assert time.monotonic() - began < seconds
    finally:
        sender.close()


def level(device: Running) -> str:
    """The level of the only source, as the metrics say."""
    return re.search(r'source_level{level="(\w+)",[^}]*} 1\.0', device.get("/metrics"))[1]
