"""Tables of prompts: side by side, bad rows named, killed and gone on with, nothing paid for twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from edge.speech.batch import JOURNAL, run_batch
from edge.speech.cache import cache_folder
from edge.speech.finish import Finish
from edge.speech.formats import FORMATS, format_of
from edge.speech.polly import Polly
from edge.speech.prompts import PromptsError, read_prompts
from edge.speech.say import PARALLEL
from edge.speech.voices import Voice

FINISH = Finish(FORMATS[0])
PROMPTS = 100


def table(folder, *rows: str, name: str = "prompts.csv"):
    file = folder / name
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def hundred(tmp_path):
    return table(tmp_path, "id,text", *(f'p{k:03},"Prompt number {k}, please wait."' for k in range(PROMPTS)))


def run(file, folder, finish=FINISH, **options):
    prompts, failures = read_prompts(file, Voice())
    assert failures == []
    return run_batch(prompts, folder, finish, polly=Polly(cache=cache_folder()), **options)


def test_a_batch_that_is_killed_goes_on_and_pays_for_nothing_twice(hundred, polly_server, tmp_path):
    polly_server.speech = bytes(range(256)) * 40
    polly_server.delay_seconds = 0.05
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "edge", "say", "--batch", str(hundred), "-o", str(folder), "--format", "ulaw-8k"]
    process = subprocess.Popen([*command, "--json", str(tmp_path / "f.json")], env=os.environ)
    while len(polly_server.answered) < PROMPTS // 2:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.2)  # what was in flight ends
    before = len(polly_server.texts)
    assert PROMPTS // 2 <= before < PROMPTS
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    twice = {text: count for text in set(polly_server.texts) if (count := polly_server.texts.count(text)) > 1}
    assert len(twice) <= PARALLEL  # in flight when it was killed: answered, and never received
    assert set(polly_server.texts) == {f"Prompt number {k}, please wait." for k in range(PROMPTS)}
    files = sorted(file.name for file in folder.iterdir())
    assert files == [JOURNAL, *(f"p{k:03}.wav" for k in range(PROMPTS))]
    paid = len(polly_server.texts)
    again = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120, check=False)
    assert again.stdout == f"{folder}: 0 prompts made, 100 were there\n"
    assert len(polly_server.texts) == paid


def test_prompts_are_said_side_by_side(hundred, polly_server, tmp_path):
    polly_server.speech, polly_server.delay_seconds = bytes(1_600), 0.02
    progress = []
    outcome = run(hundred, tmp_path / "out", progress=lambda: progress.append(1))
    assert (outcome.made, outcome.requests, outcome.kept) == (PROMPTS, PROMPTS, 0)
    assert outcome.billed == sum(map(len, polly_server.texts))
    assert len(progress) == PROMPTS
    assert 2 <= polly_server.at_once <= PARALLEL


def test_rows_that_say_the_same_are_paid_for_once(polly_server, tmp_path):
    polly_server.speech, polly_server.delay_seconds = bytes(1_600), 0.1
    outcome = run(table(tmp_path, "id,text", *(f"p{k},Please hold." for k in range(8))), tmp_path / "out")
    assert (outcome.made, outcome.requests, polly_server.texts) == (8, 1, ["Please hold."])


def test_what_changed_is_made_anew_and_nothing_else(polly_server, tmp_path):
    polly_server.speech = bytes(1_600)
    folder = tmp_path / "out"
    run(table(tmp_path, "id,text", "a,One", "b,Two", "c,Three"), folder)
    assert run(table(tmp_path, "id,text", "a,One", "b,Two!", "c,Three"), folder).kept == 2
    (folder / "a.wav").unlink()
    outcome = run(table(tmp_path, "id,text", "a,One", "b,Two!", "c,Three"), folder)
    assert (outcome.made, outcome.kept, outcome.requests) == (1, 2, 0)  # from the cache
    outcome = run(tmp_path / "prompts.csv", folder, Finish(format_of("alaw-8k"), lufs=-20.0))
    assert (outcome.made, outcome.requests) == (3, 0)
    (folder / JOURNAL).write_text((folder / JOURNAL).read_text()[:-20])  # torn by a power cut
    (folder / ".a.wav.1-1.part").touch()
    assert run(tmp_path / "prompts.csv", folder, Finish(format_of("alaw-8k"), lufs=-20.0)).made == 1
    assert run(tmp_path / "prompts.csv", folder, Finish(format_of("alaw-8k"), lufs=-20.0)).made == 0
    assert not list(folder.glob("*.part"))


def test_rows_say_by_whom_and_how(polly_server, tmp_path):
    rows = ["id,text,voice,engine,language,lexicons,ssml", "a,Hi,Joanna,neural,en-US,sports,",
            "b,<speak>Hi</speak>,,,,,no", "c,<speak>Hi</speak>,,,,,", "d,Hallo,offline:de,,,,"]  # fmt: skip
    outcome = run(table(tmp_path, *rows), tmp_path / "out")
    assert (outcome.made, outcome.requests) == (4, 3)
    asked = {(each["VoiceId"], each["Engine"], each["TextType"]) for each in polly_server.requests}
    assert asked == {("Joanna", "neural", "text"), ("Matthew", "standard", "text"), ("Matthew", "standard", "ssml")}
    prompts, _ = read_prompts(table(tmp_path, "a,One", "b,Two"), Voice())
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("a", "One"), ("b", "Two")]
    prompts, _ = read_prompts(table(tmp_path, "\ufeffid;text", 'a;"One, two"'), Voice())
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("a", "One, two")]


@pytest.mark.usefixtures("polly_server")
def test_bad_rows_are_named_and_the_others_are_made(tmp_path):
    rows = ["id,text,engine,ssml", "ok,Hello,,", "a/b,x,,", "empty,,,", "tag,<speak>a<b/></speak>,,", "ok,again,,",
            "e,x,fast,", "s,x,,perhaps", "many,a,,,more"]  # fmt: skip
    file = table(tmp_path, *rows)
    command = [sys.executable, "-m", "edge", "say", "--batch", str(file), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    said = [line.removeprefix(f"touchline: {file}: ") for line in done.stderr.splitlines()]
    assert said[0].startswith("line 3, id 'a/b': the id names the file: must be 1 to 100 letters")
    assert said[1:3] == ["line 4, id 'empty': text: there is nothing to say", said[2]]
    assert said[2].startswith("line 5, id 'tag': SSML: line 1, column 9: <b> is none of Polly's tags")
    assert said[3:] == [
        "line 6, id 'ok': is also the id of line 2",
        "line 7, id 'e': engine 'fast': must be one of standard, neural, long-form, generative",
        "line 8, id 's': ssml 'perhaps': must be yes, no or empty",
        "line 9, id 'many': has 5 cells for 4 columns; a text with commas stands in quotes",
    ]
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [JOURNAL, "ok.wav"]


def test_without_polly_the_rest_waits_and_the_fallback_is_made_anew(polly_server, tmp_path):
    polly_server.speech = bytes(1_600)
    file = table(tmp_path, "id,text", "a,One", "b,Two")
    polly_server.refusals = [(403, "ExpiredTokenException", "expired")] * 2
    stopped = run(file, tmp_path / "out")
    assert (stopped.made, stopped.failures) == (0, [])
    assert "they have expired" in stopped.stopped
    polly_server.refusals = [(403, "ExpiredTokenException", "expired")] * 2
    spoken = run(file, tmp_path / "out", fallback=Voice("offline"))
    assert (spoken.made, spoken.instead) == (2, 2)
    assert "they have expired" in spoken.instead_of
    polly_server.refusals = []
    assert run(file, tmp_path / "out").requests == 2


def test_two_runs_do_not_share_a_folder(polly_server, tmp_path):
    polly_server.speech, polly_server.delay_seconds = bytes(1_600), 2.0
    file, folder = table(tmp_path, "id,text", "a,One"), tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-m", "edge", "say", "--batch", str(file), "-o", str(folder)])
    while not polly_server.texts:
        time.sleep(0.01)
    with pytest.raises(PromptsError, match="another run writes into it"):
        run(file, folder)
    assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the first line must name the columns: id,text and, if wanted, voice, engine"),
        (b"name,words,more\na,b,c\n", "the first line must name the columns"),
        (b"id,text,voic\na,b,c\n", "unknown column 'voic'; did you mean 'voice'?"),
        ("id,text\na,Gr\xfc\xdfe\n".encode("latin-1"), "is not UTF-8 (byte 12); save it as CSV UTF-8"),
        (b'id,text\na,"b', ""),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, content, sentence):
    file = tmp_path / "prompts.csv"
    file.write_bytes(content)
    if not sentence:  # a quote that never ends is the rest of the text
        assert [prompt.text for prompt in read_prompts(file, Voice())[0]] == ["b"]
        return
    with pytest.raises(PromptsError) as refused:
        read_prompts(file, Voice())
    assert str(refused.value).startswith(f"{file}: ")
    assert sentence in str(refused.value)


@pytest.mark.usefixtures("polly_server")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PromptsError, match=r"folder .*file: cannot be written"):
        run(table(tmp_path, "id,text", "a,One"), tmp_path / "file")
