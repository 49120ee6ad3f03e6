"""Events said aloud: the words, the rate limit, and where the sound goes."""

from __future__ import annotations

import json
import re
import wave
from dataclasses import replace
from pathlib import Path

import made
import polly
import pytest

from edge.__main__ import main
from edge.announce import Announcements, Announcer, announcements, render
from edge.config import Announce
from edge.loudspeaker import BusyError, Loudspeaker, SpeakerError, WavFolder
from edge.messages import EventMessage, event_message
from edge.speech.refusals import NotConfiguredError
from edge.voice import VoiceError, speak
from edge.wording import WORDINGS, AnnounceError, Wording, confidence_of, read_wordings, wording_of


@pytest.fixture(scope="module")
def speeches():
    return render(["badminton", "table_tennis"], "en", Wording(), 8_000)[0]


def test_a_label_is_said_with_its_confidence():
    assert Wording().say("badminton", "high") == "badminton, high confidence"
    assert Wording().say("table_tennis", "low") == "table tennis, low confidence"
    assert WORDINGS["de"].say("badminton", "medium") == "badminton, ziemlich sicher"
    assert [confidence_of(score) for score in (1.0, 0.8, 0.79, 0.5, 0.49, float("nan"))] == [
        "high", "high", "medium", "medium", "low", "low",
    ]  # fmt: skip


