"""What the two command lines share."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from .address import MqttUrl
    from .tls import Security

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


def add_security_options(command: argparse.ArgumentParser) -> None:
    """Add what a connection to a broker may need besides its address: files, user, ALPN, version of MQTT."""
    group = command.add_argument_group("connection", "for mqtts:// addresses; each is the name of a PEM file")
    group.add_argument("--ca", metavar="FILE", help="authorities that may have signed the broker's certificate")
    group.add_argument("--cert", metavar="FILE", help="our certificate, where the broker asks for one")
    group.add_argument("--key", metavar="FILE", help="its private key (default: in the file of --cert)")
    group.add_argument("--alpn", metavar="NAME", help="protocol to ask for: x-amzn-mqtt-ca for AWS IoT Core on 443")
    group.add_argument("--user", metavar="NAME", help="user name, if the address holds none")
    group.add_argument("--password-file", metavar="FILE", help="file whose first line is the password")
    group.add_argument("--protocol", choices=("auto", "5", "3.1.1"), help="version of MQTT (default: auto)")


def security_of(arguments: argparse.Namespace) -> Security | None:
    """Read the options of `add_security_options`; None where none of them says how TLS should be."""
    from .tls import Security

    security = Security(arguments.ca or "", arguments.cert or "", arguments.key or "", arguments.alpn or "")
    return None if security == Security() else security


def address_of(url: str, arguments: argparse.Namespace) -> MqttUrl:
    """Read an address with the user and the password that the options name; MqttError says what is wrong."""
    from .address import MqttUrl

    return MqttUrl.parse(url, user=arguments.user or "", password_file=arguments.password_file or "")


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
