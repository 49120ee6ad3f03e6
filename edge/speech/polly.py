"""Amazon Polly through boto3: pieces of text become speech, each paid for once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.voice import Speech, VoiceError

from .cache import cache_key, keep, kept
from .pace import QUOTAS, Pace
from .refusals import UnavailableError, of_client, of_service
from .voices import MOST_LEXICONS, Voice

RATES_HZ = (8_000, 16_000)
"""What Polly gives as PCM."""
ATTEMPTS = 6
"""Of a request that is throttled or fails on the way, with growing pauses between: half a minute in all."""
LONGEST_SECONDS = 600.0
"""Polly cuts speech off after ten minutes."""


@dataclass(frozen=True)
class PollyVoice:
    """A voice as Polly lists it."""

    name: str
    language: str
    language_name: str
    gender: str
    engines: tuple[str, ...]
    also: tuple[str, ...] = ()
    """Other languages it speaks."""


@dataclass(frozen=True)
class Lexicon:
    """A pronunciation lexicon of the account in its region; `modified` changes with its content."""

    name: str
    language: str
    lexemes: int
    modified: str


class Polly:
    """Polly in a region, by default that of the AWS configuration, with a folder for what was paid for.

    Threads may share it. Once Polly could not be used, the same object asks no more: every call raises that error.
    """

    def __init__(self, region: str = "", cache: Path | None = None) -> None:
        self._region, self._cache = region, cache
        self._paces = {engine: Pace(quota) for engine, quota in QUOTAS.items()}
        self._in_flight = {engine: threading.Semaphore(quota.in_flight) for engine, quota in QUOTAS.items()}
        self._lock = threading.RLock()
        self._turns: dict[str, threading.Lock] = {}
        self._client: Any = None
        self._down: UnavailableError | None = None
        self._stamps: dict[str, str] | None = None

    def __call__(self, piece: str, voice: Voice, rate_hz: int, *, ssml: bool) -> tuple[Speech, int]:
        """Say a piece within the limits of a request; also tell how many characters Polly billed, 0 from the cache."""
        key = self._key(piece, voice, rate_hz, ssml=ssml)
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:  # who asks for the same meanwhile finds it in the cache
            speech = kept(self._cache, key)
            return (speech, 0) if speech is not None else self._ask(piece, voice, rate_hz, key=key, ssml=ssml)

    def is_kept(self, piece: str, voice: Voice, rate_hz: int, *, ssml: bool) -> bool:
        """Tell whether a piece would cost nothing."""
        return kept(self._cache, self._key(piece, voice, rate_hz, ssml=ssml)) is not None

    def voices(self) -> list[PollyVoice]:
        """List the voices of the region."""
        return [
            PollyVoice(
                name=str(each["Id"]),
                language=str(each["LanguageCode"]),
                language_name=str(each.get("LanguageName", "")),
                gender=str(each.get("Gender", "")),
                engines=tuple(each.get("SupportedEngines", ())),
                also=tuple(each.get("AdditionalLanguageCodes", ())),
            )
            for each in self._pages("describe_voices", "Voices")
        ]

    def lexicons(self) -> list[Lexicon]:
        """List the account's lexicons in the region."""
        return [
            Lexicon(
                name=str(each["Name"]),
                language=str(each["Attributes"].get("LanguageCode", "")),
                lexemes=int(each["Attributes"].get("LexemesCount", 0)),
                modified=str(each["Attributes"].get("LastModified", "")),
            )
            for each in self._pages("list_lexicons", "Lexicons")
        ]

    def _ask(self, piece: str, voice: Voice, rate_hz: int, *, key: str, ssml: bool) -> tuple[Speech, int]:
        with self._in_flight[voice.engine], self._asking(voice) as client:
            self._paces[voice.engine]()
            answer = client.synthesize_speech(**_request(piece, voice, rate_hz, ssml=ssml))
            data = answer["AudioStream"].read()
        if len(data) < 2 or len(data) % 2:
            msg = f"Polly: sent {len(data)} bytes, which are no whole samples; try again"
            raise UnavailableError(msg)
        speech = Speech(np.frombuffer(data, "<i2").astype(np.int16), rate_hz)
        if speech.seconds >= LONGEST_SECONDS - 1:
            msg = f"text: {piece[:40]!r}... lasts over 10 minutes, where Polly cuts off; make it two"
            raise VoiceError(msg)
        keep(self._cache, key, speech)
        return speech, int(answer.get("RequestCharacters", len(piece)))

    def _key(self, piece: str, voice: Voice, rate_hz: int, *, ssml: bool) -> str:
        stamps = [self._stamp(name) for name in voice.lexicons]
        return cache_key({"text": piece, "ssml": ssml, "rate_hz": rate_hz, "stamps": stamps, **asdict(voice)})

    def _stamp(self, name: str) -> str:
        """Tell which version of a lexicon is in force: what it says differently must be said anew."""
        with self._lock:
            if self._stamps is None:
                self._stamps = {lexicon.name: lexicon.modified for lexicon in self.lexicons()}
        if name not in self._stamps:
            msg = f"lexicon {name!r}: is none of the region's: {', '.join(self._stamps) or 'it has none'}"
            raise VoiceError(msg)
        return self._stamps[name]

    def _pages(self, operation: str, key: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            with self._asking(Voice()) as client:
                page = getattr(client, operation)(**more)
            yield from page[key]
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _connected(self) -> Any:  # noqa: ANN401 - boto3 has no types
        """Give the client that all threads use; one of them makes it."""
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config

                settings = Config(
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                    connect_timeout=5,
                    read_timeout=60,
                    max_pool_connections=max(quota.in_flight for quota in QUOTAS.values()),
                )
                session = boto3.session.Session(region_name=self._region or None)
                self._client = session.client("polly", config=settings)
            return self._client

    @contextmanager
    def _asking(self, voice: Voice) -> Iterator[Any]:
        """Give the client; what it raises becomes a sentence, and that Polly cannot be used is remembered."""
        from botocore.exceptions import BotoCoreError, ClientError

        if self._down is not None:
            raise self._down
        try:
            yield self._connected()
        except ClientError as error:
            meta = self._connected().meta
            voices = meta.service_model.shape_for("VoiceId").enum
            raise self._remembered(of_service(error.response, voice, meta.region_name, voices)) from None
        except BotoCoreError as error:
            region = self._region if self._client is None else self._client.meta.region_name
            raise self._remembered(of_client(error, region)) from None

    def _remembered(self, error: VoiceError) -> VoiceError:
        if isinstance(error, UnavailableError):
            self._down = error
        return error


def _request(piece: str, voice: Voice, rate_hz: int, *, ssml: bool) -> dict[str, Any]:
    if len(voice.lexicons) > MOST_LEXICONS:
        msg = f"lexicons: at most {MOST_LEXICONS} go with a text, not {len(voice.lexicons)}"
        raise VoiceError(msg)
    return {
        "Text": piece,
        "TextType": "ssml" if ssml else "text",
        "OutputFormat": "pcm",
        "SampleRate": str(rate_hz),
        "VoiceId": voice.name,
        "Engine": voice.engine,
        **({"LanguageCode": voice.language} if voice.language else {}),
        **({"LexiconNames": list(voice.lexicons)} if voice.lexicons else {}),
    }
