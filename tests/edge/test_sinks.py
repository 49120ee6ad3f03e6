"""Sinks: lines that read back, a failing sink that stops nothing, a table that fits."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import made
import pytest
from rich.console import Console

from edge import messages, sinks
from edge.messages import read_event
from edge.sinks import JsonLines, SinkError, Terminal, deliver

LONG = ("badminton", "synchronized_swi", "tennis")


def drawn(width: int, *, plain: bool, seconds: int = 3) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=not plain, color_system=None)
    terminal = Terminal(console, LONG)
    for start in range(seconds):
        terminal(messages.tick(made.second(float(start)), made.STAMP, start + 1))
    terminal(messages.tick(made.unknown(3.0), made.STAMP, 4))
    terminal(made.event_message(1, "new"))
    terminal(made.event_message(2, "end"))
    return console.file.getvalue().splitlines()


class Failing:
    """A sink that fails until it is repaired."""

    def __init__(self):
        self.broken, self.calls = True, 0

    def __call__(self, _message):
        self.calls += 1
        if self.broken:
            msg = "disk is on fire"
            raise RuntimeError(msg)

    def close(self):
        pass

    def __str__(self):
        return "failing sink"


def test_a_failing_sink_stops_nothing_and_is_named_once(caplog):
    failing, got = Failing(), []
    for seq in range(5):
        deliver(made.tick(seq), [failing, got.append])
    assert len(got) == 5
    assert failing.calls == 1
    assert caplog.messages == ["failing sink: disk is on fire; detection goes on without it"]


def test_a_sink_that_works_again_says_what_was_lost(caplog, monkeypatch):
    monkeypatch.setattr(sinks, "RETRY_SECONDS", 0)
    failing = Failing()
    deliver(made.tick(1), [failing])
    deliver(made.tick(2), [failing])
    failing.broken = False
    deliver(made.tick(3), [failing])
    assert caplog.messages[1:] == ["failing sink: works again, 2 messages were lost"]


def test_json_lines_read_back(tmp_path: Path):
    path = tmp_path / "match.jsonl"
    path.write_text("an older file\n")
    sink = JsonLines(path)
    sent = [made.tick(1), made.event_message(1), made.event_message(2, "end")]
    for count, message in enumerate(sent, 1):
        sink(message)
        assert len(path.read_text().splitlines()) == count  # at once, without closing
    sink.close()
    lines = path.read_bytes().splitlines()
    assert json.loads(lines[0])["schema"] == "tick/1"
    assert [read_event(line) for line in lines[1:]] == sent[1:]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(SinkError, match=r"missing/match.jsonl: cannot be written \(no such file or directory\)"):
        JsonLines(tmp_path / "missing" / "match.jsonl")
    with pytest.raises(SinkError, match="is a directory"):
        JsonLines(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_named(caplog):
    sink = JsonLines("/dev/full")
    deliver(made.tick(), [sink])
    sink.close()
    assert caplog.messages == ["JSON lines /dev/full: [Errno 28] No space left on device; detection goes on without it"]


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits(width, plain):
    lines = drawn(width, plain=plain)
    assert max(map(len, lines)) <= width
    ticks = [line for line in lines if line[:3] == "00:" and len(line) > 40]
    assert len(ticks) == 4
    for line in ticks[:3]:
        assert "badminton  " in line[-25:]
        assert line.endswith("0.83 *")


def test_plain_is_ascii():
    assert "\n".join(drawn(80, plain=True)).isascii()


def test_ten_cells_in_eighths_where_there_is_room():
    row = next(line for line in drawn(120, plain=False) if line.startswith("00:00"))
    assert "▸████████▎  badminton" in row
    assert " ███████▏   tennis" in row


def test_events_have_a_line_of_their_own():
    lines = drawn(80, plain=False)
    assert lines[-2:] == ["● NEW  badminton  00:03  0.81", "■ END  badminton  00:03-00:06 (3 s)  0.81"]
    assert drawn(80, plain=True)[-1] == "# END  badminton  00:03-00:06 (3 s)  0.81"


@pytest.mark.parametrize("width", [80, 120])
def test_of_several_sources_each_line_names_its_own(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    terminal = Terminal(console, LONG, ["left", "the-one-on-the-right-of-the-pitch"])
    for stamp in (replace(made.STAMP, source=name) for name in ("left", "the-one-on-the-right-of-the-pitch")):
        terminal(messages.tick(made.second(3.0), stamp, 1))
        terminal(messages.event_message(made.event(), stamp, 1))
    header, _, *lines = console.file.getvalue().splitlines()
    assert header.split()[:3] == ["time", "source", "rgb"]
    assert [line.split()[1] for line in (lines[0], lines[2])] == [
        "left",
        "the-one-on-the-right-of-the-pitch"[: width // 6 - 1] + "…",
    ]
    assert lines[0].index("▸") == lines[2].index("▸")
    assert lines[1] == "● NEW  left  badminton  00:03  0.81"
    assert max(map(len, lines)) <= width


def test_faults_are_told():
    console = Console(file=io.StringIO(), width=80)
    Terminal(console)(messages.tick(made.second(faults=("sound is missing",)), made.STAMP, 1))
    assert "! sound is missing" in console.file.getvalue()
