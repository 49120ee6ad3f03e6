"""The commands as a person types them, the two samples of Amazon's post among them."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from edge.__main__ import main

PAGE = Path(__file__).parents[3] / "docs" / "speech.md"


def fails(capsys, *words: str) -> tuple[int, str]:
    code = main([*words])
    err = capsys.readouterr().err
    assert err.startswith("touchline: ")
    assert err.count("\n") == 1, err
    return code, err[11:-1]


def samples(page: Path) -> list[list[str]]:
    """The two commands of the page's part about Amazon's post."""
    part = page.read_text(encoding="utf-8").partition("## The samples of Amazon's post")[2].partition("\n## ")[0]
    lines = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)[0].replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_the_samples_of_the_post_run_as_documented(polly_server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = samples(PAGE)
    assert len(commands) == 2
    for program, *words in commands:
        assert program == "touchline"
        assert main(words) == 0
    assert [each["TextType"] for each in polly_server.requests] == ["text", "ssml"]
    for asked in polly_server.requests:
        assert (asked["VoiceId"], asked["SampleRate"], asked["OutputFormat"]) == ("Matthew", "16000", "pcm")
    for name in ("sample.wav", "sample_SSML.wav"):
        with wave.open(str(tmp_path / name)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            assert 2 < file.getnframes() / 16_000 < 20
    billed = [len(re.sub("<.*?>", "", each["Text"])) for each in polly_server.requests]
    assert re.findall(r"; (\d+) characters billed", capsys.readouterr().out) == [str(count) for count in billed]


def touchline(*words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "edge", *words]
    return subprocess.run(command, input=data, env=os.environ, capture_output=True, timeout=60, check=False)


def test_it_goes_between_pipes(polly_server):
    done = touchline("say", "-o", "-", "--format", "pcm16-8k", data="Grüße aus dem Stadion.".encode())
    assert done.returncode == 0, done.stderr
    with wave.open(io.BytesIO(done.stdout)) as file:
        assert len(done.stdout) == 44 + 2 * file.getnframes()
        assert file.getnframes() > 4_000
    assert done.stderr.decode().startswith("-: ")
    assert polly_server.texts == ["Grüße aus dem Stadion."]
    assert touchline("say", "--ssml", "-", "-o", "-", data=b"<speak>Hi.</speak>").returncode == 0
    assert polly_server.requests[1]["TextType"] == "ssml"
    assert touchline("say", "--plain", "Say <speak> now", "-o", "-").returncode == 0
    assert polly_server.requests[2]["TextType"] == "text"


def test_figures_go_to_a_file(polly_server, tmp_path, capsys):
    out, figures = str(tmp_path / "x.wav"), tmp_path / "x.json"
    words = ["say", "Welcome to the game.", "-o", out, "--format", "avaya", "--silence", "0.1,0.4", "--loudness=-20"]
    assert main([*words, "--json", str(figures)]) == 0
    told = json.loads(figures.read_text())
    assert (told["format"], told["voice"], told["requests"], told["billed"]) == ("ulaw-8k", "Matthew", 1, 20)
    assert told["loudness_lufs"] == pytest.approx(-20, abs=0.7)
    assert told["peak_dbfs"] <= -0.9
    assert main([*words, "--dry-run"]) == 0
    assert "prompts: 1; Polly would bill 0 characters in 0 requests" in capsys.readouterr().out
    assert main([*words, "--voice", "offline"]) == 0
    assert capsys.readouterr().out.endswith("ulaw-8k, offline (en)\n")
    assert len(polly_server.texts) == 1


@pytest.mark.usefixtures("polly_server")
def test_the_fallback_is_never_silent(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, sentence = fails(capsys, "say", "Hello", "-o", str(tmp_path / "x.wav"))
    assert (code, sentence.partition(" (")[0]) == (2, "Polly: no usable AWS credentials")
    assert list(tmp_path.glob("x*")) == []
    assert main(["say", "Hallo", "-o", str(tmp_path / "x.wav"), "--fallback", "offline:de"]) == 0
    told = capsys.readouterr()
    assert told.out.endswith("pcm16-16k, offline (de)\n")
    assert told.err.endswith("; said by the offline voice instead\n")


@pytest.mark.usefixtures("polly_server")
def test_voices_are_listed(capsys, tmp_path):
    assert main(["voices", "--language", "en", "--engine", "neural", "--json", str(tmp_path / "v.json")]) == 0
    assert [row["voice"] for row in json.loads((tmp_path / "v.json").read_text())] == ["Joanna", "Matthew"]
    assert main(["voices", "--language", "hi-IN"]) == 0
    assert main(["voices", "--lexicons"]) == 0
    assert main(["voices", "--offline", "--language", "de"]) == 0
    told = capsys.readouterr().out
    for word in ("Joanna", "Aditi", "sports", "offline:de"):
        assert word in told


@pytest.mark.usefixtures("polly_server")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--ssml", "nowhere.xml", "-o", "x.wav"], "nowhere.xml: cannot be read (no such file or directory)"),
        (["Hi", "-o", "nowhere/x.wav"], "nowhere/x.wav: cannot be written (no such folder)"),
        (["Hi", "-o", "."], ".: cannot be written (is a folder)"),
        (["Hi", "--silence", "90", "-o", "x.wav"], "silence: must be 0 to 60 seconds, not 90"),
        (["--batch", "nowhere.csv", "-o", "out"], "nowhere.csv: cannot be read (no such file or directory)"),
        (["Hi", "--voice", "Mathew", "-o", "x.wav"], "voice 'Mathew': Polly has no such voice; did you mean Matthew"),
        (["Hi", "--voice", "offline:xx", "-o", "x.wav"], "espeak-ng, voice 'xx': The specified"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    got, said = fails(capsys, "say", *words)
    assert (got, said[: len(sentence)]) == (2, sentence)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []
