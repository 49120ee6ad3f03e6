"""Whether the data are any good: inspect."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.commands import Commands, add_command


def add_inspect(commands: Commands) -> None:
    """Add `inspect`."""
    inspect = add_command(
        commands,
        _inspect,
        "inspect",
        "show what is in a data set, what is odd about it and, with a bundle, whose labels look wrong",
        "touchline-train inspect features/ --bundle bundles/match --out inspection/",
    )
    inspect.add_argument("features", metavar="DIR", help="extracted features")
    inspect.add_argument("--bundle", help="let its models judge the labels")
    inspect.add_argument("--out", metavar="DIR", help="inspect.html, figures/, suspects.csv (default: DIR/inspection)")
    inspect.add_argument("--json", metavar="F", help="write all findings to this file as JSON")


def _inspect(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.dataset import Dataset
    from cloud_train.findings import inspect, to_json, write_suspects
    from cloud_train.findings_page import write_findings_page
    from edge.bundle import Bundle

    dataset = Dataset.load(arguments.features)
    findings = inspect(dataset, Bundle.load(arguments.bundle) if arguments.bundle else None)
    out = Path(arguments.out or dataset.path / "inspection")
    page = write_findings_page(out, dataset, findings)
    if arguments.json is not None:
        write_atomically(Path(arguments.json), to_json(findings))
    sys.stdout.write(f"{findings.recordings} recordings, {findings.seconds} seconds, {len(findings.classes)} classes\n")
    for kind, count in findings.counts().items():
        sys.stdout.write(f"{kind}: {count}\n")
    if findings.suspicion is not None:
        sys.stdout.write(f"to edit: {write_suspects(out, findings.suspicion)}\n")
    sys.stdout.write(f"to look at: {page}\n")
    return 0
