"""Silence for C++ libraries that talk to the terminal on their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Send what is printed meanwhile to nowhere: notes, bars and warnings meant for the libraries' authors.

    Errors come as exceptions, which pass. The file descriptors are turned, since C++ knows nothing of sys.stderr.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for target, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, target)
            os.close(copy)
        os.close(nowhere)
