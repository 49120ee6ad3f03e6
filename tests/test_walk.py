"""The whole walk, as a user takes it: `touchline run` into a real broker, read back by a stranger's client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from brokers import Broker, until

from edge.bundle import DEMO, Bundle
from edge.messages import read_event, topic_id

ROOT = Path(__file__).parent.parent
MATCH = ROOT / "examples" / "match.mp4"
SPORTS = ["tennis", "badminton", "rugby", "football", "swimming"]
VOLATILE = ("boot", "start", "start_ns", "latency_ms")


def touchline(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edge", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(touchline("run", *arguments), check=False, capture_output=True, text=True, timeout=120)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_recording_becomes_events_that_a_stranger_receives(broker: Broker, tmp_path: Path):
    listener = broker.listen()
    done = run(MATCH, "--mqtt", broker.url, "--jsonl", tmp_path / "match.jsonl")
    assert done.returncode == 0, done.stderr
    status = next(topic for topic, payload in listener.got if payload == "online" and topic.count("/") == 2)
    node = status.removesuffix("/status")
    listener.wait(status, "stopped")

    info = json.loads(listener.wait(f"{node}/info"))
    assert info["classes"] == list(Bundle.read(DEMO).manifest.labels)
    assert len(info["models"]) == 3
    for role in ("rgb", "flow", "audio"):
        assert listener.payloads(f"{node}/match/status/{role}") == ["online", "offline"]

    ticks = [json.loads(payload) for payload in listener.payloads(f"{node}/match/tick")]
    assert [tick["media_start"] for tick in ticks] == list(range(27))
    assert {len(tick["fusion"]["votes"]) for tick in ticks} == {3}

    payloads = listener.payloads(f"{node}/match/event")
    events = [read_event(payload.encode()) for payload in payloads]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.label for event in events if event.type == "end"] == SPORTS
    ends = [event.media_end for event in events if event.type == "end"]
    assert ends == pytest.approx([6, 12, 17, 22, 27], abs=1)
    assert listener.payloads(f"{node}/match/label")[-1] == "none"

    written = lines(tmp_path / "match.jsonl")
    received = [json.loads(payload) for payload in payloads]
    assert [event["offset"] for event in received] == list(range(1, len(received) + 1))
    assert len({event["stream"] for event in received}) == 1
    # A file has no place in the outbox's stream; all else is the same, in the same order.
    unsent = [json.dumps(event | {"stream": None, "offset": None}) for event in received]
    assert [json.dumps(m) for m in written if m["schema"] == "event/1"] == unsent
    assert [m for m in written if m["schema"] == "tick/1"] == ticks


def test_the_same_recording_twice_gives_the_same_decisions(tmp_path: Path):
    def decisions(name: str) -> list[dict]:
        assert run(MATCH, "--quiet", "--jsonl", tmp_path / name).returncode == 0
        ticks = [m for m in lines(tmp_path / name) if m["schema"] == "tick/1"]
        return [{key: value for key, value in tick.items() if key not in VOLATILE} for tick in ticks]

    assert decisions("one.jsonl") == decisions("two.jsonl")


def test_killing_the_process_shows_the_last_will(broker: Broker):
    listener = broker.listen()
    process = subprocess.Popen(touchline("run", MATCH, "--quiet", "--pace", "realtime", "--mqtt", broker.url))
    assert until(lambda: any(topic.endswith("/tick") for topic, _ in listener.got), 20)
    status = next(topic for topic, payload in listener.got if payload == "online" and topic.count("/") == 2)
    process.kill()
    process.wait()
    listener.wait(status, "offline")
    assert broker.listen("--retained-only").wait(status) == "offline"


def test_being_asked_to_stop_ends_the_event_and_says_stopped(broker: Broker):
    listener = broker.listen()
    process = subprocess.Popen(touchline("run", MATCH, "--quiet", "--pace", "realtime", "--mqtt", broker.url))
    assert until(lambda: any(topic.endswith("/event") for topic, _ in listener.got), 20)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    assert time.monotonic() - began < 2
    assert until(lambda: listener.got[-1][1] == "stopped")
    events = [read_event(payload.encode()) for topic, payload in listener.got if topic.endswith("/event")]
    assert [event.type for event in events] == ["new", "end"]


@pytest.fixture(scope="module")
def real_videos() -> list[Path]:
    folder = os.environ.get("TOUCHLINE_TEST_DATA")
    if not folder:
        pytest.skip("TOUCHLINE_TEST_DATA names no folder of real recordings; the synthetic ones are tested")
    found = sorted((Path(folder) / "video").iterdir())
    assert found
    return found


def test_real_recordings_go_through_the_whole_chain(real_videos: list[Path], broker: Broker, tmp_path: Path):
    """Every clip gives a tick for each of its seconds, sound a vote where there is sound, and no clip a traceback."""
    listener = broker.listen()
    for video in real_videos:
        out = tmp_path / f"{video.stem}.jsonl"
        done = run(video, "--quiet", "--mqtt", broker.url, "--jsonl", out)
        assert done.returncode == 0, f"{video.name}: {done.stderr}"
        assert "Traceback" not in done.stderr
        probe = probed(video)
        ticks = [m for m in lines(out) if m["schema"] == "tick/1"]
        assert ticks, video.name
        assert abs(len(ticks) - probe["seconds"]) <= 1, f"{video.name}: {len(ticks)} ticks, {probe['seconds']:.1f} s"
        heard = [tick for tick in ticks if "audio" in tick["fusion"]["votes"]]
        assert bool(heard) == probe["sound"], video.name
        received = [json.loads(p) for topic, p in listener.got if topic.endswith(f"/{topic_id(video.stem)}/tick")]
        assert received == ticks, video.name


def probed(video: Path) -> dict:
    """What PyAV alone finds in a file: decoded length, and whether any sound can be decoded."""
    import av

    with av.open(str(video)) as container:
        origin = (container.start_time or 0) / av.time_base
        last, sound = 0.0, False
        for packet in container.demux([*container.streams.video, *container.streams.audio]):
            try:
                for frame in packet.decode():
                    if frame.time is not None:
                        last = max(last, frame.time - origin)
                        sound = sound or isinstance(frame, av.AudioFrame)
            except av.FFmpegError:
                continue
    return {"seconds": last, "sound": sound}


@pytest.mark.slow
@pytest.mark.parametrize("broker_kind", ["mosquitto", "amqtt"])
def test_make_demos_program_shows_it_all(broker_kind: str):
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--broker", broker_kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    began, first_second, printed = time.monotonic(), None, []
    for line in process.stdout:
        printed.append(line.rstrip("\n"))
        if first_second is None and line.startswith("00:00"):
            first_second = time.monotonic() - began
    process.stdout.close()
    assert process.wait() == 0
    assert first_second is not None
    assert first_second <= 5.0
    assert any(broker_kind in line for line in printed[:3])
    received = printed[printed.index("What a subscriber received meanwhile:") :]
    assert [line.split()[5] for line in received if " END " in line] == SPORTS
    assert len(received[received.index("Try next:") + 1 :]) == 3
