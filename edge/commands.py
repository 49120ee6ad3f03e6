"""What the two command lines share."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

USAGE_ERROR, RUN_ERROR = 2, 1
Fault: TypeAlias = Literal["reconnects", "duplicates", "late", "gaps", "drops"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
"""What a simulated device can do to its subscribers."""
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


def speed(text: str) -> float:
    """Read how many times faster than the match."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        msg = f"{text!r} is not a number above 0"
        raise argparse.ArgumentTypeError(msg)
    return number


def topic_level(text: str) -> str:
    """Read a name that can be one level of a topic."""
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", text):
        msg = f"{text!r} is not 1 to 64 letters, digits, - or _"
        raise argparse.ArgumentTypeError(msg)
    return text


def faults(text: str) -> tuple[Fault, ...]:
    """Read names of faults with commas between them, or `all`."""
    names = FAULTS if text == "all" else text.split(",")
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        msg = f"{unknown[0]!r} is none of {', '.join(FAULTS)}"
        raise argparse.ArgumentTypeError(msg)
    return tuple(fault for fault in FAULTS if fault in names)
