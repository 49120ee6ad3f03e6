"""The example subscribers, written from docs/mqtt.md alone, store a match exactly, whatever the device does."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from brokers import Broker, until
from paho.mqtt.publish import multiple
from recordings import keyed, record

from edge.play import Playing, simulate
from edge.script import read_recording, script

EXAMPLES = Path(__file__).parents[1] / "examples" / "subscribers"
UNEXPLAINED = ("reconnects", "duplicates", "late", "gaps")


@pytest.fixture(scope="session")
def node():
    """Node, with the example's modules as its lock file has them."""
    for needed in ("node", "npm"):
        if shutil.which(needed) is None:
            pytest.fail(f"{needed} is not installed: apt-get install nodejs npm")
    folder = EXAMPLES / "javascript"
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return ["node", str(folder / "subscriber.js")]


class Example:
    """One of the two programs, and its store."""

    def __init__(self, language: str, folder: Path, command: list[str]) -> None:
        self.language, self.command, self.processes = language, command, []
        self.path = folder / ("store.db" if language == "python" else "store.jsonl")
        self.lines: list[str] = []

    def start(self, broker: Broker, *options: str) -> subprocess.Popen:
        where = ["--port", str(broker.port), "--host", "127.0.0.1"] if self.language == "python" else [broker.url]
        multiple([("touchline/ready/status", "online", 1, True)], hostname="127.0.0.1", port=broker.port)
        before, command = len(self.lines), [*self.command, str(self.path), *where, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        assert until(lambda: "ready is online" in self.lines[before:], 15), self.lines
        return process

    def _read(self, process: subprocess.Popen) -> None:
        with process.stdout:
            self.lines += (line.rstrip("\n") for line in process.stdout)

    def stored(self, schema: str = "event/1") -> list[dict]:
        if self.language == "python":
            table = {"event/1": "SELECT payload FROM events", "gap/1": "SELECT json_object('first', first) FROM gaps"}
            with closing(sqlite3.connect(self.path)) as store:
                return [json.loads(text) for (text,) in store.execute(table[schema])]
        lines = map(json.loads, self.path.read_text().splitlines())
        return [line for line in lines if line["schema"] == schema]


@pytest.fixture(params=["python", "javascript"])
def example(request, tmp_path):
    python = [sys.executable, str(EXAMPLES / "python" / "subscriber.py")]
    command = python if request.param == "python" else request.getfixturevalue("node")
    example = Example(request.param, tmp_path, command)
    yield example
    for process in example.processes:
        process.kill()
        process.wait(10)


@pytest.fixture
def match(tmp_path):
    """A recording's path and its events."""
    path = tmp_path / "match.jsonl"
    return str(path), record(path, 60, boots=3)


def holds(example: Example, events) -> bool:
    """Whether the store comes to hold these events, and nothing else."""
    until(lambda: len(example.stored()) >= len(events), 10)
    stored, wanted = keyed(example.stored()), keyed(events)
    assert set(stored) == set(wanted), example.lines
    return stored == wanted


@pytest.mark.parametrize(("faults", "seed"), [(UNEXPLAINED, 1), (UNEXPLAINED[1:], 2)], ids=["all", "no-reconnects"])
def test_the_store_is_the_match(broker, example, match, faults, seed):
    example.start(broker)
    simulate(match[0], broker.url, Playing(speed=30, faults=faults, seed=seed, stay=3.5))
    assert holds(example, match[1])
    assert len(example.stored()) == 60
    printed = [line for line in example.lines if " truck1/cam2  " in line]
    assert len(printed) == 60
    assert any(line.endswith("(late)") for line in printed)
    if "reconnects" not in faults:  # after one the whole boot is asked for, and nothing is missing for long
        assert any("something is missing before offset" in line for line in example.lines)


def test_what_was_dropped_is_known_and_not_asked_for(broker, example, match):
    playing = Playing(speed=0, faults=("drops", "duplicates"), seed=3, stay=0)
    example.start(broker)
    simulate(match[0], broker.url, playing)
    steps = script(read_recording(match[0]), playing.faults, playing.seed)
    dropped = {step.message.offset for step in steps if step.deed == "drop"}
    assert holds(example, [event for offset, event in enumerate(match[1], 1) if offset not in dropped])
    assert {gap["first"] for gap in example.stored("gap/1")} == dropped
    assert not any("something is missing" in line for line in example.lines)


@pytest.mark.slow
def test_a_subscriber_that_is_killed_goes_on_where_it_was(broker, example, match):
    playing = Playing(speed=8, faults=UNEXPLAINED, seed=4, stay=6)
    device = threading.Thread(target=simulate, args=(match[0], broker.url, playing))
    process = example.start(broker)
    device.start()
    for part in (10, 25, 40):
        assert until(lambda: len(example.stored()) >= part, 20)  # noqa: B023
        process.kill()
        process.wait(10)
        process = example.start(broker)
    device.join(60)
    assert holds(example, match[1])
    assert len(example.stored()) == 60


@pytest.mark.slow
def test_a_broker_that_forgets_everything_costs_nothing(stopped_broker, example, match):
    example.start(stopped_broker.start())
    playing = Playing(speed=8, faults=UNEXPLAINED, seed=5, stay=6)
    device = threading.Thread(target=simulate, args=(match[0], stopped_broker.url, playing))
    device.start()
    assert until(lambda: len(example.stored()) >= 20, 20)
    stopped_broker.process.kill()
    stopped_broker.stop()
    stopped_broker.start()
    device.join(60)
    assert holds(example, match[1])


@pytest.mark.slow
def test_it_speaks_311(old_broker, example, match):
    example.start(old_broker, "--mqtt311")
    simulate(match[0], old_broker.url, Playing(speed=0, faults=UNEXPLAINED, seed=6, stay=6))
    assert holds(example, match[1])
