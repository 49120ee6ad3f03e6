"""The real boto3 against a Polly on loopback: requests, errors, the cache, the pace."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from edge.speech.cache import cache_folder
from edge.speech.pace import QUOTAS, Pace, Quota
from edge.speech.polly import ATTEMPTS, Polly
from edge.speech.refusals import NotConfiguredError, UnavailableError
from edge.speech.say import planned, say
from edge.speech.voices import Voice
from edge.voice import VoiceError, speak

NOBODY = "http://127.0.0.1:9"
HELLO = "Hello, and welcome."


@pytest.fixture
def polly(polly_server):  # noqa: ARG001 - it is running
    return Polly(cache=cache_folder())


def test_speech_comes_as_polly_gave_it_and_is_paid_for_once(polly, polly_server):
    said = say(HELLO, Voice("Joanna", "neural"), 16_000, polly=polly)
    assert (said.requests, said.billed, said.kept) == (1, len(HELLO), 0)
    assert (said.speech.samples == speak(HELLO, rate_hz=16_000).samples).all()
    (asked,) = polly_server.requests
    assert asked.pop("Authorization").startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert asked == {
        "Text": HELLO, "TextType": "text", "OutputFormat": "pcm", "SampleRate": "16000",
        "VoiceId": "Joanna", "Engine": "neural",
    }  # fmt: skip
    again = say(HELLO, Voice("Joanna", "neural"), 16_000, polly=Polly(cache=cache_folder()))
    assert (again.requests, again.billed, again.kept) == (0, 0, 1)
    assert (again.speech.samples == said.speech.samples).all()
    assert len(polly_server.texts) == 1


def test_whatever_changes_the_sound_is_paid_for_anew(polly, polly_server):
    voices = [Voice(), Voice("Joanna"), Voice(engine="neural"), Voice(language="en-US"), Voice(lexicons=("sports",))]
    for voice in voices:
        say(HELLO, voice, 8_000, polly=polly)
    say(HELLO, Voice(), 16_000, polly=polly)
    say(f"<speak>{HELLO}</speak>", Voice(), 8_000, polly=polly)
    assert len(polly_server.texts) == 7
    for voice in voices:
        say(HELLO, voice, 8_000, polly=polly)
    assert len(polly_server.texts) == 7
    polly_server.lexicons["sports"] = "2026-11-02T00:00:00+00:00"  # its content changed
    say(HELLO, Voice(lexicons=("sports",)), 8_000, polly=Polly(cache=cache_folder()))
    assert len(polly_server.texts) == 8
    assert polly_server.requests[-1]["LexiconNames"] == ["sports"]


def test_what_is_damaged_in_the_cache_is_paid_for_anew(polly):
    say(HELLO, Voice(), 8_000, polly=polly)
    (file,) = cache_folder().rglob("*.wav")
    file.write_bytes(file.read_bytes()[:-10])
    assert say(HELLO, Voice(), 8_000, polly=polly).requests == 1
    assert say(HELLO, Voice(), 8_000, polly=polly).requests == 0
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == [file]


@pytest.mark.usefixtures("polly_server")
def test_without_a_cache_nothing_is_kept():
    polly = Polly(cache=cache_folder("none"))
    assert [say(HELLO, Voice(), 8_000, polly=polly).requests for _ in range(2)] == [1, 1]
    assert not list(cache_folder().rglob("*.wav"))


def test_a_long_text_takes_several_requests_and_sounds_as_one(polly, polly_server):
    polly_server.speech = (np.sin(np.arange(8_000) / 5) * 9_000).astype("<i2").tobytes()
    text = "".join(f"Sentence {k} of the long text. " for k in range(300))
    progress = []
    said = say(text, Voice(), 8_000, polly=polly, progress=lambda *at: progress.append(at))
    assert (said.requests, progress[-1]) == (4, (4, 4))
    assert sum(map(len, polly_server.texts)) == len(text.strip()) - 3
    assert said.speech.seconds == pytest.approx(4 + 3 * 0.3, abs=0.01)


def test_a_plan_costs_nothing_and_is_what_is_billed_then(polly, polly_server):
    text = "<speak>One <break time='1s'/> two.</speak>"
    assert planned(text, Voice(), 8_000, polly=polly) == (1, len("One  two."))
    assert polly_server.texts == []
    say(text, Voice(), 8_000, polly=polly)
    assert planned(text, Voice(), 8_000, polly=polly) == (0, 0)


def test_voices_and_lexicons_are_listed_over_all_pages(polly):
    assert [voice.name for voice in polly.voices()] == ["Joanna", "Matthew", "Vicki", "Aditi"]
    assert polly.voices()[3].also == ("hi-IN",)
    assert [(each.name, each.lexemes) for each in polly.lexicons()] == [("sports", 3)]


@pytest.mark.parametrize(
    ("refusal", "kind", "sentence"),
    [
        ((400, "TextLengthExceededException", "Maximum"), VoiceError, "text: is too long for Polly (Maximum)"),
        ((400, "InvalidSsmlException", "Invalid request"), VoiceError, "SSML: Polly refuses it (Invalid request)"),
        ((404, "LexiconNotFoundException", "gone"), VoiceError, "lexicon: region eu-west-1 has none of "),
        ((400, "LanguageNotSupportedException", "no"), VoiceError, "language '': Matthew does not speak it"),
        ((400, "EngineNotSupportedException", "no"), VoiceError, "voice 'Matthew': has no engine standard in region"),
        ((400, "InvalidSampleRateException", "The specified rate"), VoiceError, "Polly: The specified rate"),
        ((403, "UnrecognizedClientException", "bad"), NotConfiguredError, "(AWS does not know them); set AWS_ACCESS_"),
        ((403, "ExpiredTokenException", "expired"), NotConfiguredError, "(they have expired); set AWS_ACCESS_KEY_ID"),
        ((403, "AccessDeniedException", "User x may not"), NotConfiguredError, "may not use it (User x may not)"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)  # fmt: skip
def test_each_error_is_one_clear_sentence(polly, polly_server, refusal, kind, sentence):
    polly_server.refusals = [refusal]
    with pytest.raises(VoiceError) as refused:
        say(HELLO, Voice(), 8_000, polly=polly)
    assert type(refused.value) is kind
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(polly_server.texts) == 1


def test_unknown_voices_and_engines_are_named_with_the_nearest(polly):
    with pytest.raises(VoiceError, match=r"voice 'Mathew': Polly has no such voice; did you mean Matthew\?"):
        say(HELLO, Voice("Mathew"), 8_000, polly=polly)
    with pytest.raises(VoiceError, match="voice 'Vicki': has no engine generative in region eu-west-1"):
        say(HELLO, Voice("Vicki", "generative"), 8_000, polly=polly)
    with pytest.raises(VoiceError, match="lexicon 'music': is none of the region's: sports"):
        say(HELLO, Voice(lexicons=("music",)), 8_000, polly=polly)
    with pytest.raises(VoiceError, match="at most 5 go with a text, not 6"):
        say(HELLO, Voice(lexicons=("sports",) * 6), 8_000, polly=polly)


@pytest.fixture
def no_waiting(monkeypatch):
    """The pauses of botocore, without waiting for them."""
    from botocore import endpoint

    pauses = []

    class Clock:
        sleep = staticmethod(pauses.append)
        time = staticmethod(time.time)

    monkeypatch.setattr(endpoint, "time", Clock)
    return pauses


def test_throttled_requests_are_tried_again_with_growing_pauses(polly, polly_server, no_waiting):
    polly_server.refusals = [(400, "ThrottlingException", "Rate exceeded")] * (ATTEMPTS - 1)
    assert say(HELLO, Voice(), 8_000, polly=polly).requests == 1
    assert len(polly_server.texts) == ATTEMPTS
    assert len(no_waiting) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ((400, "ThrottlingException", "Rate exceeded"), "Polly: too many requests in region eu-west-1, after several"),
        ((500, "ServiceFailureException", "internal"), "Polly: failed in region eu-west-1 (internal); try again later"),
    ],
)  # fmt: skip
def test_what_lasts_is_said_and_polly_is_not_asked_again(polly, polly_server, no_waiting, refusal, sentence):
    polly_server.refusals = [refusal] * 50
    for _ in range(2):
        with pytest.raises(UnavailableError) as refused:
            say(HELLO, Voice(), 8_000, polly=polly)
        assert str(refused.value).startswith(sentence)
    assert len(polly_server.texts) == ATTEMPTS
    assert len(no_waiting) == ATTEMPTS - 1


def test_an_answer_that_is_no_samples_is_refused(polly, polly_server):
    polly_server.speech = b"\0\0\0"
    with pytest.raises(UnavailableError, match="sent 3 bytes, which are no whole samples"):
        say(HELLO, Voice(), 8_000, polly=polly)
    polly_server.speech = bytes(2 * 8_000 * 600)
    with pytest.raises(VoiceError, match="lasts over 10 minutes, where Polly cuts off"):
        say(HELLO, Voice(), 8_000, polly=Polly(cache=cache_folder()))


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [
        ({"AWS_ACCESS_KEY_ID": None}, NotConfiguredError, "Polly: no usable AWS credentials ("),
        ({"AWS_DEFAULT_REGION": None}, NotConfiguredError, "Polly: no region; give --region or set AWS_DEFAULT_REGION"),
        ({"AWS_PROFILE": "work"}, NotConfiguredError, "(The config profile (work) could not be found); set AWS_"),
        (
            {"AWS_DEFAULT_REGION": "mars-1", "AWS_ENDPOINT_URL_POLLY": NOBODY},
            NotConfiguredError,
            "region 'mars-1': Polly is not there; it is in af-south-1",
        ),
        (
            {"AWS_ENDPOINT_URL_POLLY": NOBODY},
            UnavailableError,
            f"Polly: no answer from {NOBODY}/v1/speech (could not connect)",
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_waiting")
def test_what_is_not_configured_and_no_network_are_sentences(polly, monkeypatch, settings, kind, sentence):
    for name, value in settings.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(VoiceError) as refused:
        say(HELLO, Voice(), 8_000, polly=polly)
    assert type(refused.value) is kind
    assert sentence in str(refused.value)
    fallback = say(HELLO, Voice(), 8_000, polly=Polly(), fallback=Voice("offline"))
    assert fallback.instead_of == str(refused.value)
    assert (fallback.speech.samples == speak(HELLO, rate_hz=8_000).samples).all()


def test_the_offline_voice_needs_nobody(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_POLLY", "http://127.0.0.1:9")
    said = say("Guten Tag.", Voice("offline", language="de"), 8_000, polly=None)
    assert (said.requests, said.instead_of) == (0, "")
    assert (said.speech.samples == speak("Guten Tag.", voice="de", rate_hz=8_000).samples).all()
    assert (Voice("offline:en-us").espeak, Voice("offliner").offline) == ("en-us", False)


def test_a_mistake_is_no_reason_for_the_fallback(polly):
    with pytest.raises(VoiceError, match="Polly has no such voice"):
        say(HELLO, Voice("Nobody"), 8_000, polly=polly, fallback=Voice("offline"))


def test_a_quota_is_kept():
    now, turns = [0.0], []

    def sleep(seconds):
        now[0] += seconds

    pace = Pace(Quota(8, 10, 18), lambda: now[0], sleep)
    for _ in range(50):
        pace()
        turns.append(now[0])
    assert turns[:10] == [0.0] * 10
    assert all(after - before == pytest.approx(1 / 8) for before, after in pairwise(turns[9:]))


def test_threads_share_the_quota(polly, polly_server):
    polly_server.speech = bytes(1_600)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: polly(f"text {k}", Voice(engine="neural"), 8_000, ssml=False), range(20)))
    times = sorted(polly_server.times)
    assert times[19] - times[0] >= 0.8 * 10 / QUOTAS["neural"].per_second
    assert polly_server.at_once <= 8


def test_a_cache_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(VoiceError, match=r"file/x: cannot be made .*; name another, or none"):
        cache_folder(str(tmp_path / "file" / "x"))


@pytest.mark.usefixtures("polly_server")
def test_a_cache_that_cannot_be_written_costs_no_speech(tmp_path, caplog):
    folder = tmp_path / "cache-of-mine"
    polly = Polly(cache=cache_folder(str(folder)))
    folder.rmdir()
    folder.touch()
    assert say(HELLO, Voice(), 8_000, polly=polly).requests == 1
    assert "cannot be written" in caplog.text
