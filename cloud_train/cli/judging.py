"""Models to a bundle, judged: fuse, export, refuse, evaluate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edge.commands import Commands, add_command, positive
from edge.manifest import RuleName

if TYPE_CHECKING:
    from cloud_train.judgement import Judgement
    from cloud_train.rules import Estimate


def add_fuse(commands: Commands) -> None:
    """Add `fuse`."""
    fuse = add_command(
        commands,
        _fuse,
        "fuse",
        "estimate the fusion from the runs' validation seconds, and how good each rule is there",
        "touchline-train fuse runs/rgb runs/flow runs/audio --out fusion.json",
    )
    fuse.add_argument("runs", nargs="+", metavar="RUN")
    _rule_option(fuse, "class_model_table")
    fuse.add_argument("--out", required=True, metavar="F", help="a .json file, for boosted trees an .npz file")


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
    _rule_option(export, "class_model_table")
    export.add_argument("--out", required=True, metavar="BUNDLE")
    export.add_argument("--name", help="the bundle's name (default: its folder's)")
    export.add_argument("--version", default="1.0.0", help="the bundle's version (default: 1.0.0)")
    export.add_argument(
        "--accept-findings", default="", metavar="NAMES",
        help="rules, with commas between them, whose findings in these runs are accepted; the manifest says so",
    )  # fmt: skip


def add_refuse(commands: Commands) -> None:
    """Add `refuse`."""
    refuse = add_command(
        commands,
        _refuse,
        "refuse",
        "estimate a bundle's fusion anew from new recordings, without retraining",
        "touchline-train refuse bundles/match --data new-season/ --out bundles/match-2",
    )
    refuse.add_argument("bundle", metavar="BUNDLE")
    refuse.add_argument(
        "--data", "--table", required=True, metavar="DIR_OR_MANIFEST", help="new recordings, labelled or `unknown`"
    )
    _rule_option(refuse, None)
    refuse.add_argument("--out", required=True, metavar="BUNDLE2")
    refuse.add_argument("--name", help="the new bundle's name (default: the old one's)")
    refuse.add_argument("--version", help="the new bundle's version (default: the old one's, its patch counted up)")


def _rule_option(command: argparse.ArgumentParser, default: str | None) -> None:
    what = default or "the bundle's own"
    command.add_argument(
        "--rule", choices=get_args(RuleName), default=default, help=f"how votes are fused (default: {what})"
    )


def add_evaluate(commands: Commands) -> None:
    """Add `evaluate`."""
    evaluate = add_command(
        commands,
        _evaluate,
        "evaluate",
        "judge a bundle on labelled recordings, as the device would",
        "touchline-train evaluate bundles/match --data held-out/ --out report/",
    )
    evaluate.add_argument("bundle", metavar="BUNDLE")
    evaluate.add_argument(
        "--data", required=True, nargs="+", metavar="DIR_OR_MANIFEST",
        help="recordings that it was not trained on; each is a test set",
    )  # fmt: skip
    evaluate.add_argument(
        "--test-sets", type=positive, default=2, metavar="N", help="into which a single one is dealt (default: 2)"
    )
    evaluate.add_argument("--out", metavar="DIR", help="write report.html, figures and metrics.json there")
    evaluate.add_argument("--json", metavar="F", help="write the scores to this file as JSON")


def _fuse(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.recordings import DataError
    from cloud_train.rules import fuse
    from cloud_train.runs import Run
    from edge.fusion import fusion_file, write_fusion

    suffix = Path(fusion_file(arguments.rule)).suffix
    if Path(arguments.out).suffix != suffix:
        msg = f"--out {arguments.out}: a fusion by {arguments.rule} is a {suffix} file"
        raise DataError(msg)
    found = fuse([Run.load(path) for path in arguments.runs], arguments.rule)
    write_atomically(Path(arguments.out), write_fusion(found.fusion))
    sys.stdout.write(in_words(found))
    return 0


def in_words(found: Estimate) -> str:
    """Say what was estimated: who answers, temperatures, the unknown threshold, and how good each rule is."""
    from edge.describe import fusion_in_words
    from edge.fusion import ClassModelTable

    fusion = found.fusion
    lines = [fusion_in_words(fusion)]
    if isinstance(fusion, ClassModelTable):
        exceptions = {label: row.modality for label, row in fusion.table.items() if row.modality != fusion.ranking[0]}
        lines = [f"default: {fusion.ranking[0]}; others: {exceptions or 'none'}"]
    lines[0] += f"; unknown below {found.unknown:.4f}"
    lines.append("temperatures: " + ", ".join(f"{name} {value:.2f}" for name, value in found.temperatures.items()))
    return "\n".join([*lines, rules_in_words(found.accuracy)]) + "\n"


def rules_in_words(accuracy: dict[str, float]) -> str:
    """Say how good each rule is on the validation seconds."""
    if not accuracy:
        return "one recording: the rules cannot be cross-validated"
    rules = ", ".join(f"{rule} {share:.3f}" for rule, share in accuracy.items())
    return f"accuracy in cross-validation over the validation recordings: {rules}"


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
        rule=arguments.rule,
        accepted=[name.strip() for name in arguments.accept_findings.split(",")],
    )
    sys.stdout.write(f"{describe(bundle)}\n{rules_in_words(bundle.manifest.metrics['fused']['rules'])}\n")
    return 0


def _refuse(arguments: argparse.Namespace) -> int:
    from cloud_train.recordings import find_recordings
    from cloud_train.refuse import refuse
    from edge.bundle import Bundle
    from edge.describe import describe

    bundle = refuse(
        Bundle.load(arguments.bundle),
        find_recordings(arguments.data),
        arguments.out,
        data=arguments.data,
        rule=arguments.rule,
        name=arguments.name,
        version=arguments.version,
    )
    fused = bundle.manifest.metrics["fused"]
    sys.stdout.write(f"{describe(bundle)}\n{rules_in_words(fused['rules'])}\n")
    sys.stdout.write(f"the old fusion on the same seconds: {fused['int8_accuracy_before']:.3f}\n")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from cloud_train.evaluate import evaluate
    from cloud_train.recordings import find_recordings
    from cloud_train.report import write_report
    from edge.bundle import Bundle

    bundle = Bundle.load(arguments.bundle)
    judgement = evaluate(bundle, *map(find_recordings, arguments.data), deal=arguments.test_sets)
    last = ""
    if arguments.out:
        title = f"{bundle.manifest.name} {bundle.manifest.version} on {', '.join(arguments.data)}"
        last = f"report: {write_report(Path(arguments.out), title, judgement)}"
    return report(judgement, arguments.json, last)


def report(judgement: Judgement, path: str | None, last: str) -> int:
    """Print scores as a table, write them as JSON where asked to, and end with a line."""
    from cloud_train.atomic import write_atomically
    from cloud_train.judgement import table
    from cloud_train.report import to_json

    sys.stdout.write(f"{table(judgement)}\n{last}\n" if last else f"{table(judgement)}\n")
    if path is not None:
        write_atomically(Path(path), to_json(judgement))
    return 0
