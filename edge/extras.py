"""Which extra of the installation a module belongs to."""

from __future__ import annotations

import re
from importlib import metadata

DISTRIBUTIONS = {"keras": "tensorflow", "pynvml": "nvidia-ml-py", "sklearn": "scikit-learn"}
"""Of modules that are named otherwise."""


def advice(error: ModuleNotFoundError) -> str | None:
    """Say what to install for a module that is missing; None if none of our extras brings it."""
    module = (error.name or "").partition(".")[0]
    extra = extra_of(module)
    if extra is None:
        return None
    return f"{module} is not installed, it comes with the extra {extra}: pip install 'touchline[{extra}]'"


def extra_of(module: str) -> str | None:
    """Name the extra that brings a module, by what the installed distribution asks for."""
    name = DISTRIBUTIONS.get(module, module.lower().replace("_", "-"))
    for requirement in metadata.requires("touchline") or ():
        found = re.match(r"""([\w.-]+).*;.*\bextra == ['"]([\w-]+)['"]""", requirement)
        if found and found[1].lower().replace("_", "-") in (name, f"{name}-cpu"):
            return found[2]
    return None
