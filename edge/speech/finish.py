"""From speech to the bytes of a file: loudness, silence, format."""

from __future__ import annotations

from dataclasses import dataclass

from edge.voice import Speech, VoiceError

from .formats import Format
from .levels import normalised, padded
from .wav import encode

LONGEST_SILENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Finish:
    """What a file is to be: its format, the silence around, its loudness in LUFS (None: as the voice gives it)."""

    format: Format
    before_seconds: float = 0.0
    after_seconds: float = 0.0
    lufs: float | None = None

    def __post_init__(self) -> None:
        for seconds in (self.before_seconds, self.after_seconds):
            if not 0 <= seconds <= LONGEST_SILENCE_SECONDS:
                msg = f"silence: must be 0 to {LONGEST_SILENCE_SECONDS:g} seconds, not {seconds:g}"
                raise VoiceError(msg)


def finished(speech: Speech, finish: Finish) -> tuple[Speech, bytes]:
    """Give speech as it will be heard, and the file that holds it."""
    if finish.lufs is not None:
        speech = normalised(speech, finish.lufs)
    speech = padded(speech, finish.before_seconds, finish.after_seconds)
    return speech, encode(speech, finish.format)
