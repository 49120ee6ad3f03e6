"""Says events aloud: sentences for each label and language, rendered beforehand, and not too many of them."""

from __future__ import annotations

import string
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .strict import StrictError, strict
from .voice import RATE_HZ, Speech, speak

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Confidence = Literal["high", "medium", "low"]
CONFIDENCES: tuple[Confidence, ...] = ("high", "medium", "low")
HIGH, MEDIUM = 0.8, 0.5
"""Scores from which on an event is announced with high and with medium confidence."""
FIELDS = {"label", "confidence"}


class AnnounceError(Exception):
    """Announcements that cannot be made as configured; the message names the file or field."""


@dataclass(frozen=True)
class Wording:
    """How events are said in a language: `sentence`, or a label's own in `labels`, of {label} and {confidence}.

    `voice` is the one of espeak-ng that says it; empty: that of the language's name.
    """

    sentence: str = "{label}, {confidence}"
    high: str = "high confidence"
    medium: str = "medium confidence"
    low: str = "low confidence"
    labels: dict[str, str] = field(default_factory=dict)
    voice: str = ""

    def say(self, label: str, confidence: Confidence) -> str:
        """Word an event."""
        template = self.labels.get(label, self.sentence)
        return template.format(label=label.replace("_", " ").replace("-", " "), confidence=getattr(self, confidence))


WORDINGS: Mapping[str, Wording] = {
    "en": Wording(),
    "de": Wording(high="sehr sicher", medium="ziemlich sicher", low="unsicher"),
    "es": Wording(high="confianza alta", medium="confianza media", low="confianza baja"),
    "fr": Wording(high="confiance élevée", medium="confiance moyenne", low="confiance faible"),
}


def read_wordings(path: str | Path) -> dict[str, Wording]:
    """Read a TOML file of a table for each language, over those known; AnnounceError names file and key.

    For example `[de]`, `high = "ganz sicher"`, `[de.labels]`, `badminton = "Federball, {confidence}"`.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        read = {language: strict(table, Wording) for language, table in raw.items()}
    except OSError as error:
        msg = f"{path}: cannot be read ({(error.strerror or str(error)).lower()})"
        raise AnnounceError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, StrictError) as error:
        msg = f"{path}: {error}"
        raise AnnounceError(msg) from None
    for language, wording in read.items():
        for key, template in {"sentence": wording.sentence, **wording.labels}.items():
            _check(template, f"{path}: {language}: {key}")
    return {**WORDINGS, **read}


def wording_of(language: str, wordings: Mapping[str, Wording] = WORDINGS) -> Wording:
    """Find a language's wording; AnnounceError lists the languages that there are."""
    try:
        return wordings[language]
    except KeyError:
        msg = f"language: {language!r} has no wording; there are {', '.join(sorted(wordings))}"
        raise AnnounceError(msg) from None


def render(
    labels: Iterable[str], language: str, wording: Wording, rate_hz: int = RATE_HZ
) -> dict[tuple[str, Confidence], Speech]:
    """Say every label with every confidence, so that no program is needed later; VoiceError says why not."""
    voice = wording.voice or language
    return {
        (label, confidence): speak(wording.say(label, confidence), voice=voice, rate_hz=rate_hz)
        for label in labels
        for confidence in CONFIDENCES
    }


class Announcer:
    """Chooses the speech for an event that begins, at most one in `minimum_seconds_between`.

    `suppressed` counts those that came too soon, `unknown` holds labels that were not rendered.
    """

    def __init__(self, speeches: Mapping[tuple[str, Confidence], Speech], minimum_seconds_between: float) -> None:
        self._speeches = speeches
        self.minimum_seconds_between = minimum_seconds_between
        self._said_at = float("-inf")
        self.suppressed = 0
        self.unknown: set[str] = set()

    def push(self, label: str, score: float, now_seconds: float) -> list[Speech]:
        """Take an event that begins; times are of a monotonic clock."""
        speech = self._speeches.get((label, confidence_of(score)))
        if speech is None:
            self.unknown.add(label)
            return []
        if now_seconds - self._said_at < self.minimum_seconds_between:
            self.suppressed += 1
            return []
        self._said_at = now_seconds
        return [speech]

    def flush(self) -> list[Speech]:
        """Nothing is kept back: what comes too soon is never said."""
        return []


def confidence_of(score: float) -> Confidence:
    """Put a score into words; one that is no number is low."""
    return "high" if score >= HIGH else "medium" if score >= MEDIUM else "low"


def _check(template: str, where: str) -> None:
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        msg = f"{where}: {error}"
        raise AnnounceError(msg) from None
    if not fields <= FIELDS:
        msg = f"{where}: may hold {{label}} and {{confidence}}, not {{{min(fields - FIELDS)}}}"
        raise AnnounceError(msg)
