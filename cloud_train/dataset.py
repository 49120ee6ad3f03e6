"""Recordings to one-second clips to features, through the very code that runs on the device."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge.clip import MODALITIES, Clip, Modality
from edge.features import features
from edge.manifest import Manifest
from edge.sources import Source, SourceError
from edge.windows import Windower, clips

from .atomic import write_atomically
from .progress import track
from .recordings import DataError, Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

INDEX = "features.json"


@dataclass(frozen=True)
class Dataset:
    """A folder of extracted features: the draft manifest they were made with and the recordings, one shard each."""

    path: Path
    manifest: Manifest
    recordings: tuple[Recording, ...]

    @classmethod
    def load(cls, path: str | Path) -> Dataset:
        """Read the index of an extracted folder."""
        path = Path(path)
        if not (path / INDEX).is_file():
            msg = f"{path}: holds no extracted features ({INDEX}); make them with `touchline-train extract`"
            raise DataError(msg)
        raw = msgspec.json.decode((path / INDEX).read_bytes())
        recordings = tuple(msgspec.convert(row, Recording) for row in raw["recordings"])
        return cls(path, msgspec.convert(raw["manifest"], Manifest), recordings)

    def save(self) -> None:
        """Write the index, whole or not at all."""
        raw = {
            "manifest": msgspec.to_builtins(self.manifest),
            "recordings": [asdict(r) for r in self.recordings],
        }
        write_atomically(self.path / INDEX, msgspec.json.format(msgspec.json.encode(raw), indent=1))

    def shard(self, recording: Recording) -> Path:
        """Give the file of a recording's features."""
        return self.path / "shards" / f"{recording.id}.npz"

    def sha256(self) -> str:
        """Hash what the models will see: labels, sides and every shard, in order."""
        digest = hashlib.sha256()
        for recording in self.recordings:
            digest.update(f"{recording.id},{recording.label},{recording.side}\n".encode())
            digest.update(hashlib.sha256(self.shard(recording).read_bytes()).digest())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Looks:
    """All looks of one modality at some recordings: `x[i]` shows second `second[i]` of recording `recording[i]`.

    `y` is the label's index; `recording` indexes `ids`.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    recording: NDArray[np.int64]
    second: NDArray[np.int64]
    ids: tuple[str, ...]


def extract(
    recordings: Sequence[Recording], manifest: Manifest, out: str | Path, *, processes: int | None = None
) -> tuple[Dataset, list[str]]:
    """Extract every recording's features into `out`, in parallel; return the dataset and what could not be read.

    Shards that exist are kept, so a run that was killed goes on where it stopped. `manifest` says how clips and
    features are made; its labels become those of the recordings, sorted.
    """
    labels = tuple(sorted({r.label for r in recordings}))
    dataset = Dataset(Path(out), replace(manifest, labels=labels), tuple(recordings))
    (dataset.path / "shards").mkdir(parents=True, exist_ok=True)
    _refuse_other_features(dataset)
    done: dict[str, int] = {}
    failures = []
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(extract_one, r.uri, dataset.shard(r), dataset.manifest): r for r in recordings}
        for job in track(as_completed(jobs), "extracting features", total=len(jobs)):
            try:
                done[jobs[job].id] = job.result()
            except SourceError as error:
                failures.append(str(error))
    kept = tuple(replace(r, seconds=done[r.id]) for r in recordings if r.id in done)
    if not kept:
        msg = f"no recording could be read; the first failure: {failures[0]}"
        raise DataError(msg)
    dataset = replace(dataset, recordings=kept)
    dataset.save()
    return dataset, sorted(failures)


def _refuse_other_features(dataset: Dataset) -> None:
    if (dataset.path / INDEX).is_file():
        other = Dataset.load(dataset.path).manifest
        if (other.clip, other.features) != (dataset.manifest.clip, dataset.manifest.features):
            msg = f"{dataset.path}: holds features made with other parameters; name another folder"
            raise DataError(msg)


def extract_one(uri: str, shard: Path, manifest: Manifest) -> int:
    """Write one recording's shard (unless it exists) and return how many seconds it has."""
    if shard.is_file():
        return len(np.load(shard)["starts"])
    arrays = shard_arrays(list(read_clips(uri, manifest)), manifest)
    scratch = shard.with_suffix(".tmp.npz")
    np.savez(scratch, **arrays)  # type: ignore[arg-type] # numpy's stub has no room for names in a dict
    scratch.replace(shard)
    return len(arrays["starts"])


def read_clips(uri: str, manifest: Manifest) -> Iterator[Clip]:
    """Cut a recording into its seconds, as the device does."""
    with Source(uri, manifest.clip.sample_rate_hz, video=manifest.sees, audio=manifest.hears) as source:
        yield from clips(source, Windower(manifest.clip, video=source.video, audio=source.audio))


def shard_arrays(seconds: Sequence[Clip], manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Lay the features of a recording's clips out flat: per modality the looks and the second that each shows."""
    arrays: dict[str, NDArray[Any]] = {"starts": np.array([clip.start for clip in seconds])}
    for name in MODALITIES:
        if getattr(manifest.features, name) is None:
            continue
        tensors = [(i, features(clip, manifest, name)) for i, clip in enumerate(seconds)]
        present = [(i, tensor) for i, tensor in tensors if tensor is not None]
        if present:
            arrays[name] = np.concatenate([tensor for _, tensor in present])
            arrays[f"{name}_second"] = np.concatenate([np.full(len(tensor), i) for i, tensor in present])
    return arrays


def load_looks(dataset: Dataset, modality: Modality, side: str) -> Looks:
    """Read one modality's looks at one side of the split into memory."""
    chosen = [r for r in dataset.recordings if r.side == side]
    x, y, recording, second = [], [], [], []
    for i, r in enumerate(chosen):
        with np.load(dataset.shard(r)) as shard:
            if modality not in shard:
                continue
            x.append(shard[modality])
            second.append(shard[f"{modality}_second"])
        y.append(np.full(len(x[-1]), dataset.manifest.labels.index(r.label)))
        recording.append(np.full(len(x[-1]), i))
    if not x:
        msg = f"{dataset.path}: no {modality} in any recording of the {side} side"
        raise DataError(msg)
    return Looks(
        x=np.concatenate(x),
        y=np.concatenate(y),
        recording=np.concatenate(recording),
        second=np.concatenate(second),
        ids=tuple(r.id for r in chosen),
    )
