"""What a learner and its simulation jobs say to each other: msgpack with arrays, never pickles, so no code crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from .simulations import Episode, Moment
from .tasks import TaskError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = frozenset("fiub")
"""Arrays of floats, integers and booleans; any other is refused."""


def pack(kind: str, **fields: Any) -> bytes:  # noqa: ANN401 - numbers, texts, arrays
    """Encode a message."""
    return msgspec.msgpack.encode({"kind": kind, **fields}, enc_hook=_plain)


def unpack(data: bytes) -> tuple[str, dict[str, Any]]:
    """Decode a message; OSError where it is none, as from a peer that is not one of ours."""
    try:
        raw = msgspec.msgpack.decode(data, type=dict[str, Any])
        kind = raw.pop("kind")
        return kind, {name: _array(value) for name, value in raw.items()}
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        msg = f"not a message of ours ({error})"
        raise OSError(msg) from None


def pack_moment(moment: Moment) -> bytes:
    """Encode what a step brought."""
    rows = sorted(moment.last)
    return pack(
        "moment", observations=moment.observations, rewards=moment.rewards, ended=moment.ended, rows=rows,
        last=np.stack([moment.last[row] for row in rows]) if rows else None,
        episodes=[(one.total, one.steps, one.success) for one in moment.episodes],
    )  # fmt: skip


def unpack_answer(data: bytes) -> Any:  # noqa: ANN401 - observations, a Moment or a TaskError
    """Decode what a simulation job says."""
    kind, fields = unpack(data)
    try:
        if kind == "moment":
            last = dict(zip(fields["rows"], fields["last"] if fields["rows"] else (), strict=True))
            episodes = tuple(Episode(*one) for one in fields["episodes"])
            return Moment(fields["observations"], fields["rewards"], fields["ended"], last, episodes)
        return TaskError(fields["why"]) if kind == "error" else fields["observations"]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"not a message of ours ({error})"
        raise OSError(msg) from None


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, np.generic):
        return value.item()
    array: NDArray[Any] = np.ascontiguousarray(value)
    return {"dtype": array.dtype.str, "shape": array.shape, "data": array.tobytes()}


def _array(value: Any) -> Any:  # noqa: ANN401
    if not (isinstance(value, dict) and value.keys() == {"dtype", "shape", "data"}):
        return value
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in KINDS:
        msg = f"an array of {dtype}"
        raise ValueError(msg)
    return np.frombuffer(value["data"], dtype).reshape(value["shape"]).copy()
