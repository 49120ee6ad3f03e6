"""What a training came to: report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.commands import Commands, add_command


def add(commands: Commands) -> None:
    """Add `report`."""
    report = add_command(
        commands,
        _report,
        "report",
        "explain a training that the debugger saved, in one page: how good it became, what is wrong, what to do",
        "touchline-train report runs/higgs --out higgs.html --json higgs.json",
    )
    report.add_argument(
        "run", metavar="RUN", help="a run's folder or s3:// prefix; one that goes on is reported so far"
    )
    report.add_argument("--out", required=True, metavar="F", help="the page, self-contained HTML that also prints")
    report.add_argument("--json", metavar="F", help="write all of its figures and sentences to this file as JSON")


def _report(arguments: argparse.Namespace) -> int:
    from cloud_train.debugger.report.write import write_report
    from cloud_train.debugger.trial import Trial

    json = Path(arguments.json) if arguments.json is not None else None
    made = write_report(Trial(arguments.run), Path(arguments.out), json)
    sys.stdout.write(f"{made[0].section.text[0]}\n")
    for point in made[1].section.points:
        sys.stdout.write(f"- {point}\n")
    sys.stdout.write(f"page: {arguments.out}\n")
    return 0
