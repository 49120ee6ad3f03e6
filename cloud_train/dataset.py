"""Recordings to one-second clips to features, through the very code that runs on the device."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from edge.clip import UNKNOWN, Clip, Modality
from edge.manifest import Manifest
from edge.sources import Source, SourceError
from edge.windows import Windower, clips

from . import stop
from .atomic import write_atomically
from .looks import Looks, Rows
from .parallel import CrashedError, Engine, over
from .progress import bar
from .recordings import DataError, Recording
from .shards import Shard, read_record, read_shard, write_record, write_shard
from .split import duplicates
from .uris import fetched

INDEX = "features.json"
PARAMETERS = "parameters.json"
FAULTS = "faults.csv"
DOWNLOADS = "downloads"


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
        """Give the folder of a recording's features."""
        return self.path / "shards" / recording.id

    def sha256(self) -> str:
        """Hash what the models will see: how features are made, and every recording's content, label and side."""
        digest = hashlib.sha256(msgspec.json.encode((self.manifest.clip, self.manifest.features)))
        for r in self.recordings:
            digest.update(f"{r.id},{r.label},{r.side},{r.sha256}\n".encode())
        return digest.hexdigest()


def extract(
    recordings: Sequence[Recording],
    manifest: Manifest,
    out: str | Path,
    *,
    engine: Engine = "local",
    workers: int = 0,
) -> tuple[Dataset, list[str]]:
    """Extract every recording's features into `out`, in parallel; return the dataset and what could not be read.

    Shards that exist are kept, so a run that was killed goes on where it stopped, and sides that were given stay.
    `manifest` says how clips and features are made; its labels become those of the recordings, sorted, without
    `unknown`. What was wrong with single seconds is written to `faults.csv`.
    """
    labels = tuple(sorted({r.label for r in recordings} - {UNKNOWN}))
    dataset = Dataset(Path(out), replace(manifest, labels=labels), tuple(recordings))
    (dataset.path / "shards").mkdir(parents=True, exist_ok=True)
    for left in (dataset.path / "shards").glob(".*"):  # of a process that was killed in the middle of a shard
        shutil.rmtree(left)
    sides = _sides_given(dataset)
    _write_parameters(dataset)
    shards: dict[str, Shard] = {}
    failures: dict[str, str] = {}
    began, seconds = time.monotonic(), 0
    with bar("extracting features", len(recordings)) as advance:
        one = partial(extract_one, folder=dataset.path / "shards", manifest=dataset.manifest)
        for recording, result in over(recordings, one, engine=engine, workers=workers):
            if isinstance(result, Shard):
                shards[recording.id] = result
                seconds += result.seconds
            elif isinstance(result, SourceError | CrashedError):
                failures[recording.id] = _named(recording, result)
            else:
                raise result
            if stop.requested():
                msg = f"{dataset.path}: stopped as asked; {len(shards)} of {len(recordings)} recordings are extracted"
                raise stop.Stopped(msg)
            advance(f"{seconds} seconds, {seconds / (time.monotonic() - began):.1f} a second")
    kept = [
        replace(r, seconds=shards[r.id].seconds, sha256=shards[r.id].sha256, side=sides.get(r.id, ""))
        for r in recordings
        if r.id in shards
    ]
    for group in duplicates(kept):
        for r in group if len({r.label for r in group}) > 1 else ():
            other = next(o for o in group if o.label != r.label)
            failures[r.id] = f"{r.uri}: is labelled {r.label}, but {other.uri}, the same recording, {other.label}"
    kept = [r for r in kept if r.id not in failures]
    if not kept:
        msg = f"no recording could be read; the first failure: {min(failures.values())}"
        raise DataError(msg)
    dataset = replace(dataset, recordings=tuple(kept))
    _write_faults(dataset.path / FAULTS, recordings, shards, failures)
    dataset.save()
    return dataset, sorted(failures.values())


def _named(recording: Recording, error: Exception) -> str:
    return str(error) if isinstance(error, SourceError) else f"{recording.uri}: {error}"


