"""The box as a process: health and seconds over MQTT, several sources, a quick stop, a restart after kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import groupby

import pytest
from brokers import until
from live_media import Sender

from edge.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture
def touchline(tmp_path, closing):
    """Start `touchline run` on sources."""

    class Run:
        def __init__(self, *arguments):
            command = [sys.executable, "-m", "edge", "run", *arguments, "--quiet"]
            self.log = tmp_path / "run.log"
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(command, stderr=log)

        def end(self, sign=signal.SIGTERM):
            began = time.monotonic()
            self.process.send_signal(sign)
            self.process.wait(20)
            return time.monotonic() - began

        def close(self):
            self.process.kill()
            self.process.wait()

    return lambda *arguments: closing(Run(*arguments))


def of(client, levels):
    return [json.loads(message.payload) for message in list(client.got) if message.topic.endswith(levels)]


def test_a_live_source_is_judged_told_of_and_stopped_within_two_seconds(touchline, sender, broker, client, tmp_path):
    listener = client(broker, "touchline/#")
    box = touchline(sender.url, "--mqtt", broker.url, "--jsonl", str(tmp_path / "all.jsonl"))
    assert until(lambda: len(of(listener, "/tick")) >= 4, 40), box.log.read_text()
    ticks = of(listener, "/tick")
    assert {tick["mode"] for tick in ticks} == {"full"}
    assert all(0 < tick["latency_ms"]["end_to_decision"] < 3000 for tick in ticks)
    assert ticks[-1]["av_uncertainty_ms"] is not None
    assert abs(ticks[-1]["start_ns"] / 1e9 + 1 - time.time()) < 3
    assert until(lambda: of(listener, "/health/source")[-1]["state"] == "online", 5)
    sender.do("show black")
    assert until(lambda: of(listener, "/health/source")[-1]["state"] == "black", 4)
    assert of(listener, "/health/source")[-1]["level"] == "warn"
    assert until(lambda: "picture is black" in of(listener, "/tick")[-1]["faults"], 4)
    assert set(of(listener, "/tick")[-1]["fusion"]["votes"]) == {"audio"}
    assert box.end() < 2
    assert box.process.returncode == 128 + signal.SIGTERM
    assert until(lambda: [m.payload for m in listener.got if m.topic.endswith("/status")][-1] == b"stopped", 5)
    events = [
        line
        for line in map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines())
        if line["schema"] == "event/1"
    ]
    for _, life in groupby(sorted(events, key=lambda event: event["id"]), key=lambda event: event["id"]):
        assert next(reversed(list(life)))["type"] == "end"


def test_a_killed_box_judges_again_within_eight_seconds(touchline, sender, broker, client):
    listener = client(broker, "touchline/#")
    box = touchline(sender.url, "--mqtt", broker.url)
    assert until(lambda: of(listener, "/tick"), 40), box.log.read_text()
    box.end(signal.SIGKILL)
    boots = {tick["boot"] for tick in of(listener, "/tick")}
    began = time.monotonic()
    touchline(sender.url, "--mqtt", broker.url)
    assert until(lambda: {tick["boot"] for tick in of(listener, "/tick")} - boots, 30)
    assert time.monotonic() - began < 8


def test_two_sources_share_one_process_and_one_node(  # noqa: PLR0917 - fixtures
    touchline, sender, shows, broker, client, closing, tmp_path
):
    other = closing(Sender(shows, int(sender.url.rpartition(":")[2]) + 1))
    config = tmp_path / "box.toml"
    config.write_text(
        f'[mqtt]\nnode = "truck"\nurl = "{broker.url}"\n'
        f'[[sources]]\nname = "left"\nurl = "{sender.url}"\n[[sources]]\nname = "right"\nurl = "{other.url}"\n'
    )
    listener = client(broker, "touchline/#")
    box = touchline("--config", str(config))
    assert until(lambda: of(listener, "/left/tick") and of(listener, "/right/tick"), 40), box.log.read_text()
    assert of(listener, "truck/info")[-1]["sources"] == ["left", "right"]
    other.do("stop")
    assert until(lambda: of(listener, "/health/source-right")[-1]["state"] in ("stalled", "offline"), 5)
    assert until(lambda: of(listener, "/health/source-left")[-1]["state"] == "online", 5)
    assert len({tick["boot"] for tick in of(listener, "/tick")}) == 2, "seq counts by source"
    seen = len(of(listener, "/left/tick"))
    assert until(lambda: len(of(listener, "/left/tick")) > seen + 1, 10)
    assert box.end() < 2


def test_two_sources_of_one_name_or_a_recording_among_them_are_refused(capsys, tmp_path):
    twice = tmp_path / "twice.toml"
    twice.write_text(
        '[[sources]]\nname = "cam"\nurl = "udp://127.0.0.1:5000"\n[[sources]]\nname = "cam"\nurl = "udp://127.0.0.1:5001"\n'
    )
    assert main(["run", "--config", str(twice)]) == 2
    assert "two sources are named 'cam'" in capsys.readouterr().err
    assert main(["run", "udp://127.0.0.1:5000", "match.mp4"]) == 2
    assert "match.mp4: is not live" in capsys.readouterr().err
    assert main(["run", "udp://127.0.0.1"]) == 2
    assert "udp://127.0.0.1: names no port" in capsys.readouterr().err
