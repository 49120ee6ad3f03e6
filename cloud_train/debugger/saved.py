"""What a run leaves on disk for the debugger, described once: it is written and read by the same code.

RUN/debug/run.json                            what is trained, and what is saved of it
RUN/debug/steps/train-000000010.safetensors   the tensors of one step and mode
RUN/debug/end.json                            how it ended
RUN/debug/findings.json                       what the rules have found
RUN/debug/stop.json                           a request to stop, and why
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import msgspec
import numpy as np

from cloud_train.recordings import DataError

from .place import Place, place

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
"""The format that this code writes, and the newest that it reads."""
DEBUG, RUN, END, STOP, FINDINGS, STEPS = "debug", "run.json", "end.json", "stop.json", "findings.json", "steps"

Mode = Literal["train", "eval", "predict", "global"]
MODES: tuple[Mode, ...] = get_args(Mode)
Reduction = Literal["min", "max", "mean", "std", "l2", "abs_mean", "zeros", "active", "saturated", "histogram"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
STEP_FILE = re.compile(r"(train|eval|predict|global)-(\d{9,})\.safetensors")

T = TypeVar("T")


def now() -> str:
    """Give the time in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Collection:
    """What is saved of one kind of tensor: every `interval` steps from `start_step` to before `end_step`.

    An interval of 0 means the last step alone. Only names that the regular expression `include` finds something in;
    with `reductions` what is left by them, instead of the tensors themselves.
    """

    interval: int = 500
    start_step: int = 0
    end_step: int | None = None
    include: str = ""
    reductions: tuple[Reduction, ...] = ()

    def due(self, step: int) -> bool:
        """Say whether a step is to be saved."""
        past = self.end_step is not None and step >= self.end_step
        if self.interval == 0 or step < self.start_step or past:
            return False
        return (step - self.start_step) % self.interval == 0


@dataclass(frozen=True)
class Layer:
    """A layer of a network: its name, which its outputs have as well, its class and its activation."""

    name: str
    kind: str
    activation: str = ""


@dataclass(frozen=True)
class RunInfo:
    """What a job trains. `loss` is the name of the objective's metric; `labels` are the classes by number.

    `predicted` says of which rows predictions and labels are saved. `pid` on `host` is the job's process.
    """

    framework: Literal["keras", "xgboost", "other"]
    job: str
    started: str = field(default_factory=now)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    objective: str = ""
    loss: str = ""
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    predicted: Literal["validation", "train", ""] = ""
    rows: dict[str, int] = field(default_factory=dict)
    save: dict[str, Collection] = field(default_factory=dict)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    format: int = FORMAT


@dataclass(frozen=True)
class End:
    """How a run ended, and why; `best_step` is the step whose model was kept."""

    status: Literal["completed", "stopped", "failed"]
    reason: str = ""
    ended: str = field(default_factory=now)
    best_step: int | None = None


@dataclass(frozen=True)
class StopRequest:
    """A wish that a job ends at its next step; `reason` is for its status."""

    reason: str
    asked: str = field(default_factory=now)


def debug_place(run: str | Path) -> Place:
    """Give the place of a run's debugger files."""
    return place(f"{str(run).rstrip('/')}/{DEBUG}")


def to_json(record: Any) -> bytes:  # noqa: ANN401 - one of the dataclasses here, or a tree
    """Write a record as indented JSON; what JSON does not know, such as a path, becomes text."""
    return msgspec.json.format(msgspec.json.encode(record, enc_hook=str), indent=2) + b"\n"


def from_json(data: bytes, kind: type[T], where: str) -> T:
    """Read a record; DataError names `where` and says what is wrong, another version first."""
    try:
        raw = msgspec.json.decode(data)
        found = raw.get("format", FORMAT) if isinstance(raw, dict) else FORMAT
        if found != FORMAT:
            msg = f"{where}: is of format {found}; this version reads format {FORMAT}"
            raise DataError(msg)
        return msgspec.convert(raw, kind)
    except msgspec.MsgspecError as error:
        msg = f"{where}: cannot be read ({error})"
        raise DataError(msg) from None


def step_file(mode: Mode, step: int) -> str:
    """Give the name of a step's file."""
    return f"{STEPS}/{mode}-{step:09d}.safetensors"


class Saver:
    """Writes a run: first what it is, then its steps, at last how it ended.

    DataError where the run was saved before, unless it is to `go_on` there.
    """

    def __init__(self, run: str | Path, info: RunInfo, *, go_on: bool = False) -> None:
        self.run, self.info, self.place = run, info, debug_place(run)
        if not go_on and self.place.read(RUN) is not None:
            msg = f"{self.place}: holds a run already; name another folder, or remove this one"
            raise DataError(msg)
        self.place.write(RUN, to_json(info))

    def save(self, step: int, mode: Mode, tensors: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the tensors of a step, by collection and name. A step that is saved again is replaced.

        What is left of a reduced tensor is called by its name and the reduction, such as `conv/kernel:mean`.
        """
        from safetensors.numpy import save

        arrays = {name: _plain(value) for group in tensors.values() for name, value in group.items()}
        names = {kind: sorted({name.partition(":")[0] for name in group}) for kind, group in tensors.items()}
        about = {"step": str(step), "mode": mode, "time": now(), "collections": msgspec.json.encode(names).decode()}
        self.place.write(step_file(mode, step), save(arrays, about))

    def end(self, end: End) -> None:
        """Say how it ended."""
        self.place.write(END, to_json(end))

    def stop_request(self) -> StopRequest | None:
        """Give the request to stop, if there is one."""
        found = self.place.read(STOP)
        return None if found is None else from_json(found, StopRequest, f"{self.place}/{STOP}")


def _plain(value: Any) -> NDArray[Any]:  # noqa: ANN401 - whatever NumPy takes
    """Give an array of a type that NumPy has of its own."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.name == "float8":
        array = array.astype(np.float32)
    return np.ascontiguousarray(array).reshape(array.shape)
