"""Which voices and lexicons there are, as rows of a table."""

from __future__ import annotations

import subprocess

from edge.voice import PROGRAM, VoiceError

from .polly import Polly
from .voices import Engine


def polly_voices(region: str, *, language: str = "", engine: Engine | None = None) -> list[dict[str, str]]:
    """List the voices of Polly in a region that speak a language (`en`, `en-GB`), and that an engine says."""
    return [
        {
            "voice": voice.name,
            "language": ", ".join((voice.language, *voice.also)),
            "name": voice.language_name,
            "gender": voice.gender,
            "engines": ", ".join(voice.engines),
        }
        for voice in sorted(Polly(region).voices(), key=lambda voice: (voice.language, voice.name))
        if any(_speaks(spoken, language) for spoken in (voice.language, *voice.also))
        and (engine is None or engine in voice.engines)
    ]


def lexicons(region: str) -> list[dict[str, str]]:
    """List the lexicons stored in a region."""
    return [
        {"lexicon": each.name, "language": each.language, "lexemes": str(each.lexemes), "modified": each.modified}
        for each in Polly(region).lexicons()
    ]


def offline_voices(language: str = "") -> list[dict[str, str]]:
    """List the voices of espeak-ng; VoiceError if it is not installed."""
    try:
        listed = subprocess.run([PROGRAM, "--voices"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        msg = f"{PROGRAM} is not installed, and is the offline voice: apt-get install {PROGRAM}"
        raise VoiceError(msg) from None
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    return [
        {"voice": f"offline:{row[1]}", "language": row[1], "name": row[3].replace("_", " ")}
        for row in rows
        if _speaks(row[1], language)
    ]


def _speaks(spoken: str, language: str) -> bool:
    return f"{spoken.lower()}-".startswith(f"{language.lower()}-" if language else "")
