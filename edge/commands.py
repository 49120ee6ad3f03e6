"""What the two command lines share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

USAGE_ERROR, RUN_ERROR = 2, 1
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def add_command(
    commands: Commands,
    function: Callable[[argparse.Namespace], int],
    name: str,
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a subcommand that calls `function`; its help teaches with an example."""
    command = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", epilog=f"example: {example}"
    )
    command.set_defaults(command=function)
    return command


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        msg = f"{text!r} is not a whole number of 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
