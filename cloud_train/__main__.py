"""The command `touchline-train`: each subcommand is one function; TensorFlow is loaded only where it is needed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edge import __version__
from edge.clip import MODALITIES
from edge.commands import RUN_ERROR, USAGE_ERROR, Commands, add_command, positive

if TYPE_CHECKING:
    from .evaluate import Score


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 2 for usage and data, 1 for failure at run time."""
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\ntouchline-train: stopped; finished work is kept\n")
        return 130
    except Exception as error:  # noqa: BLE001 - what is not expected is raised again
        return _explain(error)


def _explain(error: Exception) -> int:
    """Say an expected error in one sentence; anything else is a bug and keeps its traceback."""
    from edge.manifest import BundleError
    from edge.sources import SourceError

    from .dataset import DataError

    if not isinstance(error, DataError | BundleError | SourceError):
        raise error
    sys.stderr.write(f"touchline-train: {error}\n")
    return USAGE_ERROR if isinstance(error, DataError) else RUN_ERROR


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(
        prog="touchline-train",
        description="Labelled recordings into a bundle of models for the device.",
        epilog="example: touchline-train all --preset demo --out /tmp/demo",
    )
    top.add_argument("--version", action="version", version=f"touchline {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_all, _add_synth, _add_extract, _add_split, _add_fit, _add_fuse, _add_export, _add_evaluate):
        add(commands)
    return top


def _add_all(commands: Commands) -> None:
    everything = add_command(
        commands,
        _all,
        "all",
        "each step on the synthetic world: render, learn, fuse, export, judge",
        "touchline-train all --preset demo --out /tmp/demo",
    )
    everything.add_argument("--preset", choices=("demo", "tiny"), default="demo", help="how much (default: demo)")
    everything.add_argument("--out", required=True, metavar="DIR")
    everything.add_argument("--json", metavar="F", help="write the scores to this file as JSON")


def _add_synth(commands: Commands) -> None:
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


def _add_extract(commands: Commands) -> None:
    extract = add_command(
        commands,
        _extract,
        "extract",
        "cut recordings into seconds and compute features, in parallel",
        "touchline-train extract recordings/ --pixels 96 --out features/",
    )
    extract.add_argument("data", metavar="DIR_OR_CSV", help="a folder of class folders, or a CSV: uri,label,recording")
    extract.add_argument("--out", required=True, metavar="DIR")
    _feature_options(extract)


def _add_split(commands: Commands) -> None:
    split = add_command(
        commands,
        _split,
        "split",
        "give each recording a side: 80/10/10, stratified, by recording",
        "touchline-train split features/ --seed 1",
    )
    split.add_argument("features", metavar="DIR", help="extracted features")
    split.add_argument("--seed", type=int, default=0, metavar="N")


def _add_fit(commands: Commands) -> None:
    fit = add_command(
        commands,
        _fit,
        "fit",
        "train one modality in two steps",
        "touchline-train fit rgb --data recordings/ --alpha 0.35 --out runs/rgb",
    )
    fit.add_argument("modality", choices=MODALITIES)
    fit.add_argument("--data", required=True, metavar="DIR_OR_MANIFEST", help="recordings, or extracted features")
    fit.add_argument("--out", required=True, metavar="RUN")
    _feature_options(fit)
    _training_options(fit)


def _add_fuse(commands: Commands) -> None:
    fuse = add_command(
        commands,
        _fuse,
        "fuse",
        "estimate the class-model table from the runs' validation seconds",
        "touchline-train fuse runs/rgb runs/flow runs/audio --out fusion.json",
    )
    fuse.add_argument("runs", nargs="+", metavar="RUN")
    fuse.add_argument("--out", required=True, metavar="F.json")


def _add_export(commands: Commands) -> None:
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


def _add_evaluate(commands: Commands) -> None:
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


def _feature_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("features (where they are computed)")
    group.add_argument("--pixels", type=positive, default=224, metavar="N", help="pictures are N x N (default: 224)")
    group.add_argument(
        "--frames-per-second", type=positive, default=5, metavar="N", help="pictures of a second (default: 5)"
    )
    group.add_argument(
        "--flow-fields", type=positive, default=4, metavar="N", help="flow fields of a second (default: 4)"
    )
    group.add_argument("--sound", choices=("log_mel", "mfcc"), default="log_mel", help="128 mel bands, or 33 MFCCs")


def _training_options(command: argparse.ArgumentParser) -> None:
    from .args import Args, Backbone

    group = command.add_argument_group("training")
    for field in fields(Args):
        option, what = (
            f"--{field.name.replace('_', '-')}",
            f"{field.metadata['help']} (default: {field.default})",
        )
        choices = get_args(Backbone) if field.name == "backbone" else None
        group.add_argument(option, type=type(field.default), choices=choices, help=what)


def _all(arguments: argparse.Namespace) -> int:
    from .presets import run_all

    bundle, results = run_all(arguments.preset, arguments.out)
    return _report(results, arguments.json, f"bundle: {bundle.path}")


def _synth(arguments: argparse.Namespace) -> int:
    from .synth import write_world

    write_world(
        Path(arguments.out),
        recordings_per_class=arguments.recordings,
        seconds=arguments.seconds,
        seed=arguments.seed,
    )
    return 0


def _extract(arguments: argparse.Namespace) -> int:
    _extracted(arguments.data, Path(arguments.out), arguments)
    return 0


def _extracted(data: str, out: Path, arguments: argparse.Namespace) -> None:
    from .dataset import extract, find_recordings
    from .presets import manifest_draft
    from .progress import console

    draft = manifest_draft(
        arguments.pixels,
        frames_per_second=arguments.frames_per_second,
        flow_fields=arguments.flow_fields,
        sound=arguments.sound,
    )
    dataset, failures = extract(find_recordings(data), draft, out)
    for failure in failures:
        console.print(f"left out: {failure}", highlight=False)
    seconds = sum(r.seconds for r in dataset.recordings)
    console.print(f"{len(dataset.recordings)} recordings, {seconds} seconds, in {out}", highlight=False)


def _split(arguments: argparse.Namespace) -> int:
    from .dataset import Dataset
    from .split import SIDES, split

    dataset = Dataset.load(arguments.features)
    dataset = replace(dataset, recordings=split(dataset.recordings, seed=arguments.seed))
    dataset.save()
    counts = [f"{sum(r.side == side for r in dataset.recordings)} {side}" for side in SIDES]
    sys.stdout.write(f"recordings: {', '.join(counts)}\n")
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from .args import Args
    from .backend import load_tensorflow
    from .dataset import INDEX, Dataset
    from .split import split

    given = {field.name: getattr(arguments, field.name) for field in fields(Args)}
    args = Args(**{name: value for name, value in given.items() if value is not None})
    features = Path(arguments.data)
    if not (features / INDEX).is_file():
        features = Path(arguments.out) / "features"
        _extracted(arguments.data, features, arguments)
    dataset = Dataset.load(features)
    if not all(r.side for r in dataset.recordings):
        dataset = replace(dataset, recordings=split(dataset.recordings))
        dataset.save()

    load_tensorflow()  # takes seconds: only after the data was found good
    from .train import fit

    run = fit(dataset, arguments.modality, args, arguments.out)
    for name, value in run.metrics.items():
        sys.stdout.write(f"{name.replace('_', ' ')}: {value:.3f}\n")
    return 0


def _fuse(arguments: argparse.Namespace) -> int:
    from edge.fusion import write_fusion

    from .dataset import write_atomically
    from .fusion import fuse
    from .runs import Run

    table, unknown = fuse([Run.load(path) for path in arguments.runs])
    write_atomically(Path(arguments.out), write_fusion(table))
    exceptions = {label: row.modality for label, row in table.table.items() if row.modality != table.ranking[0]}
    sys.stdout.write(f"default: {table.ranking[0]}; others: {exceptions or 'none'}; unknown below {unknown}\n")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from edge.describe import describe

    from .backend import load_tensorflow
    from .runs import Run

    runs = [Run.load(path) for path in arguments.runs]
    load_tensorflow()
    from .export import export

    bundle = export(
        runs,
        arguments.out,
        name=arguments.name or Path(arguments.out).resolve().name,
        version=arguments.version,
    )
    sys.stdout.write(describe(bundle))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from edge.bundle import Bundle

    from .dataset import find_recordings
    from .evaluate import evaluate

    bundle = Bundle.load(arguments.bundle)
    return _report(evaluate(bundle, find_recordings(arguments.data)), arguments.json, "")


def _report(results: dict[str, Score], path: str | None, last: str) -> int:
    from .evaluate import table, to_json

    sys.stdout.write(f"{table(results)}\n{last}\n" if last else f"{table(results)}\n")
    if path is not None:
        Path(path).write_text(json.dumps(to_json(results), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
