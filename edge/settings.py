"""The settings of a run: the configuration file, and over it the options of the command line."""

from __future__ import annotations

import argparse
from dataclasses import replace

from .config import Config, ConfigError, Mqtt, Web, read_config


def configured(arguments: argparse.Namespace) -> Config:
    """Lay the command line's options over the configuration file."""
    config = read_config(arguments.config) if arguments.config else Config()
    source = replace(
        config.source, url=arguments.source or config.source.url, pace=arguments.pace or config.source.pace
    )
    if not source.url:
        msg = "no source: name a media file, or give source.url in the configuration"
        raise ConfigError(msg)
    return replace(
        config,
        source=source,
        bundle=arguments.bundle or config.bundle,
        threads=arguments.threads or config.threads,
        jsonl=arguments.jsonl or config.jsonl,
        mqtt=_mqtt(config.mqtt, arguments),
        web=_web(config.web, arguments.web),
    )


def _web(known: Web, address: str | None) -> Web:
    try:
        return replace(known, address=address or known.address)
    except ValueError as error:
        msg = f"--web: {error}"
        raise ConfigError(msg) from None


def _mqtt(known: Mqtt, arguments: argparse.Namespace) -> Mqtt:
    """Lay the options of the connection over what is configured."""
    return replace(
        known,
        url=arguments.mqtt or known.url,
        user=arguments.user or known.user,
        password_file=arguments.password_file or known.password_file,
        ca=arguments.ca or known.ca,
        certificate=arguments.cert or known.certificate,
        key=arguments.key or known.key,
        alpn=arguments.alpn or known.alpn,
        protocol=arguments.protocol or known.protocol,
    )
