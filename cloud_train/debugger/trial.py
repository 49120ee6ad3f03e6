"""A run as rules and reports read it: by collection, name, step and mode, while it is still being written."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from cloud_train.recordings import DataError

from .place import Mirror
from .reductions import reduced
from .saved import DEBUG, END, MODES, RUN, STEP_FILE, STEPS, End, Mode, Reduction, RunInfo, from_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
SMALL_BYTES = 65_536
"""A step's file up to this size is kept in memory once it has been read."""


@dataclass(frozen=True, eq=False)
class _Step:
    """One step's file: when it was written, its names by collection, and its tensors if they are small."""

    path: Path
    seen: tuple[int, int]
    time: datetime
    collections: Mapping[str, frozenset[str]]
    stored: frozenset[str]
    small: Mapping[str, NDArray[Any]] | None = field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name.partition(":")[0] for name in self.stored)

    def read(self, name: str) -> NDArray[Any]:
        if self.small is not None:
            return self.small[name]
        from safetensors import safe_open

        with safe_open(self.path, framework="numpy") as file:
            array: NDArray[Any] = file.get_tensor(name)
            return array


class Trial:
    """Reads a run's folder, or its `s3://` prefix, as far as it is written; `refresh` looks for more.

    DataError where there is no run, or one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._mirror: Mirror | None = None
        self.folder = Path(path) / DEBUG
        if str(path).startswith("s3://"):
            self._scratch = tempfile.TemporaryDirectory(prefix="touchline-run-")
            self.folder = Path(self._scratch.name)
            self._mirror = Mirror(f"{str(path).rstrip('/')}/{DEBUG}", self.folder)
        self._steps: dict[tuple[Mode, int], _Step] = {}
        self._memory: dict[Hashable, Any] = {}
        self.end: End | None = None
        self.refresh()
        self.run = from_json(self._record(), RunInfo, f"{path}/{DEBUG}/{RUN}")

    def refresh(self) -> None:
        """Take in what was written since."""
        if self._mirror is not None:
            self._mirror.refresh()
        end = self.folder / END
        if end.is_file():  # before the steps: then none is missed
            self.end = from_json(end.read_bytes(), End, f"{self.path}/{DEBUG}/{END}")
        else:
            self.end = None
        for file in (self.folder / STEPS).glob("*.safetensors"):
            matched = STEP_FILE.fullmatch(file.name)
            if matched is None:
                continue
            key = (cast("Mode", matched[1]), int(matched[2]))
            known, status = self._steps.get(key), file.stat()
            if known is None or known.seen != (status.st_mtime_ns, status.st_size):
                if known is not None:
                    self._memory.clear()
                self._steps[key] = _opened(file, (status.st_mtime_ns, status.st_size))

    def names(self, collection: str | None = None, regex: str | None = None, mode: Mode | None = None) -> list[str]:
        """Give the names of the tensors that were saved at any step, also of those of which only reductions were.

        DataError for a collection that the run does not have, with the nearest that it has.
        """
        if collection is not None:
            self._require(collection)
        found: set[str] = set()
        for (of, _), step in self._steps.items():
            if mode in (None, of):
                found |= step.names if collection is None else step.collections.get(collection, frozenset())
        return sorted(name for name in found if regex is None or re.search(regex, name))

    def collections(self) -> list[str]:
        """Give the names of the collections that hold something, and of those that were asked for."""
        return sorted({name for step in self._steps.values() for name in step.collections} | set(self.run.save))

    def steps(self, name: str | None = None, mode: Mode | None = None) -> list[int]:
        """Give the steps at which a tensor, or any, was saved, in order."""
        keys = (key for key, step in self._steps.items() if name is None or name in step.names)
        return sorted({number for of, number in keys if mode in (None, of)})

    def modes(self, name: str) -> list[Mode]:
        """Give the modes in which a tensor was saved."""
        return [mode for mode in MODES if self.steps(name, mode)]

    def tensor(self, name: str, step: int, mode: Mode | None = None) -> NDArray[Any]:
        """Read one tensor; DataError where it was not saved whole at that step."""
        return self._read(name, step, mode)

    def reduction(self, name: str, step: int, kind: Reduction, mode: Mode | None = None) -> NDArray[Any] | None:
        """Read what is left of a tensor by a reduction; None where only others were saved, or the tensor itself."""
        try:
            return self._read(f"{name}:{kind}", step, mode)
        except DataError:
            return None

    def whole(self, name: str, step: int, mode: Mode | None = None) -> bool:
        """Say whether a tensor was saved itself, and not only its reductions."""
        return any(name in found.stored for found in self._of(step, mode))

    def values(self, name: str, mode: Mode | None = None) -> tuple[list[int], list[NDArray[Any]]]:
        """Read a tensor at all of its steps, in the first of its modes if none is named; give steps and arrays."""
        found = self.modes(name)
        mode = mode or (found[0] if found else None)
        steps = [step for step in self.steps(name, mode) if self.whole(name, step, mode)]
        return steps, [self.tensor(name, step, mode) for step in steps]

    def number(self, name: str, step: int, kind: Reduction, mode: Mode | None = None) -> float:
        """Give one number for a tensor, saved or computed once; NaN where neither it nor this reduction was saved."""

        def compute() -> float:
            part = self.reduction(name, step, kind, mode)
            if part is None and self.whole(name, step, mode):
                part = reduced(self.tensor(name, step, mode).astype(np.float32), (kind,))[kind]
            return float("nan") if part is None else scalar(part)

        return self.once((name, step, kind, mode), compute)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute what depends on saved steps alone, and remember it."""
        if key not in self._memory:
            self._memory[key] = compute()
        found: T = self._memory[key]
        return found

    def time(self, step: int, mode: Mode | None = None) -> datetime:
        """Give the time at which a step was saved."""
        return max(found.time for found in self._of(step, mode))

    def last_saved(self) -> datetime:
        """Give the time of the newest step; of the start, before the first."""
        started = datetime.fromisoformat(self.run.started)
        return max((step.time for step in self._steps.values()), default=started)

    def _of(self, step: int, mode: Mode | None) -> list[_Step]:
        modes = MODES if mode is None else (mode,)
        return [self._steps[of, step] for of in modes if (of, step) in self._steps]

    def _read(self, stored: str, step: int, mode: Mode | None) -> NDArray[Any]:
        for found in self._of(step, mode):
            if stored in found.stored:
                return found.read(stored)
        where = f"at step {step}" + (f" in mode {mode}" if mode else "")
        msg = f"{self.path}: no tensor {stored!r} was saved {where}"
        raise DataError(msg)

    def _require(self, collection: str) -> None:
        known = self.collections()
        if collection not in known:
            near = get_close_matches(collection, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none yet'}"
            msg = f"{self.path}: no collection {collection!r}; {advice}"
            raise DataError(msg)

    def _record(self) -> bytes:
        file = self.folder / RUN
        if not file.is_file():
            msg = f"{self.path}: holds no {DEBUG}/{RUN}, so no hook has begun to save there"
            raise DataError(msg)
        return file.read_bytes()


def _opened(path: Path, seen: tuple[int, int]) -> _Step:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about, stored = file.metadata(), frozenset(file.keys())
            small = {name: file.get_tensor(name) for name in stored} if seen[1] <= SMALL_BYTES else None
        groups = {name: frozenset(members) for name, members in json.loads(about["collections"]).items()}
        return _Step(path, seen, datetime.fromisoformat(about["time"]), groups, stored, small)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: is no whole step of a run ({error}); remove it, or copy it again"
        raise DataError(msg) from None


def scalar(array: NDArray[Any]) -> float:
    """Give the number that an array of one number holds."""
    return float(np.asarray(array).reshape(-1)[0])
