"""What systemd and a container's health check hear: only while seconds are judged."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import made
import pytest

from edge.supervisor import PATIENCE_SECONDS, Supervisor

MATCH = Path(__file__).parents[2] / "examples" / "match.mp4"


@pytest.fixture(params=["path", "abstract"])
def channel(request, tmp_path, monkeypatch):
    """systemd's end of the socket."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@touchline-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address.replace("@", "\0"))
        channel.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield channel


def heard(channel: socket.socket) -> list[str]:
    lines = []
    while True:
        try:
            lines += channel.recv(4096).decode().splitlines()
        except BlockingIOError:
            return lines


def test_ready_comes_with_the_first_turn_and_the_watchdog_only_while_seconds_come(channel, tmp_path, monkeypatch):
    alive = tmp_path / "alive"
    monkeypatch.setenv("TOUCHLINE_ALIVE", str(alive))
    now = 100.0
    supervisor = Supervisor(lambda: now)
    assert heard(channel) == []
    supervisor.beat()
    assert heard(channel) == ["READY=1", "WATCHDOG=1"]
    assert alive.exists()
    now += 0.25
    supervisor.beat()
    assert heard(channel) == []
    now += PATIENCE_SECONDS - 1
    supervisor(made.tick(1, 7.0))
    assert heard(channel)[0] == "WATCHDOG=1"
    now += PATIENCE_SECONDS - 1
    supervisor.beat()
    assert heard(channel) == ["WATCHDOG=1"]
    alive.unlink()
    for _ in range(200):
        now += 1
        supervisor.beat()
        supervisor(made.event_message(1, "update"))
    assert heard(channel) == []
    assert not alive.exists()
    supervisor.close()
    assert heard(channel) == ["STOPPING=1"]


def test_nobody_listening_harms_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    monkeypatch.setenv("TOUCHLINE_ALIVE", str(tmp_path / "no" / "folder"))
    supervisor = Supervisor()
    supervisor(made.tick(1, 0.0))
    supervisor.close()


@pytest.mark.parametrize("channel", ["path"], indirect=True)
def test_a_run_says_ready_once_feeds_each_second_and_says_that_it_stops(channel):
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "run", str(MATCH), "--quiet", "--pace", "realtime"], stderr=subprocess.PIPE
    )
    channel.settimeout(30)
    lines = [line for _ in range(4) for line in channel.recv(4096).decode().splitlines()]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    channel.settimeout(0)
    lines += heard(channel)
    assert lines[0] == "READY=1"
    assert lines.count("READY=1") == 1
    assert lines.count("WATCHDOG=1") >= 4
    assert "STATUS=match: tennis at 2 s" in lines
    assert lines[-1] == "STOPPING=1"
