"""The command line: bad input is one sentence and the right exit code, odd input works, help teaches."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from brokers import Broker, until
from media import write_sound, write_video

from cloud_train.__main__ import parser as train_parser
from edge.__main__ import main, parser
from edge.bundle import DEMO


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and its one sentence."""
    code = main([str(argument) for argument in arguments])
    err = capsys.readouterr().err
    assert err.startswith("touchline: ")
    assert err.count("\n") == 1, err
    return code, err.removeprefix("touchline: ").rstrip("\n")


def ticks(path: Path) -> list[dict]:
    return [m for m in map(json.loads, path.read_text().splitlines()) if m["schema"] == "tick/1"]


def watched(source: Path, *options: object) -> list[dict]:
    """Run a source that must work; return its ticks."""
    out = source.with_suffix(".jsonl")
    assert main(["run", str(source), "--quiet", "--jsonl", str(out), *map(str, options)]) == 0
    return ticks(out)


def test_sources_that_are_no_media(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    write_sound(tmp_path / "silent.wav", np.zeros((1, 0)), 16000)
    expected = {
        "missing.mp4": (2, "no such file"),
        "folder.mp4": (2, "is a directory; name one media file"),
        "empty.mp4": (2, "the file is empty"),
        "text.mp4": (1, "not readable as media"),
        "cut.mp4": (1, "not readable as media"),
        "silent.wav": (1, "no picture or sound in it could be decoded"),
    }
    for name, (code, sentence) in expected.items():
        found = fails(capsys, "run", tmp_path / name, "--quiet")
        assert found[0] == code, name
        assert found[1].startswith(f"{tmp_path / name}: {sentence}"), name


def test_odd_media_work(tmp_path: Path):
    (one,) = watched(write_video(tmp_path / "one.mp4", times=[0.0]))
    assert set(one["fusion"]["votes"]) == {"rgb"}
    for rate, channels in ((8000, 1), (96000, 1), (48000, 6)):
        tone = np.repeat(0.3 * np.sin(np.arange(2 * rate) * 0.1)[None], channels, axis=0)
        seconds = watched(write_sound(tmp_path / f"{rate}.wav", tone, rate))
        assert [set(tick["fusion"]["votes"]) for tick in seconds] == [{"audio"}] * 2


def test_sound_with_nan_is_a_fault_of_its_second_and_the_picture_decides(tmp_path: Path):
    """A file with both, muxed from its parts: float sound with a NaN in its second second."""
    import av

    samples = np.zeros((1, 48000), np.float32)
    samples[0, 20000] = np.nan
    write_video(tmp_path / "v.mp4", seconds=3)
    write_sound(tmp_path / "a.wav", samples, 16000)
    with av.open(str(tmp_path / "both.mkv"), "w") as out:
        inputs = [av.open(str(tmp_path / name)) for name in ("v.mp4", "a.wav")]
        streams = [out.add_stream_from_template(media.streams[0]) for media in inputs]
        for media, stream in zip(inputs, streams, strict=True):
            for packet in media.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
            media.close()
    first, second, third = watched(tmp_path / "both.mkv")
    assert second["faults"] == ["sound holds NaN or infinite samples"]
    assert set(second["fusion"]["votes"]) == {"rgb", "flow"}
    assert first["faults"] == third["faults"] == []


def test_bundles_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    video = write_video(tmp_path / "v.mp4", seconds=1)
    out = tmp_path / "out.jsonl"

    def spoilt(name: str) -> Path:
        return Path(shutil.copytree(DEMO, tmp_path / name))

    data = bytearray((spoilt("changed") / "rgb.tflite").read_bytes())
    data[1000] ^= 255
    (tmp_path / "changed" / "rgb.tflite").write_bytes(data)
    (spoilt("missing") / "flow.tflite").unlink()
    newer = json.loads((spoilt("newer") / "manifest.json").read_text()) | {"format": 99}
    (tmp_path / "newer" / "manifest.json").write_text(json.dumps(newer))
    expected = {
        "nowhere": "is not a bundle directory",
        "changed": "rgb.tflite: has changed",
        "missing": "flow.tflite: cannot be read",
        "newer": "manifest.json: bundle format 99 is newer than 1",
    }
    for name, sentence in expected.items():
        code, found = fails(capsys, "run", video, "--bundle", tmp_path / name, "--jsonl", out)
        assert code == 1
        assert sentence in found, name
    assert not out.exists(), "nothing is written before everything is found good"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bundel = 'x'", "unknown key `bundel`; did you mean `bundle`?"),
        ("[mqtt]\nulr = 'x'", "unknown key `mqtt.ulr`; did you mean `mqtt.url`?"),
        ("[events]\nminimum_seconds = 'two'", "events.minimum_seconds: expected `int`, got `str`"),
        ("[source]\npace = 'slow'", "source.pace: invalid enum value 'slow'"),
        ("[events", "not TOML"),
    ],
)
def test_bad_configurations_name_the_key(text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "device.toml"
    config.write_text(text)
    code, found = fails(capsys, "run", "x.mp4", "--config", config)
    assert code == 2
    assert found.startswith(f"{config}: {sentence}")


def test_other_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    video = write_video(tmp_path / "v.mp4", seconds=1)
    assert fails(capsys, "run") == (
        2,
        "no source: name a media file or a live source, or give source.url in the configuration",
    )
    assert fails(capsys, "run", video, "--config", tmp_path / "no.toml")[0] == 2
    code, found = fails(capsys, "run", video, "--quiet", "--mqtt", "http://localhost")
    assert code == 2
    assert "must look like mqtt://" in found
    code, found = fails(capsys, "run", video, "--quiet", "--jsonl", tmp_path / "none" / "x.jsonl")
    assert code == 1
    assert "x.jsonl: cannot be written" in found
    assert fails(capsys, "subscribe", "localhost")[0] == 2
    for arguments in ([], ["run", "x", "--threads", "0"], ["fly"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        capsys.readouterr()


def test_the_command_line_goes_before_the_configuration(tmp_path: Path):
    video = write_video(tmp_path / "v.mp4", seconds=1)
    config = tmp_path / "device.toml"
    config.write_text(f"bundle = '{tmp_path}/none'\njsonl = '{tmp_path}/one.jsonl'\n[source]\nname = 'left camera'\n")
    assert main(["run", str(video), "--quiet", "--config", str(config), "--bundle", str(DEMO)]) == 0
    assert ticks(tmp_path / "one.jsonl")[0]["source"] == "left-camera"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("refused", "refused"), ("unknown host", "no-such-host.invalid"), ("password", "wrong user name or password")],
)
def test_a_broker_that_cannot_be_had_is_said_once_and_detection_goes_on(
    kind: str, sentence: str, stopped_broker: Broker, request: pytest.FixtureRequest, tmp_path: Path
):
    urls = {"refused": stopped_broker.url, "unknown host": "mqtt://no-such-host.invalid"}
    url = urls.get(kind) or request.getfixturevalue("locked_broker").url.replace("//", "//me:wrong@")
    video, out = write_video(tmp_path / "v.mp4", seconds=4), tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", video, "--quiet", "--pace", "realtime", "--mqtt", url, "--jsonl", out],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert len(ticks(out)) == 4
    warnings = [line for line in done.stderr.splitlines() if sentence in line]
    assert len(warnings) == 1, done.stderr
    assert "detection goes on and the connection is retried" in warnings[0]
    assert "wrong@" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_that_comes_late_gets_the_events(stopped_broker: Broker):
    match = Path(__file__).parent.parent.parent / "examples" / "match.mp4"
    command = [sys.executable, "-m", "edge", "run", match, "--quiet", "--pace", "realtime"]
    process = subprocess.Popen([*command, "--mqtt", stopped_broker.url], stderr=subprocess.DEVNULL)
    time.sleep(4)  # the first event has begun and could not be sent
    listener = stopped_broker.start().listen()
    try:
        assert until(lambda: any(topic.endswith("/event") for topic, _ in listener.got), 12)
    finally:
        process.terminate()
        process.wait(10)
    first = next(json.loads(payload) for topic, payload in listener.got if topic.endswith("/event"))
    assert (first["type"], first["seq"]) == ("new", 1)


def subcommands(made: object) -> dict:
    return next(action.choices for action in made._actions if action.choices and action.required)


@pytest.mark.parametrize("made", [parser(), train_parser()], ids=["touchline", "touchline-train"])
def test_every_help_teaches_with_an_example(made: object):
    for command in [made, *subcommands(made).values()]:
        text = command.format_help()
        assert "example: touchline" in text
        assert command.description.endswith(".")
