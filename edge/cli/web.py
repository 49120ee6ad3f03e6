"""`touchline web`."""

from __future__ import annotations

import argparse

from edge.commands import Commands, add_command, add_security_options, address_of, security_of

ADDRESS = "127.0.0.1:8080"


def add(commands: Commands) -> None:
    """Add the subcommand."""
    command = add_command(
        commands,
        web,
        "web",
        "show a page of every device that publishes to a broker; touchline run --web shows one with its pictures",
        "touchline web mqtt://localhost --web 127.0.0.1:8080",
    )
    command.add_argument("url", metavar="URL", help="mqtt[s]://[user[:password]@]host[:port][/base]")
    command.add_argument("--web", metavar="HOST:PORT", help=f"where the page is (default: {ADDRESS})")
    command.add_argument("--config", metavar="F.toml", help="settings; its [web] says how the page is")
    add_security_options(command)


def web(arguments: argparse.Namespace) -> int:
    """Show the page until told to end."""
    from edge.config import Config, read_config
    from edge.settings import web_settings
    from edge.web.needs import refuse_without_web

    refuse_without_web()
    from edge.web.fleet import Fleet

    config = read_config(arguments.config) if arguments.config else Config()
    settings = web_settings(config.web, arguments.web or (None if config.web.address else ADDRESS))
    address = address_of(arguments.url, arguments)
    Fleet(address, settings, security=security_of(arguments), protocol=arguments.protocol or "auto").run()
    return 0
