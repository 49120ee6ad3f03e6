"""How loud speech is, and how it begins, ends and joins."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.voice import Speech, VoiceError

CEILING_DBFS = -1.0
"""No sample goes beyond this after normalisation: room for what codecs and lines overshoot."""
LEAST_LUFS, MOST_LUFS = -40.0, -5.0
FADE_SECONDS = 0.005
"""A joint fades this long on both sides: a step between two samples would click."""
PAUSE_SECONDS = 0.3
"""Quiet between two joined pieces, what they bring themselves included: about that between two sentences."""
QUIET = 64
"""Samples up to this, -54 dBFS, count as quiet."""
_MEASURED_SECONDS = 0.8
"""Shorter speech is measured repeated: a block of EBU R128 lasts 0.4 s."""


def peak_dbfs(speech: Speech) -> float:
    """Tell the largest sample in decibels of full scale."""
    peak = np.abs(speech.samples.astype(np.int32)).max(initial=0)
    return float(20 * np.log10(max(peak, 1) / 32768))


def loudness_lufs(speech: Speech) -> float:
    """Measure the integrated loudness of EBU R128, by FFmpeg; -70 for silence."""
    samples = np.resize(speech.samples, max(len(speech.samples), round(_MEASURED_SECONDS * speech.rate_hz)))
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "loudness"
        steps = [("ebur128", "metadata=1"), ("ametadata", f"mode=print:key=lavfi.r128.I:file={told}")]
        _filtered(samples, speech.rate_hz, steps)
        figures = [line for line in told.read_text().splitlines() if line.startswith("lavfi.r128.I=")]
    return float(figures[-1].partition("=")[2])


def normalised(speech: Speech, lufs: float) -> Speech:
    """Bring speech to a loudness; peaks that would pass the ceiling are limited, and what is lost is made up for."""
    if not LEAST_LUFS <= lufs <= MOST_LUFS:
        msg = f"loudness: must be {LEAST_LUFS:g} to {MOST_LUFS:g} LUFS, not {lufs:g}"
        raise VoiceError(msg)
    gain, limit = lufs - loudness_lufs(speech), 10 ** (CEILING_DBFS / 20)
    louder = speech
    for _ in range(3):
        steps = [
            ("volume", f"volume={gain}dB"),
            ("alimiter", f"limit={limit}:level=false:latency=true"),
            ("aformat", "sample_fmts=s16:channel_layouts=mono"),
        ]
        louder = Speech(_filtered(speech.samples, speech.rate_hz, steps), speech.rate_hz)
        missing = lufs - loudness_lufs(louder)
        if abs(missing) < 0.1:
            break
        gain += missing
    return louder


def padded(speech: Speech, before_seconds: float, after_seconds: float) -> Speech:
    """Put silence before and after."""
    widths = (round(before_seconds * speech.rate_hz), round(after_seconds * speech.rate_hz))
    return Speech(np.pad(speech.samples, widths), speech.rate_hz)


def joined(pieces: Sequence[Speech]) -> Speech:
    """Join pieces of one text, all of one rate: no clicks, and between them the pause of a sentence's end."""
    if len(pieces) == 1:
        return pieces[0]
    rate_hz = pieces[0].rate_hz
    parts = [_faded(pieces[0].samples, rate_hz)]
    for before, after in pairwise(pieces):
        quiet = _quiet_samples(before.samples[::-1]) + _quiet_samples(after.samples)
        parts.append(np.zeros(max(0, round(PAUSE_SECONDS * rate_hz) - quiet), np.int16))
        parts.append(_faded(after.samples, rate_hz))
    return Speech(np.concatenate(parts), rate_hz)


def _quiet_samples(samples: NDArray[np.int16]) -> int:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    return int(loud[0]) if len(loud) else len(samples)


def _faded(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    length = min(round(FADE_SECONDS * rate_hz), len(samples))
    shape = np.ones(len(samples))
    shape[:length] *= np.arange(length) / length
    shape[len(samples) - length :] *= np.arange(length)[::-1] / length
    return (samples * shape).astype(np.int16)


def _filtered(samples: NDArray[np.int16], rate_hz: int, steps: Sequence[tuple[str, str]]) -> NDArray[np.int16]:
    """Send samples through filters of FFmpeg; what comes out is int16 only if the last of them makes it so."""
    graph = av.filter.Graph()
    last = graph.add_abuffer(sample_rate=rate_hz, format="s16", layout="mono")
    for name, options in [*steps, ("abuffersink", "")]:
        step = graph.add(name, options)
        last.link_to(step)
        last = step
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = rate_hz
    graph.push(frame)
    graph.push(None)
    out = []
    while True:
        try:
            out.append(graph.pull().to_ndarray()[0])
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(out)
