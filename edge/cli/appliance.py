"""`touchline init` and `touchline install-service`: a device that starts by itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.commands import Commands, add_command

DEFAULT = "/etc/touchline/touchline.toml"


def add(commands: Commands) -> None:
    """Add the subcommands."""
    start = add_command(
        commands,
        init,
        "init",
        "write a configuration with every key, its default and what it is for",
        "touchline init --source match.mp4 --mqtt mqtt://broker.local",
    )
    start.add_argument("file", nargs="?", default="touchline.toml", metavar="FILE", help="default: touchline.toml")
    start.add_argument("--source", metavar="URL", help="what to watch")
    start.add_argument("--mqtt", metavar="URL", help="mqtt[s]://[user[:password]@]host[:port][/base]")
    start.add_argument("--node", metavar="NAME", help="this device's name in topics (default: the host's)")
    start.add_argument("--force", action="store_true", help="replace a file that is there")
    service = add_command(
        commands,
        install_service,
        "install-service",
        "let systemd start the device at boot, watch over it and start it again",
        "touchline install-service --dry-run --config /etc/touchline/touchline.toml",
    )
    service.add_argument("--config", default=DEFAULT, metavar="F.toml", help=f"what it shall run (default: {DEFAULT})")
    service.add_argument("--dry-run", action="store_true", help="print the unit, change nothing")
    service.add_argument("--no-start", action="store_true", help="start it at the next boot, not now")
    service.add_argument("--root", default="/", metavar="DIR", help="install into the system below DIR")


def init(arguments: argparse.Namespace) -> int:
    """Write a commented configuration, and say what to do with it."""
    from edge.config import ConfigError
    from edge.sinks import SinkError
    from edge.template import template

    path = Path(arguments.file)
    if path.exists() and not arguments.force:
        msg = f"{path}: is there already; name another file, or replace it with --force"
        raise ConfigError(msg)
    given = {"source.url": arguments.source, "mqtt.url": arguments.mqtt, "mqtt.node": arguments.node}
    text = template({"source.url": "", **{key: value for key, value in given.items() if value}})
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        msg = f"{path}: cannot be written ({(error.strerror or str(error)).lower()})"
        raise SinkError(msg) from None
    then = f"touchline run --config {path}" if arguments.source else "give source.url in it"
    sys.stdout.write(f"{path}: written; next: {then}\n")
    return 0


def install_service(arguments: argparse.Namespace) -> int:
    """Install the unit and let systemd start it; with --dry-run only print it."""
    from edge.service import NAME, install, installed, unit

    config, root = Path(arguments.config).absolute(), Path(arguments.root).absolute()
    if arguments.dry_run:
        sys.stdout.write(unit(installed(), config))
        return 0
    target = install(config, root, start=not arguments.no_start)
    sys.stdout.write(f"{target}: installed; look: systemctl status {NAME}; journalctl -fu {NAME}\n")
    return 0
