"""The page's token: from the environment, from a file, or made once and kept."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from edge.config import ConfigError, Web, state_folder

VARIABLE = "TOUCHLINE_WEB_TOKEN"

log = logging.getLogger(__name__)


def token_of(web: Web) -> tuple[str, str]:
    """The token, and in words where it is; one that had to be made is said once. ConfigError says what is wrong."""
    if token := os.environ.get(VARIABLE, "").strip():
        return token, f"the token is in {VARIABLE}"
    file = Path(web.token_file).expanduser() if web.token_file else state_folder() / "web-token"
    if not web.token_file and not file.exists():
        token = _make(file)
        return token, f"the token is {token}, kept in {file}"
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        msg = f"web.token_file: {file} cannot be read ({why.lower()})"
        raise ConfigError(msg) from None
    if not token:
        msg = f"web.token_file: {file} holds no token; it must be its first line"
        raise ConfigError(msg)
    return token.splitlines()[0], f"the token is in {file}"


def _make(file: Path) -> str:
    token = secrets.token_urlsafe(18)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Readable by its owner only from the first moment; another process that makes one now wins.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(f"{token}\n")
    except FileExistsError:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        log.warning("%s: cannot be written (%s); the token is new at every start", file, (error.strerror or "").lower())
    return token
