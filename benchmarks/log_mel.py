"""Our log-mel spectrogram beside librosa's: how far apart, and how long each takes for a second of sound."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

# One thread each: with more, OpenBLAS' idle threads would spin through the next contestant's turn.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import media
import numpy as np
from measure import Cost, machine, machine_line, median, table, take_turns, write_json

from edge.features import log_mel
from edge.manifest import AudioFeatures, ClipSpec, Features, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE_DB = 1e-4
CALLS = 20
"""Calls in one turn: a single one is too short to measure."""


@dataclass(frozen=True)
class Setting:
    """How the spectrogram is made; the first one is the shipped bundle's."""

    sample_rate_hz: int
    fft_samples: int
    hop_samples: int
    bands: int = 128

    def manifest(self) -> Manifest:
        """Say the same as a manifest."""
        audio = AudioFeatures(bands=self.bands, fft_samples=self.fft_samples, hop_samples=self.hop_samples)
        return Manifest(("any",), ClipSpec(0, 1, 1, self.sample_rate_hz), Features(audio=audio))


SETTINGS = (
    Setting(16000, 1024, 256),
    Setting(8000, 512, 128, 64),
    Setting(22050, 2048, 512),
    Setting(44100, 2048, 512),
    Setting(48000, 2048, 512),
)


def sounds(rate: int) -> dict[str, NDArray[np.float32]]:
    """Make seconds of sound that are hard in different ways."""
    random, time = np.random.default_rng(0), np.arange(rate) / rate
    tone = 0.9 * np.sin(2 * np.pi * 440 * time)
    made = {
        "match": media.crowd(rate, rate),
        "noise": random.normal(0, 0.2, rate),
        "loud tone": tone,
        "chirp": 0.5 * np.sin(2 * np.pi * (50 * time + 0.2 * rate * time**2)),
        "click": np.where(np.arange(rate) == rate // 2, 1.0, 0.0),
        "half silent": np.where(time < 0.5, tone, 0.0),
        "faint": 1e-4 * random.normal(size=rate),
        "silence": np.zeros(rate),
    }
    return {name: sound.astype(np.float32) for name, sound in made.items()}


def librosas(setting: Setting) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Give librosa's spectrogram with the same parameters."""
    import librosa

    def compute(audio: NDArray[np.float32]) -> NDArray[np.float32]:
        mel = librosa.feature.melspectrogram(
            y=audio, sr=setting.sample_rate_hz, n_fft=setting.fft_samples, hop_length=setting.hop_samples,
            n_mels=setting.bands,
        )  # fmt: skip
        return librosa.power_to_db(mel)

    return compute


def librosas_kept(setting: Setting) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Give librosa's with the filters kept, which its own melspectrogram makes anew in each call."""
    import librosa

    filters = librosa.filters.mel(sr=setting.sample_rate_hz, n_fft=setting.fft_samples, n_mels=setting.bands)

    def compute(audio: NDArray[np.float32]) -> NDArray[np.float32]:
        spectrum = librosa.stft(audio, n_fft=setting.fft_samples, hop_length=setting.hop_samples)
        return librosa.power_to_db(filters @ np.abs(spectrum) ** 2)

    return compute


def measure(setting: Setting, repeats: int) -> dict[str, Any]:
    """Compare both on every sound, then time them in turns on the first."""
    spec, theirs, kept = setting.manifest(), librosas(setting), librosas_kept(setting)
    made = sounds(setting.sample_rate_hz)
    differences = {name: float(np.abs(log_mel(sound, spec) - theirs(sound)).max()) for name, sound in made.items()}
    sound = made["match"]
    found = take_turns(
        {
            "ours": lambda: [log_mel(sound, spec) for _ in range(CALLS)],
            "librosa": lambda: [theirs(sound) for _ in range(CALLS)],
            "kept": lambda: [kept(sound) for _ in range(CALLS)],
        },
        repeats,
    )
    return {
        "sample_rate_hz": setting.sample_rate_hz,
        "fft_samples": setting.fft_samples,
        "hop_samples": setting.hop_samples,
        "bands": setting.bands,
        "max_difference_db": max(differences.values()),
        "differences_db": differences,
        **{name: asdict(median(each).per(CALLS)) for name, each in found.items()},
        "ratios": {name: _ratios(found["ours"], found[name]) for name in ("librosa", "kept")},
    }


def _ratios(ours: list[Cost], theirs: list[Cost]) -> dict[str, float]:
    """Divide round by round and take the medians; below 1 we are faster."""
    rounds = list(zip(ours, theirs, strict=True))
    return {
        "wall": round(statistics.median(a.wall_ms / b.wall_ms for a, b in rounds), 3),
        "cpu": round(statistics.median(a.cpu_ms / b.cpu_ms for a, b in rounds), 3),
    }


def report(results: list[dict[str, Any]]) -> str:
    """Lay the figures out for a person."""
    head = (
        "rate Hz", "FFT / hop", "bands", "max difference dB", "ours ms (cpu)", "librosa ms (cpu)", "ratio",
        "librosa with filters kept ms (cpu)", "ratio",
    )  # fmt: skip
    rows = [
        (
            r["sample_rate_hz"], f"{r['fft_samples']} / {r['hop_samples']}", r["bands"],
            f"{r['max_difference_db']:.1e}", _both(r["ours"]), _both(r["librosa"]), r["ratios"]["librosa"]["wall"],
            _both(r["kept"]), r["ratios"]["kept"]["wall"],
        )
        for r in results
    ]  # fmt: skip
    equal = all(r["max_difference_db"] <= TOLERANCE_DB for r in results)
    fast = all(ratio["wall"] <= 1 for r in results for ratio in r["ratios"].values())
    verdict = f"Equal to {TOLERANCE_DB:g} dB: {'yes' if equal else 'NO'}. At least as fast: {'yes' if fast else 'NO'}."
    return f"\n{table(head, rows)}\n\n{verdict}\n"


def _both(cost: dict[str, float]) -> str:
    return f"{cost['wall_ms']:.3f} ({cost['cpu_ms']:.3f})"


def main() -> int:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/log_mel.py --json log_mel.json"
    )
    parser.add_argument("--repeats", type=int, default=15, help="rounds of 20 calls; the median counts (default: 15)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    try:
        import librosa  # noqa: F401 - its absence is told before anything is measured
    except ModuleNotFoundError:
        parser.error("librosa is not installed; it comes with the dev group: make .venv/.dev")
    found = {"machine": machine(), "settings": []}
    print(machine_line(found["machine"]), flush=True)
    found["settings"] = [measure(setting, arguments.repeats) for setting in SETTINGS]
    print(report(found["settings"]))
    write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
