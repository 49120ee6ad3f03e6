"""Recordings to features: synth, extract, split."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands import Commands, add_command, positive

if TYPE_CHECKING:
    from cloud_train.parallel import Engine


def add_synth(commands: Commands) -> None:
    """Add `synth`."""
    synth = add_command(
        commands,
        _synth,
        "synth",
        "render recordings of the synthetic world, a folder per class",
        "touchline-train synth --recordings 8 --seconds 4 --seed 99 --out /tmp/held-out",
    )
    synth.add_argument(
        "--recordings", type=positive, default=8, metavar="N", help="recordings of each class (default: 8)"
    )
    synth.add_argument("--seconds", type=float, default=4.0, metavar="S", help="length of each (default: 4)")
    synth.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other recordings (default: 0)")
    synth.add_argument("--out", required=True, metavar="DIR")


def add_extract(commands: Commands) -> None:
    """Add `extract`."""
    extract = add_command(
        commands,
        _extract,
        "extract",
        "cut recordings into seconds and compute features, in parallel",
        "touchline-train extract recordings/ --pixels 96 --out features/",
    )
    extract.add_argument(
        "data",
        metavar="DIR_OR_MANIFEST",
        help="a folder of class folders, a CSV or Parquet file (uri, label, recording), or a Sports-1M list (.txt)",
    )
    extract.add_argument("--out", required=True, metavar="DIR")
    extract.add_argument("--labels", default="s1m25-v1", metavar="TABLE", help="classes of a Sports-1M partition")
    extract.add_argument("--extra-labels", action="store_true", help="with the labels that are close to a class")
    extract.add_argument("--media", metavar="DIR", help="where a partition's videos are, each named by its id")
    parallel_options(extract)
    feature_options(extract)


def add_split(commands: Commands) -> None:
    """Add `split`."""
    split = add_command(
        commands,
        _split,
        "split",
        "give each recording a side: 80/10/10, stratified, by recording",
        "touchline-train split features/ --seed 1",
    )
    split.add_argument("features", metavar="DIR", help="extracted features")
    split.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another split (default: 0)")
    split.add_argument(
        "--fractions", type=float, nargs=3, default=(0.8, 0.1, 0.1), metavar="F",
        help="shares of train, validation and test (default: 0.8 0.1 0.1)",
    )  # fmt: skip


def parallel_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say where work is done in parallel."""
    command.add_argument("--workers", type=positive, metavar="N", help="processes (default: one for each core)")
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="this machine, or a Ray cluster")


def feature_options(
    command: argparse.ArgumentParser, *, pixels: int | None = 224, pixels_help: str = "default: 224"
) -> None:
    """Add the options that say how features are made."""
    group = command.add_argument_group("features (where they are computed)")
    group.add_argument(
        "--pixels", type=positive, default=pixels, metavar="N", help=f"pictures are N x N ({pixels_help})"
    )
    group.add_argument(
        "--frames-per-second", type=positive, default=5, metavar="N", help="pictures of a second (default: 5)"
    )
    group.add_argument(
        "--flow-fields", type=positive, default=4, metavar="N", help="flow fields of a second (default: 4)"
    )
    group.add_argument("--sound", choices=("log_mel", "mfcc"), default="log_mel", help="128 mel bands, or 33 MFCCs")


def _synth(arguments: argparse.Namespace) -> int:
    from cloud_train.synth import write_world

    write_world(
        Path(arguments.out),
        recordings_per_class=arguments.recordings,
        seconds=arguments.seconds,
        seed=arguments.seed,
    )
    return 0


def _extract(arguments: argparse.Namespace) -> int:
    extracted(arguments.data, Path(arguments.out), arguments)
    return 0


def extracted(data: str, out: Path, arguments: argparse.Namespace) -> None:
    """Extract recordings into `out` as the options say, and report what was left out."""
    from cloud_train.dataset import extract
    from cloud_train.presets import manifest_draft
    from cloud_train.progress import console
    from cloud_train.recordings import find_recordings
    from cloud_train.split import duplicates

    draft = manifest_draft(
        arguments.pixels,
        frames_per_second=arguments.frames_per_second,
        flow_fields=arguments.flow_fields,
        sound=arguments.sound,
    )
    engine: Engine = getattr(arguments, "engine", "local")
    workers = getattr(arguments, "workers", None) or 0
    recordings = find_recordings(
        data,
        labels=getattr(arguments, "labels", "s1m25-v1"),
        extra=getattr(arguments, "extra_labels", False),
        media=getattr(arguments, "media", None),
    )
    dataset, failures = extract(recordings, draft, out, engine=engine, workers=workers)
    for failure in failures:
        console.print(f"left out: {failure}", highlight=False, soft_wrap=True)
    seconds = sum(r.seconds for r in dataset.recordings)
    for first, *others in duplicates(dataset.recordings):
        same = ", ".join(r.uri for r in others)
        console.print(
            f"the same recording as {first.uri}, and kept on its side: {same}", highlight=False, soft_wrap=True
        )
    console.print(f"{len(dataset.recordings)} recordings, {seconds} seconds, in {out}", highlight=False, soft_wrap=True)


def _split(arguments: argparse.Namespace) -> int:
    from cloud_train.dataset import Dataset
    from cloud_train.split import counts, split

    dataset = Dataset.load(arguments.features)
    sides = split(dataset.recordings, seed=arguments.seed, fractions=tuple(arguments.fractions))
    dataset = replace(dataset, recordings=sides)
    dataset.save()
    rows = counts(dataset.recordings)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for label, *cells in rows:
        columns = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        sys.stdout.write(f"{label:<{widths[0]}}  {'  '.join(columns)}\n")
    return 0