def _sides_given(dataset: Dataset) -> dict[str, str]:
    if not (dataset.path / INDEX).is_file():
        return {}
    return {r.id: r.side for r in Dataset.load(dataset.path).recordings}


def _write_parameters(dataset: Dataset) -> None:
    """Leave beside the shards what they are made with; DataError if there are other ones."""
    file = dataset.path / PARAMETERS
    parameters = msgspec.json.format(msgspec.json.encode((dataset.manifest.clip, dataset.manifest.features)), indent=1)
    if file.is_file() and file.read_bytes() != parameters:
        msg = f"{dataset.path}: holds features made with other parameters; name another folder"
        raise DataError(msg)
    write_atomically(file, parameters)


def _write_faults(
    file: Path, recordings: Sequence[Recording], shards: dict[str, Shard], failures: dict[str, str]
) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("recording", "uri", "second", "reason"))
    for r in recordings:
        if r.id in failures:
            rows.writerow((r.id, r.uri, "", failures[r.id]))
        elif r.id in shards:
            rows.writerows((r.id, r.uri, fault.second, fault.reason) for fault in shards[r.id].faults)
    write_atomically(file, text.getvalue().encode())


def extract_one(recording: Recording, folder: Path, manifest: Manifest) -> Shard:
    """Write one recording's shard under `folder`, unless it is there and its source unchanged; return its record.

    What lies elsewhere is fetched for it, once.
    """
    shard, stamp = folder / recording.id, _stamp(Path(recording.uri))
    record = read_record(shard)
    if record is not None and record.stamp == stamp:
        return record
    with fetched(recording.uri, folder.parent / DOWNLOADS) as file:
        sha256 = content_hash(file) if file.is_file() else ""  # without one, reading says in a sentence what is wrong
        if record is not None and record.sha256 == sha256:  # copied once more, but the same
            record = replace(record, stamp=stamp)
            write_record(shard, record)
            return record
        seconds = _read(file, manifest, decoder_threads=1)
        try:
            return write_shard(shard, seconds, manifest, sha256=sha256, stamp=stamp)
        except SourceError as error:
            raise type(error)(str(error).replace(str(file), recording.uri)) from None


def _stamp(source: Path) -> str:
    try:
        status = source.stat()
    except OSError:
        return ""
    return f"{status.st_size} bytes of {status.st_mtime_ns}"


def content_hash(file: Path) -> str:
    """Give a file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_clips(uri: str, manifest: Manifest) -> Iterator[Clip]:
    """Cut a recording into its seconds, as the device does."""
    with tempfile.TemporaryDirectory() as folder, fetched(uri, Path(folder)) as file:
        yield from _read(file, manifest)


def _read(file: Path, manifest: Manifest, *, decoder_threads: int = 0) -> Iterator[Clip]:
    rate, sees, hears = manifest.clip.sample_rate_hz, manifest.sees, manifest.hears
    with Source(str(file), rate, video=sees, audio=hears, decoder_threads=decoder_threads) as source:
        yield from clips(source, Windower(manifest.clip, video=source.video, audio=source.audio))


def load_looks(dataset: Dataset, modality: Modality, side: str) -> Looks:
    """List one modality's looks at one side of the split; they are read from the shards when indexed."""
    chosen = [r for r in dataset.recordings if r.side == side]
    files, y, recording, seconds = [], [], [], []
    for i, r in enumerate(chosen):
        found = read_shard(dataset.shard(r), modality)
        if found is None:
            continue
        files.append(dataset.shard(r) / f"{modality}.npy")
        seconds.append(found[1])
        y.append(np.full(len(found[1]), -1 if r.label == UNKNOWN else dataset.manifest.labels.index(r.label)))
        recording.append(np.full(len(found[1]), i))
    if not files:
        msg = f"{dataset.path}: no {modality} in any recording of the {side} side"
        raise DataError(msg)
    return Looks(
        x=Rows(files, [len(each) for each in seconds]),
        y=np.concatenate(y),
        recording=np.concatenate(recording),
        second=np.concatenate(seconds),
        ids=tuple(r.id for r in chosen),
    )
