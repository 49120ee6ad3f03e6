"""What a learner of RLlib's and a simulation that runs elsewhere share: an address, and how an environment looks."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cloud_train.recordings import DataError

from .tasks import Watched


class Address(NamedTuple):
    """Where a learner waits for a simulation."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, or a port of this machine; ValueError says what is wrong."""
        host, _, port = text.rpartition(":")
        if not port.isdigit() or not 0 < int(port) < 2**16:
            msg = f"{text!r} is not HOST:PORT, such as 192.168.0.7:5555"
            raise ValueError(msg)
        return cls(host or "127.0.0.1", int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Import what RLlib needs; DataError says how to install it."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray's own processes print warnings nobody can act on
    try:
        for name in ("torch", "msgpack", "msgpack_numpy"):  # RLlink needs the last two, and fails without a word
            importlib.import_module(name)
        yield
    except ImportError as error:
        msg = f"RLlib and PyTorch are needed for this ({error}): pip install 'touchline[rllib]' torch"
        raise DataError(msg) from None


class Scaled:
    """Gives RLlib pictures of 0 to 1, as its networks have no first layer that does it."""

    def __new__(cls, env: Watched) -> Any:  # noqa: ANN401 - a wrapper of gymnasium's
        """Wrap an environment that sees pictures; any other stays as it is."""
        import gymnasium

        if env.interface.picture is None:
            return env
        space = gymnasium.spaces.Box(0.0, 1.0, env.interface.observation_shape)
        return gymnasium.wrappers.TransformObservation(env, lambda seen: np.minimum(seen / 255, 1.0), space)
