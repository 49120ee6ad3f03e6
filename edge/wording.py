"""The words of announcements: sentences for each label and language."""

from __future__ import annotations

import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .strict import StrictError, strict

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
