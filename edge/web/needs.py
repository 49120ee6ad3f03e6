"""What the page needs to be installed."""

from __future__ import annotations

from importlib.util import find_spec

from edge.config import ConfigError

NEEDS = ("starlette", "uvicorn", "prometheus_client")


def refuse_without_web() -> None:
    """Raise ConfigError where the extra `web` is not installed."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        msg = f"the page needs {', '.join(missing)}, not installed here: pip install 'touchline[web]'"
        raise ConfigError(msg)
