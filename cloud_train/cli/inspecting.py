"""Data looked at: inspect."""

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
        "show what is in extracted features, what is odd, and which labels the models of a bundle doubt",
        "touchline-train inspect features/ --bundle bundles/match --out inspected/",
    )
    inspect.add_argument("features", metavar="DIR", help="extracted features")
    inspect.add_argument("--bundle", metavar="BUNDLE", help="whose models judge the labels")
    inspect.add_argument("--out", metavar="DIR", help="where the page goes (default: DIR/inspected)")
    inspect.add_argument("--json", metavar="F", help="write what was found to this file as JSON")


def _inspect(arguments: argparse.Namespace) -> int:
    import msgspec

    from cloud_train.atomic import write_atomically
    from cloud_train.dataset import Dataset
    from cloud_train.inspection import inspect
    from cloud_train.inspection_page import to_data, write_inspection
    from edge.bundle import Bundle

    dataset = Dataset.load(arguments.features)
    bundle = Bundle.load(arguments.bundle) if arguments.bundle else None
    found = inspect(dataset, bundle)
    out = Path(arguments.out) if arguments.out else dataset.path / "inspected"
    page = write_inspection(dataset, found, out, judged=bundle is not None)
    sys.stdout.write(f"{len(found.odd)} odd recordings\n")
    if bundle is not None:
        sys.stdout.write(f"{len(found.suspects)} doubtful seconds in {len(found.shares())} recordings\n")
    sys.stdout.write(f"page: {page}\n")
    if arguments.json:
        data = msgspec.json.format(msgspec.json.encode(to_data(dataset, found)), indent=2)
        write_atomically(Path(arguments.json), data + b"\n")
    return 0
