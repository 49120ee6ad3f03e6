"""What the synthetic sports sound like: every sound can be heard in each second of a recording."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Rng = np.random.Generator
Synth = Callable[[Rng, int, int], Samples]  # (rng, sample count, sample rate in Hz) -> about -1 to 1
Grain = Callable[[Rng, int], Samples]  # (rng, sample rate in Hz) -> one hit


def compose(source: Synth, rng: Rng, *, seconds: float, sample_rate_hz: int) -> Samples:
    """One recording's sound: the source over a crowd, sometimes a commentator, at a level of its own."""
    count = round(seconds * sample_rate_hz)
    if count == 0:
        return np.zeros(0, np.float32)
    mix = _levelled(source(rng, count, sample_rate_hz))
    mix = mix + rng.uniform(0.05, 0.3) * _levelled(_crowd(rng, count, sample_rate_hz))
    if rng.random() < 0.35:
        mix = mix + rng.uniform(0.05, 0.25) * _levelled(_commentary(rng, count, sample_rate_hz))
    level = rng.uniform(0.25, 0.9) / max(float(np.abs(mix).max()), 1e-6)
    return (level * mix).astype(np.float32)


def _levelled(sound: Samples) -> Samples:
    # By the loud part, not by power: rare short hits would otherwise drown in the crowd's steady noise.
    loud = float(np.quantile(np.abs(sound), 0.995))
    return np.asarray(sound / max(loud, 1e-6), np.float32)


def _band(rng: Rng, count: int, rate_hz: int, low_hz: float, high_hz: float) -> Samples:
    """White noise between two frequencies, with unit power."""
    spectrum = np.fft.rfft(rng.standard_normal(count).astype(np.float32))
    frequency_hz = np.fft.rfftfreq(count, 1 / rate_hz)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0
    noise = np.fft.irfft(spectrum, count).astype(np.float32)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _seconds(count: int, rate_hz: int) -> Samples:
    return np.asarray(np.arange(count) / rate_hz, np.float32)


def _swell(rng: Rng, count: int, rate_hz: int, per_second: float) -> Samples:
    """A slow 0-to-1 wave with its own phase."""
    phase = 2 * np.pi * (per_second * rng.uniform(0.85, 1.15) * _seconds(count, rate_hz) + rng.random())
    return np.asarray(0.5 + 0.5 * np.sin(phase), np.float32)


def _hits(rng: Rng, count: int, rate_hz: int, *, per_second: float, grain: Grain) -> Samples:
    """Grains at a nearly regular pace that differs between recordings."""
    sound = np.zeros(count, np.float32)
    step_seconds = 1 / (per_second * rng.uniform(0.85, 1.2))
    at_seconds = rng.uniform(0, step_seconds)
    while (start := round(at_seconds * rate_hz)) < count:
        hit = rng.uniform(0.6, 1.0) * grain(rng, rate_hz)
        sound[start : start + len(hit)] += hit[: count - start]
        at_seconds += step_seconds * rng.uniform(0.75, 1.25)
    return sound


def _ping(*partials_hz: float, decay_seconds: float) -> Grain:
    """A struck body: partials that die away together."""

    def grain(rng: Rng, rate_hz: int) -> Samples:
        time = _seconds(round(6 * decay_seconds * rate_hz), rate_hz)
        tune = rng.uniform(0.93, 1.07)
        tones = [np.sin(2 * np.pi * tune * hz * time) / (1 + place) for place, hz in enumerate(partials_hz)]
        return np.asarray(sum(tones) * np.exp(-time / decay_seconds), np.float32)

    return grain


def _burst(low_hz: float, high_hz: float, *, decay_seconds: float) -> Grain:
    """A slap or crash: noise that dies away."""

    def grain(rng: Rng, rate_hz: int) -> Samples:
        count = round(6 * decay_seconds * rate_hz)
        fall = np.exp(-_seconds(count, rate_hz) / decay_seconds)
        return np.asarray(0.5 * _band(rng, count, rate_hz, low_hz, high_hz) * fall, np.float32)

    return grain


def _glide(start_hz: float, stop_hz: float, *, seconds: float) -> Grain:
    """A tone that slides from one pitch to another."""

    def grain(rng: Rng, rate_hz: int) -> Samples:
        time = _seconds(round(seconds * rate_hz), rate_hz)
        tune = rng.uniform(0.93, 1.07)
        pitch_hz = tune * (start_hz + (stop_hz - start_hz) * time / seconds)
        return np.asarray(
            np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz) * np.sin(np.pi * time / seconds), np.float32
        )

    return grain


def _rattle(rng: Rng, rate_hz: int) -> Samples:
    return _hits(rng, round(0.22 * rate_hz), rate_hz, per_second=28, grain=_burst(4500, 7000, decay_seconds=0.006))


def _pea_whistle(rng: Rng, rate_hz: int) -> Samples:
    count = round(0.3 * rate_hz)
    time = _seconds(count, rate_hz)
    trill = 0.6 + 0.4 * np.sin(2 * np.pi * 36 * time)
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.02)
    pitch_hz = rng.uniform(2600, 2900)
    return np.asarray(
        (np.sin(2 * np.pi * pitch_hz * time) + 0.3 * np.sin(6.1 * np.pi * pitch_hz * time / 3)) * trill * fade,
        np.float32,
    )


