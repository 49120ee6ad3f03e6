"""Where a training stands, saved whole or not at all, so that it goes on exactly there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from .atomic import write_atomically
from .recordings import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from numpy.typing import NDArray

CHECKPOINT = "checkpoint.npz"


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training: what it cost and brought.

    `waited` is the share of the time that the model waited for its input.
    """

    phase: str
    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    waited: float


@dataclass
class Position:
    """How far a training has come: the next step to do, the epoch's sums so far, and the best epoch of the phase.

    `identity` says which training this is: the hash of its settings and data.
    """

    identity: str
    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    hits: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    best: float = float("inf")
    epochs_since_best: int = 0
    history: list[Epoch] = field(default_factory=list)


Record = TypeVar("Record")


def save(folder: Path, position: DataclassInstance, variables: Sequence[Any], name: str = CHECKPOINT) -> None:
    """Write a position, a dataclass, and the values of all variables, model and optimizer, into one file."""
    buffer = io.BytesIO()
    arrays = {f"v{i:05d}": np.asarray(variable) for i, variable in enumerate(variables)}
    record = np.frombuffer(msgspec.json.encode(asdict(position)), np.uint8)
    np.savez(buffer, position=record, **arrays)  # type: ignore[arg-type] # numpy's stub has no room for names in a dict
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / name, buffer.getvalue())


def load(folder: Path, identity: str, name: str = CHECKPOINT) -> tuple[Position, list[NDArray[Any]]] | None:
    """Read what `save` wrote; None where there is nothing yet, DataError where it is another training's."""
    return load_as(Position, folder, identity, name)


def load_as(
    kind: type[Record], folder: Path, identity: str, name: str = CHECKPOINT
) -> tuple[Record, list[NDArray[Any]]] | None:
    """Read what `save` wrote with a position of that kind, which has an `identity`."""
    if not (folder / name).is_file():
        return None
    with np.load(folder / name) as arrays:
        raw = msgspec.json.decode(arrays["position"].tobytes())
        values = [arrays[key] for key in sorted(arrays.files) if key != "position"]
    if raw["identity"] != identity:
        msg = f"{folder}: holds a training begun with other settings or data; name another folder, or remove this one"
        raise DataError(msg)
    if raw["best"] is None:  # JSON has no infinity
        raw["best"] = float("inf")
    return msgspec.convert(raw, kind), values


def assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Give variables the values that were saved from them."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
