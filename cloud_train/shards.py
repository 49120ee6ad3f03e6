"""One recording's features on disk: a folder of NumPy arrays, there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np

from edge.clip import MODALITIES, Clip, Modality
from edge.features import features
from edge.manifest import Manifest

from .atomic import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD = "shard.json"
MISSING = "nothing of it could be used"


@dataclass(frozen=True)
class Fault:
    """What was wrong with one second of a recording; None where it is the recording's as a whole."""

    second: int | None
    reason: str


@dataclass(frozen=True)
class Shard:
    """A finished shard's record: its recording's content hash, its seconds, and what was wrong with some.

    `stamp` tells whether the file that it was made of is still the same.
    """

    sha256: str
    stamp: str
    seconds: int
    faults: tuple[Fault, ...] = ()


class ArrayFile:
    """A `.npy` file that grows row by row; `close` writes the number of rows into its header.

    NumPy leaves room in the header for exactly this: a first axis that becomes longer.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)
        self._rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows; all are of one shape and type."""
        if self._rows == 0:
            self._shape, self._dtype = rows.shape[1:], rows.dtype
            self._write_header()
        self._file.write(np.ascontiguousarray(rows).data)  # tofile would not say why a disk refuses
        self._rows += len(rows)

    def close(self) -> None:
        """Finish the file."""
        if self._rows:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file, finished or not."""
        with suppress(OSError):  # a full disk refuses once more what is still to be written
            self._file.close()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def write_shard(folder: Path, clips: Iterable[Clip], manifest: Manifest, *, sha256: str, stamp: str) -> Shard:
    """Compute and write the features of a recording's clips, one second in memory at a time.

    `MODALITY.npy` holds the looks and `MODALITY_second.npy` the second that each shows. A modality whose features
    cannot be computed for a second is left out there, and the record says so.
    """
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    files: dict[str, ArrayFile] = {}
    faults: list[Fault] = []
    count = expected = 0
    try:
        for clip in clips:
            count += 1
            second = int(clip.start)
            faults += [Fault(missing, MISSING) for missing in range(expected, second)]
            expected = second + 1
            faults += [Fault(second, reason) for reason in clip.faults]
            for name, looks in _looks(clip, manifest, faults).items():
                if name not in files:
                    files |= {key: ArrayFile(scratch / f"{key}.npy") for key in (name, f"{name}_second")}
                files[name].append(looks)
                files[f"{name}_second"].append(np.full(len(looks), second, np.int64))
        for file in files.values():
            file.close()
        shard = Shard(sha256, stamp, count, tuple(faults))
        write_record(scratch, shard)
        _put_in_place(scratch, folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        for file in files.values():
            file.abandon()
        shutil.rmtree(scratch, ignore_errors=True)
    return shard


def _looks(clip: Clip, manifest: Manifest, faults: list[Fault]) -> dict[str, NDArray[Any]]:
    looks: dict[str, NDArray[Any]] = {}
    for name in MODALITIES:
        if getattr(manifest.features, name) is None:
            continue
        try:
            tensor = features(clip, manifest, name)
        except (ValueError, cv2.error) as error:
            faults.append(Fault(int(clip.start), f"{name}: {error}"))
            continue
        if tensor is not None:
            looks[name] = np.ascontiguousarray(tensor)
    return looks


def _put_in_place(scratch: Path, folder: Path) -> None:
    if folder.exists():  # of a recording that has changed, or never finished
        folder.rename(scratch / "old")
    scratch.rename(folder)
    shutil.rmtree(folder / "old", ignore_errors=True)


def write_record(folder: Path, shard: Shard) -> None:
    """Write a shard's record, which makes it finished."""
    write_atomically(folder / RECORD, msgspec.json.encode(shard))


def read_record(folder: Path) -> Shard | None:
    """Read the record of a finished shard; None where there is none."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Shard)
    except (OSError, msgspec.MsgspecError):
        return None


def read_shard(folder: Path, modality: Modality) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    """Open one modality's looks `[n, ...]`, mapped and read when used, and the second that each shows.

    None where the recording has nothing for the modality.
    """
    file = folder / f"{modality}.npy"
    if not file.is_file():
        return None
    return np.load(file, mmap_mode="r"), np.load(folder / f"{modality}_second.npy")