def tennis_strokes(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Low, round pocks."""
    return _hits(rng, count, rate_hz, per_second=2.6, grain=_ping(500, 1000, decay_seconds=0.035))


def shuttle_ticks(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Sharp high ticks."""
    return _hits(rng, count, rate_hz, per_second=4, grain=_ping(3500, 5100, decay_seconds=0.01))


def stick_clacks(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Wood on wood, in the middle of the spectrum."""
    return _hits(rng, count, rate_hz, per_second=3, grain=_ping(1300, 1950, 2300, decay_seconds=0.018))


def net_rattles(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Runs of very high rattling."""
    return _hits(rng, count, rate_hz, per_second=2.5, grain=_rattle)


def palm_slaps(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Hollow slaps on a ball."""
    return _hits(rng, count, rate_hz, per_second=3, grain=_burst(200, 800, decay_seconds=0.04))


def shoe_squeaks(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Rubber soles sliding up in pitch."""
    return _hits(rng, count, rate_hz, per_second=3.2, grain=_glide(1500, 2700, seconds=0.14))


def freewheel(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Fast dry clicks in the wind."""
    clicks = _hits(rng, count, rate_hz, per_second=22, grain=_burst(2000, 4000, decay_seconds=0.004))
    return clicks + 0.12 * _band(rng, count, rate_hz, 60, 350)


def whistle_and_roar(rng: Rng, count: int, rate_hz: int) -> Samples:
    """A referee's whistle over a roaring stand."""
    blasts = _hits(rng, count, rate_hz, per_second=2.1, grain=_pea_whistle)
    return blasts + 0.18 * _band(rng, count, rate_hz, 300, 1400)


def bell_and_thuds(rng: Rng, count: int, rate_hz: int) -> Samples:
    """A ringing bell and dull blows."""
    bell = _hits(rng, count, rate_hz, per_second=2, grain=_ping(830, 2050, 3300, decay_seconds=0.25))
    return 0.6 * bell + _hits(rng, count, rate_hz, per_second=3, grain=_burst(50, 220, decay_seconds=0.05))


def applause(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Hundreds of hands: noise broken into claps."""
    claps = _hits(rng, count, rate_hz, per_second=60, grain=_burst(900, 3200, decay_seconds=0.008))
    return claps + 0.25 * _band(rng, count, rate_hz, 900, 3200) * _swell(rng, count, rate_hz, 0.7)


def ball_bounces(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Deep bounces on boards."""
    return _hits(rng, count, rate_hz, per_second=3, grain=_glide(190, 70, seconds=0.16))


def engine(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Howling harmonics of a motor changing speed."""
    turn_hz = rng.uniform(150, 230) * (1 + 0.35 * _swell(rng, count, rate_hz, 0.6))
    phase = 2 * np.pi * np.cumsum(turn_hz) / rate_hz
    tones = [np.sin(order * phase) / order**0.7 for order in range(1, 16)]
    return np.asarray(sum(tones), np.float32)


def water(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Strokes splashing, and bubbles."""
    splash = _band(rng, count, rate_hz, 350, 2200) * (0.3 + 0.7 * _swell(rng, count, rate_hz, 2))
    bubbles = _hits(rng, count, rate_hz, per_second=12, grain=_glide(350, 900, seconds=0.06))
    return np.asarray(0.4 * splash + bubbles, np.float32)


def edges_on_ice(rng: Rng, count: int, rate_hz: int) -> Samples:
    """Skis or skates: high noise coming and going."""
    return _band(rng, count, rate_hz, 3000, 7500) * (0.15 + _swell(rng, count, rate_hz, 2.2) ** 2)


def rolling_and_pins(rng: Rng, count: int, rate_hz: int) -> Samples:
    """A heavy ball rolling, and falling pins."""
    pins = _hits(rng, count, rate_hz, per_second=2.2, grain=_burst(1200, 5500, decay_seconds=0.07))
    return 0.5 * _band(rng, count, rate_hz, 40, 180) + pins


def _crowd(rng: Rng, count: int, rate_hz: int) -> Samples:
    murmur = _band(rng, count, rate_hz, 150, 1200) + 0.3 * _band(rng, count, rate_hz, 1200, 5000)
    return np.asarray(murmur * (0.5 + 0.5 * _swell(rng, count, rate_hz, 0.4)), np.float32)


def _commentary(rng: Rng, count: int, rate_hz: int) -> Samples:
    # A buzzing voice with two formants that open and close with the syllables.
    pitch_hz = rng.uniform(100, 180) * (1 + 0.15 * _swell(rng, count, rate_hz, 1.1))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    low = sum(np.sin(order * phase) / order for order in range(1, 7))
    high = sum(np.sin(order * phase) for order in range(7, 14)) * _swell(rng, count, rate_hz, 2.7)
    return np.asarray((low + 0.25 * high) * _swell(rng, count, rate_hz, 4.2), np.float32)
