"""From nothing to a bundle in one call: the synthetic world rendered, learnt, fused, exported and judged."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from edge.clip import MODALITIES, Modality
from edge.manifest import AudioFeatures, ClipSpec, Features, FlowFeatures, Manifest, RgbFeatures
from edge.tflite import cores

from . import progress
from .args import Args
from .backend import load_tensorflow
from .dataset import Dataset, extract
from .evaluate import evaluate
from .judgement import Judgement
from .parallel import end_with
from .recordings import find_recordings
from .split import split
from .synth import LABELS, write_world

if TYPE_CHECKING:
    from edge.bundle import Bundle

    from .runs import Run

SAMPLE_RATE_HZ = 16000
FLOW_BOUND = 0.15
"""Full scale of a flow picture, as a share of its width per gap between sampled frames."""


@dataclass(frozen=True)
class Preset:
    """What `all` makes: how much of the synthetic world, cut how, learnt how."""

    labels: tuple[str, ...]
    recordings_per_class: int
    seconds: float
    pixels: int
    head_epochs: int
    epochs: dict[Modality, int]
    learning_rate: float = 2e-3
    alpha: float = 0.35
    batch: int = 16


PRESETS = {
    "demo": Preset(LABELS, 20, 3.0, 64, 0, {"rgb": 32, "flow": 32, "audio": 12}),
    "tiny": Preset(LABELS[:3], 3, 2.0, 32, 1, {"rgb": 2, "flow": 2, "audio": 2}),
}


def manifest_draft(
    pixels: int,
    *,
    frames_per_second: int = 5,
    flow_fields: int = 4,
    sound: Literal["log_mel", "mfcc"] = "log_mel",
) -> Manifest:
    """Say how clips and features are made for models of `pixels` x `pixels`; labels come with the data."""
    features = Features(
        RgbFeatures(pixels, pixels),
        FlowFeatures(pixels, pixels, fields=flow_fields, bound_pixels=pixels * FLOW_BOUND),
        AudioFeatures(kind=sound),
    )
    return Manifest((), ClipSpec(frames_per_second, pixels, pixels, SAMPLE_RATE_HZ), features)


def run_all(name: str, out: str | Path) -> tuple[Bundle, Judgement]:
    """Do every step of a preset under `out`; return the bundle and its scores on the test recordings.

    Recordings and shards that exist are kept.
    """
    preset, out = PRESETS[name], Path(out)
    write_world(
        out / "world", recordings_per_class=preset.recordings_per_class, seconds=preset.seconds, seed=0,
        labels=preset.labels,
    )  # fmt: skip
    dataset, failures = extract(find_recordings(out / "world"), manifest_draft(preset.pixels), out / "features")
    for failure in failures:
        progress.console.print(f"left out: {failure}", highlight=False, soft_wrap=True)
    dataset = replace(dataset, recordings=split(dataset.recordings))
    dataset.save()

    runs = fit_all(dataset, {modality: preset_args(preset, modality) for modality in MODALITIES}, out / "runs")
    from .export import export

    bundle = export(runs, out / "bundle", name=f"sports{len(preset.labels)}-{name}", version="1.0.0")
    return bundle, evaluate(bundle, [r for r in dataset.recordings if r.side == "test"])


def fit_all(dataset: Dataset, args: dict[Modality, Args], out: Path) -> list[Run]:
    """Train the modalities in two processes of half the cores each: small models use one core better than two."""
    load_tensorflow()
    with ProcessPoolExecutor(2, get_context("spawn"), half_the_cores, (os.getpid(),)) as pool:
        from .train import fit

        jobs = [pool.submit(fit, dataset, modality, each, out / modality) for modality, each in args.items()]
        return [run for job in jobs if (run := job.result()) is not None]


def half_the_cores(parent: int) -> None:
    """Prepare a training process that shares the machine and the terminal with another: lines instead of bars."""
    end_with(parent)
    load_tensorflow()
    import tensorflow as tf

    threads = max(1, cores() // 2)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    progress.console = Console(stderr=True, force_terminal=False)


def preset_args(preset: Preset, modality: Modality) -> Args:
    """Give the settings by which a preset trains a modality."""
    return Args(
        backbone="mobilenet_v2", alpha=preset.alpha, weights="none",
        head_epochs=preset.head_epochs, epochs=preset.epochs[modality],
        learning_rate=preset.learning_rate, batch=preset.batch, dense_units=128, dropout=0.1,
        label_smoothing=0.1, augmentation="mild", weight_decay=0.0, head_learning_rate=1e-3,
    )  # fmt: skip
