"""Looks of many recordings as one array that is read where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPEN_FILES = 512


class Rows:
    """The rows of many `.npy` files, one after another: indexed like one array, read from disk when indexed."""

    def __init__(self, files: Sequence[Path], counts: Sequence[int]) -> None:
        self._files = tuple(files)
        self._ends = np.cumsum(counts)
        first = np.load(self._files[0], mmap_mode="r")
        self.shape = (int(self._ends[-1]), *first.shape[1:])
        self.dtype = first.dtype
        self._open = lru_cache(OPEN_FILES)(lambda i: np.load(self._files[i], mmap_mode="r"))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Read the rows at a slice or at an array of indices."""
        rows = np.arange(*index.indices(len(self))) if isinstance(index, slice) else np.asarray(index)
        files = np.searchsorted(self._ends, rows, side="right")
        starts = np.r_[0, self._ends]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for i in np.unique(files):
            here = np.flatnonzero(files == i)
            found[here] = self._open(int(i))[rows[here] - starts[i]]
        return found


@dataclass(frozen=True, eq=False)
class Looks:
    """All looks of one modality at some recordings: `x[i]` shows second `second[i]` of recording `recording[i]`.

    `x` is an array, or Rows that are read when indexed. `y` is the label's index, -1 for `unknown`; `recording`
    indexes `ids`.
    """

    x: Any
    y: NDArray[np.int64]
    recording: NDArray[np.int64]
    second: NDArray[np.int64]
    ids: tuple[str, ...]
