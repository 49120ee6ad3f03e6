"""The subcommand `voices`."""

from __future__ import annotations

import argparse

from edge.commands import Commands, add_command
from edge.speech.voices import ENGINES

from .figures import write_json


def add(commands: Commands) -> None:
    """Add it."""
    voices = add_command(
        commands,
        _voices,
        "voices",
        "list the voices of Amazon Polly, its engines and languages, and lexicons, or the offline voices",
        "touchline voices --language en-GB --engine neural",
    )
    voices.add_argument("--offline", action="store_true", help="those of espeak-ng instead")
    voices.add_argument("--lexicons", action="store_true", help="the lexicons stored in the region instead")
    voices.add_argument("--language", default="", metavar="CODE", help="only of this language: en, en-GB")
    voices.add_argument("--engine", choices=ENGINES, help="only with this engine")
    voices.add_argument("--region", default="", metavar="NAME", help="of AWS (default: as AWS is configured)")
    voices.add_argument("--json", metavar="F", help="write the list to this file as JSON")


def _voices(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from edge.speech.lists import lexicons, offline_voices, polly_voices

    if arguments.offline:
        rows = offline_voices(arguments.language)
    elif arguments.lexicons:
        rows = lexicons(arguments.region)
    else:
        rows = polly_voices(arguments.region, language=arguments.language, engine=arguments.engine)
    table = Table(*(rows[0] if rows else ["nothing found"]), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    write_json(arguments.json, rows)
    return 0
