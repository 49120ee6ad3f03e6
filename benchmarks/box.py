"""The box on a bench: a real Mosquitto, senders in real time, `touchline run` as a process, and who listens to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

HERE = Path(__file__).parent
MATCH = HERE.parent / "examples" / "match.mp4"
NODE, TOKEN = "box", "a token for the bench"


@dataclass
class Heard:
    """A message with the time at which it came, on the wall clock and on the steady one."""

    topic: str
    payload: Any
    wall: float
    steady: float


@dataclass
class Box:
    """Everything in `folder`; `close` ends it all."""

    folder: Path
    heard: list[Heard] = field(default_factory=list)
    by_topic: defaultdict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list))
    _processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = free_port()
        conf = self.folder / "mosquitto.conf"
        conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert mosquitto, "mosquitto is not installed: apt-get install mosquitto"
        self.start([mosquitto, "-c", str(conf)], stderr=subprocess.DEVNULL)
        wait(lambda: _listens(self.port), 15)
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", self.port)
        self._client.subscribe("#")
        self._client.loop_start()

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401 - of Popen
        """Start a process that is ended with the box."""
        self._processes.append(subprocess.Popen(command, **options))
        return self._processes[-1]

    def sender(self, shows: Path) -> tuple[subprocess.Popen[str], str]:
        """Start a sender; give it, to be told of faults, and its address."""
        port = free_port()
        command = [sys.executable, str(HERE / "broadcast.py"), str(shows), str(port)]
        return self.start(command, stdin=subprocess.PIPE, text=True), f"udp://127.0.0.1:{port}"

    def run(self, *urls: str, bundle: str = "", web: int = 0, cores: int = 0) -> subprocess.Popen[Any]:
        """Start `touchline run` on live sources, with a page on port `web` if any, on `cores` if not on all."""
        command = [sys.executable, "-m", "edge", "run", *urls, "--quiet", "--mqtt", f"mqtt://127.0.0.1:{self.port}"]
        config = self.folder / "box.toml"
        config.write_text(f'[mqtt]\nnode = "{NODE}"\n')
        options = ["--config", str(config), *(["--bundle", bundle] if bundle else [])]
        options += ["--web", str(web)] if web else []
        pinned = ["taskset", "-c", f"0-{cores - 1}"] if cores else []
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder), "TOUCHLINE_WEB_TOKEN": TOKEN}
        with (self.folder / "run.log").open("ab") as log:
            return self.start([*pinned, *command, *options], env=environment, stderr=log)

    def of(self, kind: str) -> list[Heard]:
        """What came on topics that end so."""
        return [message for message in list(self.heard) if message.topic.endswith(kind)]

    def state(self, component: str = "source") -> str:
        """The newest state of a component."""
        found = self.of(f"/health/{component}")
        return str(found[-1].payload["state"] or found[-1].payload["level"]) if found else ""

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: object, _data: object, message: Any) -> None:  # noqa: ANN401 - MQTTMessage
        wall, steady = time.time(), time.monotonic()
        try:
            payload = json.loads(message.payload)
        except ValueError:
            payload = message.payload.decode()
        self.heard.append(Heard(message.topic, payload, wall, steady))
        self.by_topic[message.topic].append(self.heard[-1])


def wait(condition: Any, seconds: float) -> float | None:  # noqa: ANN401 - any callable
    """Wait for a condition; give how long that took, None if it took longer."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(0.02)
    return time.monotonic() - began


def tree(pid: int) -> list[int]:
    """A process and all that it started, and so on."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [each for child in path.read_text().split() for each in tree(int(child))]
    return found if children.exists() else []


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> dict[str, float]:
    """Anonymous memory in MiB, threads and open files of a process and its children."""
    found = {"mib": 0.0, "threads": 0.0, "files": 0.0}
    for each in tree(pid):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{each}/status").read_text().splitlines())
        if "RssAnon" not in status:
            continue  # it has just ended
        found["mib"] += int(status["RssAnon"].split()[0]) / 1024
        found["threads"] += int(status["Threads"])
        found["files"] += len(list(Path(f"/proc/{each}/fd").iterdir()))
    return found


def make_shows(folder: Path, source: Path, size: str = "") -> Path:
    """Make the shows of a recording, once."""
    if not (folder / "silent.ts").exists():
        command = [sys.executable, str(HERE / "broadcast.py"), str(folder), "0", "--make", str(source)]
        subprocess.run([*command, *(["--size", size] if size else [])], check=True)
    return folder


def free_port() -> int:
    """A port that nobody uses, for both TCP and UDP."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
