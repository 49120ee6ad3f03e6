"""A Polly on loopback, and boto3 sent there."""

from __future__ import annotations

import polly as loopback
import pytest


@pytest.fixture
def polly_server(tmp_path, monkeypatch):
    """A running one, empty cache."""
    with loopback.running() as server:
        loopback.configure(server, tmp_path, monkeypatch)
        yield server
