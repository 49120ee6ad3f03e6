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
        "touchline-train inspect features/ --bundle bundles/match --out inspected/",
    )
    inspect.add_argument("features", metavar="DIR", help="extracted features")
    inspect.add_argument("--bundle", help="let its models judge the labels")
    inspect.add_argument("--out", metavar="DIR", help="inspect.html, figures/, suspects.csv (default: DIR/inspected)")
    inspect.add_argument("--json", metavar="F", help="write all found to this file as JSON")


def _inspect(arguments: argparse.Namespace) -> int:
    from cloud_train.atomic import write_atomically
    from cloud_train.dataset import Dataset
    from cloud_train.inspection import inspect, to_json, write_suspects
    from cloud_train.inspection_page import write_inspection_page
    from edge.bundle import Bundle

    dataset = Dataset.load(arguments.features)
    found = inspect(dataset, Bundle.load(arguments.bundle) if arguments.bundle else None)
    out = Path(arguments.out or dataset.path / "inspected")
    page = write_inspection_page(out, dataset, found)
    if arguments.json is not None:
        write_atomically(Path(arguments.json), to_json(found))
    sys.stdout.write(f"{found.recordings} recordings, {found.seconds} seconds, {len(found.classes)} classes\n")
    for kind, count in found.counts().items():
        sys.stdout.write(f"{kind}: {count}\n")
    if found.suspicion is not None:
        sys.stdout.write(f"to edit: {write_suspects(out, found.suspicion)}\n")
    sys.stdout.write(f"page: {page}\n")
    return 0
