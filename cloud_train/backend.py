"""TensorFlow, loaded once it is needed."""

from __future__ import annotations

import os

from edge.quiet import quiet

from .recordings import DataError


def load_tensorflow() -> None:
    """Import TensorFlow without the notes that it prints; DataError says how to install it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet():
            import tensorflow  # noqa: F401, ICN001
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        msg = "training needs TensorFlow, which is not installed: pip install 'touchline[train]'"
        raise DataError(msg) from None


def load_simulation() -> None:
    """Import gymnasium; DataError says how to install it."""
    try:
        import gymnasium  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "gymnasium":
            raise
        msg = "policies need gymnasium, which is not installed: pip install 'touchline[train,rl]'"
        raise DataError(msg) from None
