"""Models to a bundle, judged: fuse, export, evaluate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands import Commands, add_command

if TYPE_CHECKING:
    from cloud_train.evaluate import Score


def add_fuse(commands: Commands) -> None:
    """Add `fuse`."""
    fuse = add_command(
        commands,
        _fuse,
        "fuse",
        "estimate the class-model table from the runs' validation seconds",
        "touchline-train fuse runs/rgb runs/flow runs/audio --out fusion.json",
    )
    fuse.add_argument("runs", nargs="+", metavar="RUN")
    fuse.add_argument("--out", required=True, metavar="F.json")


def add_export(commands: Commands) -> None:
    """Add `export`."""
    export = add_command(
        commands,
        _export,
        "export",
        "quantize runs to int8 and write a bundle; one run is enough",
        "touchline-train export runs/rgb runs/flow runs/audio --out bundles/match",
    )
    export.add_argument("runs", nargs="+", metavar="RUN")
    export.add_argument("--out", required=True, metavar="BUNDLE")
    export.add_argument("--name", help="the bundle's name (default: its folder's)")
    export.add_argument("--version", default="1.0.0", help="the bundle's version (default: 1.0.0)")


def add_evaluate(commands: Commands) -> None:
    """Add `evaluate`."""
    evaluate = add_command(
        commands,
        _evaluate,
        "evaluate",
        "judge a bundle on labelled recordings, as the device would",
        "touchline-train evaluate bundles/match --data held-out/ --json scores.json",
    )
    evaluate.add_argument("bundle", metavar="BUNDLE")
    evaluate.add_argument("--data", required=True, metavar="DIR_OR_CSV", help="recordings that it was not trained on")
    evaluate.add_argument("--json", metavar="F", help="write the scores to this file as JSON")


def _fuse(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.fusion import fuse
    from cloud_train.runs import Run
    from edge.fusion import write_fusion

    table, unknown = fuse([Run.load(path) for path in arguments.runs])
    write_atomically(Path(arguments.out), write_fusion(table))
    exceptions = {label: row.modality for label, row in table.table.items() if row.modality != table.ranking[0]}
    sys.stdout.write(f"default: {table.ranking[0]}; others: {exceptions or 'none'}; unknown below {unknown}\n")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from cloud_train.backend import load_tensorflow
    from cloud_train.runs import Run
    from edge.describe import describe

    runs = [Run.load(path) for path in arguments.runs]
    load_tensorflow()
    from cloud_train.export import export

    bundle = export(
        runs,
        arguments.out,
        name=arguments.name or Path(arguments.out).resolve().name,
        version=arguments.version,
    )
    sys.stdout.write(describe(bundle))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from cloud_train.evaluate import evaluate
    from cloud_train.recordings import find_recordings
    from edge.bundle import Bundle

    bundle = Bundle.load(arguments.bundle)
    return report(evaluate(bundle, find_recordings(arguments.data)), arguments.json, "")


def report(results: dict[str, Score], path: str | None, last: str) -> int:
    """Print scores as a table, write them as JSON where asked to, and end with a line."""
    from cloud_train.evaluate import table, to_json

    sys.stdout.write(f"{table(results)}\n{last}\n" if last else f"{table(results)}\n")
    if path is not None:
        Path(path).write_text(json.dumps(to_json(results), indent=2) + "\n", encoding="utf-8")
    return 0
