"""Events said aloud: the words, the rate limit, and where the sound goes."""

from __future__ import annotations

import wave

import pytest

from edge.announce import Announcer, render
from edge.loudspeaker import Loudspeaker, SpeakerError, WavFolder
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
