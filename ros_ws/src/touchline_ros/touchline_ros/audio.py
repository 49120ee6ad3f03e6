"""The message classes of sound: two packages share the name audio_common_msgs, and neither need be installed."""

from __future__ import annotations

import importlib
from typing import Any

from edge.rosaudio import DATA_STAMPED, STAMPED, AudioError

__all__ = ["DATA_STAMPED", "STAMPED", "message_class"]


def message_class(kind: str) -> Any:  # noqa: ANN401 - a message class of a package that may not be installed
    """Import the message class of an `audio_type`; AudioError says which package is missing or is the other one."""
    package, name = kind.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError:
        msg = f"audio_type {kind}: the package {package} is not installed; set it to none to judge pictures alone"
        raise AudioError(msg) from None
    except AttributeError:
        maker = "mgonzs13's" if kind == STAMPED else "ros-drivers'"
        msg = f"audio_type {kind}: the installed {package} is the other package of that name; {maker} has {name}"
        raise AudioError(msg) from None
