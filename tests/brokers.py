"""A real broker, and a stranger's client that reads it, as processes on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def until(condition, seconds=8.0):
    """Wait for a condition and return what it returned; False when the time is over."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return result


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return found or pytest.fail(f"{name} is not installed: apt-get install mosquitto mosquitto-clients")


@dataclass
class Broker:
    """A process that listens on a loopback port; it can be stopped and started again on the same one."""

    command: list[str]
    port: int
    process: subprocess.Popen | None = None
    started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> Broker:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert until(lambda: _listens(self.port), 15), self.command
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def listen(self, *options: str, topic: str = "#") -> Listener:
        """Start `mosquitto_sub -v` and wait until it is subscribed."""
        command = [program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-v", "-d"]
        # Without stdbuf its lines would wait in the pipe.
        process = subprocess.Popen(["stdbuf", "-oL", *command, *options], stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        listener = Listener(process)
        assert until(lambda: any("SUBACK" in line for line in listener.log))
        return listener

    def close(self) -> None:
        for process in self.started:
            process.terminate()
            process.wait(10)
            process.stdout.close()
        self.stop()


class Listener:
    """What a `mosquitto_sub -v` process has printed: `(topic, payload)` pairs, and its debug `log`."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.log: list[str] = []
        self.got: list[tuple[str, str]] = []
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, stream) -> None:
        with contextlib.suppress(ValueError):  # closed under us at the end
            for line in stream:
                if line.startswith(("Client ", "Subscribed ")):
                    self.log.append(line)
                else:
                    topic, _, payload = line.rstrip("\n").partition(" ")
                    self.got.append((topic, payload))

    def payloads(self, topic: str) -> list[str]:
        return [payload for name, payload in self.got if name == topic]

    def wait(self, topic: str, payload: str | None = None, seconds: float = 8.0) -> str:
        """Wait for a topic's message, any or with this payload, and return the latest."""
        found = until(lambda: [p for p in self.payloads(topic) if payload in (None, p)], seconds)
        assert found, f"no {topic} {payload or ''} among {self.got}"
        return found[-1]


def mosquitto(folder: Path, *lines: str) -> Broker:
    port = free_port()
    config = folder / "mosquitto.conf"
    # As root it would become the user mosquitto, who may not read pytest's folders.
    user = ["user root"] if os.geteuid() == 0 else []
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "persistence false", *user, *lines, ""]))
    return Broker([program("mosquitto"), "-c", str(config)], port)


AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}}
    await Broker({"listeners": listeners, "plugins": plugins}).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


def amqtt() -> Broker:
    """The broker from the registry, which speaks 3.1.1 only."""
    port = free_port()
    return Broker([sys.executable, "-c", AMQTT, str(port)], port)