def test_a_file_words_labels_in_a_language(tmp_path):
    file = tmp_path / "words.toml"
    file.write_text(
        '[de]\nhigh = "ganz sicher"\n[de.labels]\nbadminton = "Federball, {confidence}"\n[it]\nlow = "boh"\n'
    )
    wordings = read_wordings(file)
    assert wording_of("de", wordings).say("badminton", "high") == "Federball, ganz sicher"
    assert wording_of("it", wordings).say("golf", "low") == "golf, boh"
    assert wording_of("en", wordings) == Wording()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[de]\nhihg = "x"\n', "unknown key `hihg`; did you mean `high`"),
        ("[de]\nhigh = 3\n", "high: expected `str`, got `int`"),
        (
            '[de]\nsentence = "{label.__class__}"\n',
            "de: sentence: may hold {label} and {confidence}, not {label.__class__}",
        ),
        ('[de.labels]\ngolf = "{score}"\n', "de: golf: may hold {label} and {confidence}, not {score}"),
        ('[de]\nsentence = "{label"\n', "de: sentence: expected '}' before end of string"),
        ("[de", "Expected ']'"),
    ],
)
def test_words_that_cannot_be_used_are_refused_by_file_and_key(tmp_path, text, sentence):
    file = tmp_path / "words.toml"
    file.write_text(text)
    with pytest.raises(AnnounceError) as refused:
        read_wordings(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert sentence in str(refused.value)


def test_a_language_without_words_is_refused_with_those_that_have_some():
    with pytest.raises(AnnounceError, match="language: 'xx' has no wording; there are de, en, es, fr"):
        wording_of("xx")
    with pytest.raises(AnnounceError, match="cannot be read"):
        read_wordings("/nowhere.toml")


def test_every_language_that_has_words_has_a_voice():
    for language, wording in WORDINGS.items():
        speeches, instead_of = render(["badminton"], language, wording, 8_000)
        assert (speeches["badminton", "high"].seconds > 0.5, instead_of) == (True, "")


def test_all_is_rendered_beforehand(speeches, monkeypatch, tmp_path):
    assert len(speeches) == 6
    monkeypatch.setenv("PATH", str(tmp_path))  # espeak-ng is gone
    with pytest.raises(VoiceError):
        speak("badminton")
    (speech,) = Announcer(speeches, 5.0).push("table_tennis", 0.9, 0.0)
    assert speech is speeches["table_tennis", "high"]


def test_announcements_keep_their_distance(speeches):
    announcer = Announcer(speeches, 5.0)
    said = [bool(announcer.push("badminton", 0.9, now)) for now in (100.0, 101.0, 104.9, 105.0, 109.0, 110.5)]
    assert said == [True, False, False, True, False, True]
    assert announcer.suppressed == 3
    assert announcer.flush() == []


def test_a_label_without_speech_is_noted_and_takes_no_time(speeches):
    announcer = Announcer(speeches, 5.0)
    assert announcer.push("golf", 0.9, 0.0) == []
    assert announcer.unknown == {"golf"}
    assert announcer.push("badminton", 0.6, 0.0) == [speeches["badminton", "medium"]]


def test_a_folder_keeps_its_latest_files(speeches, tmp_path):
    folder = WavFolder(tmp_path / "said", most_files=2)
    mine = [tmp_path / "said" / name for name in ("0-my-recording.wav", "20250101.wav", "20250101T101542-notes.txt")]
    for file in mine:
        file.touch()
    for name in ("20261123T101542-a", "20261123T101543-b", "20261123T101544-c"):
        folder(name, speeches["badminton", "high"])
    folder.close()
    assert all(file.exists() for file in mine)
    files = sorted({*(tmp_path / "said").iterdir()} - {*mine})
    assert [file.name for file in files] == ["20261123T101543-b.wav", "20261123T101544-c.wav"]
    with wave.open(str(files[0])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8_000, 1, 2)


def test_a_folder_that_cannot_be_is_named(speeches, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SpeakerError, match="cannot be made"):
        WavFolder(tmp_path / "file" / "said")
    folder = WavFolder(tmp_path / "said")
    (tmp_path / "said").rmdir()
    with pytest.raises(SpeakerError, match="said: cannot be written"):
        folder("x", speeches["badminton", "high"])


def test_no_loudspeaker_is_a_sentence_with_a_way_out():
    with pytest.raises(SpeakerError, match=r"name a folder for WAV files|is none of \d+ "):
        Loudspeaker("none of this name")


def event(label="badminton", kind="new", score=0.9, at_ns=0) -> EventMessage:
    began = replace(made.event(kind, label=label), score=score)
    return event_message(began, replace(made.STAMP, epoch_ns=made.STAMP.epoch_ns + at_ns), 1)


@pytest.fixture
def announced(tmp_path):
    return Announce(language="en", folder=str(tmp_path / "said"), minimum_seconds_between=5.0, rate_hz=8_000)


def test_a_sink_says_events_that_begin_and_keeps_their_distance(announced, tmp_path):
    sink = announcements(announced, ["badminton", "golf"])
    second = 10**9
    for kind, label, at in (
        ("new", "badminton", 0),
        ("update", "badminton", 9),
        ("new", "golf", 3),
        ("new", "golf", 9),
    ):
        sink(event(label, kind, at_ns=at * second))
    sink(made.tick())
    sink.close()
    files = sorted(file.name for file in (tmp_path / "said").iterdir())
    assert [file.partition("-")[2] for file in files] == ["badminton.wav", "golf.wav"]
    assert all(re.fullmatch(r"\d{8}T\d{9}Z-[a-z]+\.wav", file) for file in files)


def test_what_polly_said_at_the_start_needs_no_network_later(announced, tmp_path, monkeypatch):
    with polly.running() as server:
        polly.configure(server, tmp_path, monkeypatch)
        sink = announcements(replace(announced, voice="Joanna", engine="neural"), ["badminton"])
        assert {each["VoiceId"] for each in server.requests} == {"Joanna"}
        assert len(server.texts) == 3
    sink(event())  # nobody answers any more
    (file,) = (tmp_path / "said").iterdir()
    with wave.open(str(file)) as said:
        data = said.readframes(said.getnframes())
    assert data == speak("badminton, high confidence", rate_hz=8_000).samples.tobytes()
    announcements(replace(announced, voice="Joanna", engine="neural"), ["badminton"])  # from the cache


def test_the_offline_voice_speaks_where_polly_cannot_only_if_told(announced, tmp_path, monkeypatch, caplog):
    with polly.running() as server:
        polly.configure(server, tmp_path, monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    by_polly = replace(announced, voice="Vicki", language="de")
    with pytest.raises(NotConfiguredError, match="no usable AWS credentials"):
        announcements(by_polly, ["golf"])
    sink = announcements(replace(by_polly, fallback="offline"), ["golf"])
    assert "announcements: the offline voice speaks; Polly: no usable AWS credentials" in caplog.text
    sink(event("golf"))
    (file,) = (tmp_path / "said").iterdir()
    with wave.open(str(file)) as said:
        assert said.getnframes() == len(speak("golf, sehr sicher", voice="de", rate_hz=8_000).samples)


def test_a_template_may_be_ssml(announced, tmp_path):
    words = tmp_path / "words.toml"
    words.write_text("[en.labels]\ngolf = \"<speak>{label}! <break time='1s'/> {confidence}</speak>\"\n")
    sink = announcements(replace(announced, wordings=str(words)), ["golf", "rugby"])
    speeches = sink._announcer._speeches
    assert speeches["golf", "high"].seconds > speeches["rugby", "high"].seconds + 0.5


class Busy:
    def __call__(self, name, _speech):
        msg = f"{name}: is left out"
        raise BusyError(msg)


def test_a_busy_loudspeaker_does_not_break_the_sink(speeches, caplog):
    caplog.set_level("INFO")
    Announcements(Announcer(speeches, 0.0), Busy())(event())
    assert "announcements: " in caplog.text
    assert "is left out" in caplog.text


def test_a_run_announces_each_event_of_a_recording(tmp_path):
    config = tmp_path / "device.toml"
    config.write_text(f'[announce]\nlanguage = "en"\nfolder = "{tmp_path}/said"\nminimum_seconds_between = 0\n')
    match = Path(__file__).parents[2] / "examples" / "match.mp4"
    assert main(["run", str(match), "--config", str(config), "--quiet", "--jsonl", str(tmp_path / "all.jsonl")]) == 0
    messages = map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines())
    began = [m for m in messages if m["schema"] == "event/1" and m["type"] == "new"]
    names = [f"{''.join(c for c in m['start'] if c not in '-:.')}-{m['label']}.wav" for m in began]
    assert len(names) > 1
    assert sorted(file.name for file in (tmp_path / "said").iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ('language = "xx"', "language: 'xx' has no wording; there are de, en, es, fr"),
        ('language = "en"\nlabels = ["chess"]', "announce.labels: 'chess' is none of the bundle's: "),
        ('language = "en"\nwordings = "nowhere.toml"', "nowhere.toml: cannot be read"),
        ('language = "en"\nrate_hz = 10', "announce: rate_hz: must be 8000 to 48000, not 10"),
        ('language = "en"\nfallback = "polly"', "announce.fallback: invalid enum value 'polly'"),
        ('langauge = "en"', "unknown key `announce.langauge`; did you mean `announce.language`?"),
    ],
)
def test_settings_that_cannot_be_are_named_before_anything_is_watched(tmp_path, capsys, settings, sentence):
    config = tmp_path / "device.toml"
    config.write_text(f"[announce]\n{settings}\n")
    match = Path(__file__).parents[2] / "examples" / "match.mp4"
    assert main(["run", str(match), "--config", str(config), "--quiet"]) == 2
    assert sentence in capsys.readouterr().err
