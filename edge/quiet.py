"""Silence for C and C++ libraries that talk to the terminal on their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

STDOUT, STDERR = 1, 2


@contextmanager
def quiet(descriptors: Sequence[int] = (STDOUT, STDERR)) -> Iterator[None]:
    """Send what is printed meanwhile to nowhere: notes, bars and warnings meant for the libraries' authors.

    Errors come as exceptions, which pass. The file descriptors are turned, since C++ knows nothing of sys.stderr.
    What other threads print meanwhile is lost too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(each) for each in descriptors]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for each in descriptors:
            os.dup2(nowhere, each)
        yield
    finally:
        for each, copy in zip(descriptors, saved, strict=True):
            os.dup2(copy, each)
            os.close(copy)
        os.close(nowhere)
