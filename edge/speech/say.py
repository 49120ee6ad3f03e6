"""Says a text or SSML: cut into pieces, said by Polly or offline, joined."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from edge.voice import Speech, VoiceError, resampled, speak

from .levels import joined
from .pieces import billed_characters, ssml_pieces, text_pieces
from .polly import RATES_HZ, Polly
from .refusals import UnavailableError
from .ssml import is_ssml, read
from .voices import Voice

PARALLEL = 8
"""Pieces, or texts, that are said at once."""


@dataclass(frozen=True)
class Said:
    """Speech, by whom, and what it took: `requests` to Polly with `billed` characters, and pieces that were `kept`.

    `instead_of` says why it is not the voice that was asked for; empty: it is.
    """

    speech: Speech
    voice: Voice
    requests: int = 0
    billed: int = 0
    kept: int = 0
    instead_of: str = ""


def pieces_of(text: str, voice: Voice, *, ssml: bool | None = None) -> tuple[list[str], bool]:
    """Check a text and cut it for one request each; also tell whether it is SSML, which None leaves to be found out."""
    ssml = is_ssml(text) if ssml is None else ssml
    if not ssml:
        return text_pieces(text), False
    return ssml_pieces(text, read(text, None if voice.offline else voice.engine)), True


def say(
    text: str,
    voice: Voice,
    rate_hz: int,
    *,
    polly: Polly | None,
    ssml: bool | None = None,
    fallback: Voice | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Said:
    """Say a text at a sample rate; where Polly cannot be used, `fallback`, an offline voice, says it.

    Raises VoiceError if it cannot be said as asked, UnavailableError if Polly cannot be used.
    """
    pieces, ssml = pieces_of(text, voice, ssml=ssml)
    if voice.offline:
        return _offline(pieces, voice, rate_hz, ssml=ssml, progress=progress)
    if polly is None:
        msg = f"voice {voice.name!r}: needs Polly"
        raise VoiceError(msg)
    try:
        return _by_polly(pieces, voice, rate_hz, polly=polly, ssml=ssml, progress=progress)
    except UnavailableError as error:
        if fallback is None:
            raise
        said = _offline(pieces, fallback, rate_hz, ssml=ssml, progress=progress)
        return replace(said, instead_of=str(error))


def planned(text: str, voice: Voice, rate_hz: int, *, polly: Polly, ssml: bool | None = None) -> tuple[int, int]:
    """Tell how many requests a text would take, and how many characters would be billed."""
    pieces, ssml = pieces_of(text, voice, ssml=ssml)
    if voice.offline:
        return 0, 0
    new = [piece for piece in pieces if not polly.is_kept(piece, voice, _polly_rate(rate_hz), ssml=ssml)]
    return len(new), sum(billed_characters(piece, ssml=ssml) for piece in new)


def _by_polly(
    pieces: list[str],
    voice: Voice,
    rate_hz: int,
    *,
    polly: Polly,
    ssml: bool,
    progress: Callable[[int, int], None],
) -> Said:
    answers = []
    with ThreadPoolExecutor(min(PARALLEL, len(pieces))) as pool:
        try:
            for answer in pool.map(partial(polly, voice=voice, rate_hz=_polly_rate(rate_hz), ssml=ssml), pieces):
                answers.append(answer)
                progress(len(answers), len(pieces))
        finally:
            pool.shutdown(cancel_futures=True)
    speech = joined([each for each, _ in answers])
    requests = sum(billed > 0 for _, billed in answers)
    return Said(
        speech if speech.rate_hz == rate_hz else resampled(speech, rate_hz),
        voice,
        requests=requests,
        billed=sum(billed for _, billed in answers),
        kept=len(pieces) - requests,
    )


def _offline(
    pieces: list[str], voice: Voice, rate_hz: int, *, ssml: bool, progress: Callable[[int, int], None]
) -> Said:
    speeches = []
    for piece in pieces:
        speeches.append(speak(piece, voice=voice.espeak, rate_hz=rate_hz, ssml=ssml))
        progress(len(speeches), len(pieces))
    return Said(joined(speeches), voice)


def _polly_rate(rate_hz: int) -> int:
    return next((rate for rate in RATES_HZ if rate >= rate_hz), RATES_HZ[-1])
