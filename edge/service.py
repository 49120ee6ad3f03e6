"""Touchline as a service of systemd: the unit, and how it gets to where systemd looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .config import ConfigError, read_config

NAME = "touchline.service"
TEMPLATE = Path(__file__).with_name(NAME)
FOLDER = Path("etc/systemd/system")
HIDDEN = ("home", "root", "run", "tmp")
"""What a service does not see, or not for long."""


def unit(touchline: Path, config: Path) -> str:
    """Write the unit that starts this installation with a configuration."""
    return TEMPLATE.read_text(encoding="utf-8").format(touchline=_quoted(touchline), config=_quoted(config))


def installed() -> Path:
    """Find the command `touchline` of this installation."""
    return Path(sys.executable).with_name("touchline")


def install(config: Path, root: Path, *, start: bool) -> Path:
    """Put the unit below `root` and let systemd start it at boot, and now if told to; ConfigError says why not.

    Anything but `/` as root is a system that is not running, such as an image that is being made.
    """
    command = installed()
    _refuse_unusable(command, config, root)
    target = root / FOLDER / NAME
    draft = target.with_name(f".{NAME}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(unit(command, config), encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        msg = f"{target}: cannot be written ({(error.strerror or str(error)).lower()}); run it as root"
        raise ConfigError(msg) from None
    if root != Path("/"):
        _systemctl("--root", str(root), "enable", NAME)
    else:
        _systemctl("daemon-reload")
        _systemctl("enable", *(["--now"] if start else []), NAME)
    return target


def _refuse_unusable(command: Path, config: Path, root: Path) -> None:
    """Check what the service would stumble over when nobody looks."""
    found = read_config(root / config.relative_to("/"))
    if not (found.source.url or found.sources):
        msg = f"{config}: names no source; give source.url"
        raise ConfigError(msg)
    for path in (command, config):
        if path.parts[1] in HIDDEN:
            msg = f"{path}: a service sees nothing below /{path.parts[1]}; put it below /opt or /etc"
            raise ConfigError(msg)
    if root == Path("/") and not Path("/run/systemd/system").is_dir():
        msg = "this machine was not started by systemd; --dry-run prints the unit, --root DIR installs into an image"
        raise ConfigError(msg)


def _systemctl(*arguments: str) -> None:
    try:
        done = subprocess.run(["systemctl", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        msg = "systemctl is missing: this system has no systemd"
        raise ConfigError(msg) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        msg = f"systemctl {' '.join(arguments)}: {said}"
        raise ConfigError(msg)


def _quoted(path: Path) -> str:
    """Write a path as systemd reads it."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(character.isspace() or character in "\"';\\" for character in text) else text
