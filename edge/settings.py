"""The settings of a run: the configuration file, and over it the options of the command line."""

from __future__ import annotations

import argparse
from dataclasses import replace

from .config import Config, ConfigError, Mqtt, Source, Web, read_config
from .live.address import is_live, shown


def configured(arguments: argparse.Namespace) -> Config:
    """Lay the command line's options over the configuration file."""
    config = read_config(arguments.config) if arguments.config else Config()
    sources = _sources(config, arguments)
    return replace(
        config,
        source=sources[0],
        sources=sources if len(sources) > 1 else (),
        bundle=arguments.bundle or config.bundle,
        threads=arguments.threads or config.threads,
        delegate=arguments.delegate or config.delegate,
        jsonl=arguments.jsonl or config.jsonl,
        mqtt=_mqtt(config.mqtt, arguments),
        web=web_settings(config.web, arguments.web),
    )


def _sources(config: Config, arguments: argparse.Namespace) -> tuple[Source, ...]:
    """What to watch: what the command line names, else what is configured."""
    configured = config.sources or (config.source,)
    if config.sources and config.source.url:
        msg = "both [source] and [[sources]] say what to watch; one of them would be right"
        raise ConfigError(msg)
    named = arguments.source
    if len(named) == 1 and not config.sources:
        configured = (replace(config.source, url=named[0]),)
    elif named:
        configured = tuple(Source(url=url) for url in named)
    configured = tuple(replace(source, pace=arguments.pace or source.pace) for source in configured)
    if not all(source.url for source in configured):
        msg = "no source: name a media file or a live source, or give source.url in the configuration"
        raise ConfigError(msg)
    if len(configured) > 1 and (wrong := [shown(s.url) for s in configured if not is_live(s.url)]):
        msg = f"{wrong[0]}: is not live; several sources are watched together only if all are live"
        raise ConfigError(msg)
    return configured


def web_settings(known: Web, address: str | None) -> Web:
    """Lay the address of the command line over what is configured."""
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
