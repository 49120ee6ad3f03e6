"""One training job: recordings in, a bundle out; killed at any point, the same call goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle import MANIFEST, Bundle
from edge.clip import MODALITIES, Modality
from edge.manifest import BundleError, Manifest, RuleName

from . import stop
from .args import Args
from .atomic import write_atomically
from .backend import load_tensorflow
from .dataset import INDEX, Dataset, extract
from .progress import console
from .recordings import DataError, find_recordings
from .report import METRICS, REPORT
from .sagemaker import metric_line
from .shards import read_shard
from .split import SIDES, split

if TYPE_CHECKING:
    from .runs import Run

LISTS = ("manifest.csv", "manifest.parquet")
"""A data folder that holds one of these is listed by it, and not by its folders."""


@dataclass(frozen=True)
class Job:
    """What is learnt from what, and where: the bundle goes to `out`, the report to `report`, what is resumed to `work`.

    `data` names recordings, or features that were extracted and split; no `modalities` mean all that the data have.
    """

    data: Path
    out: Path
    work: Path
    report: Path
    draft: Manifest
    args: Mapping[Modality, Args]
    modalities: tuple[Modality, ...] = ()
    name: str = "match"
    version: str = "1.0.0"
    rule: RuleName = "class_model_table"


def run(job: Job) -> Bundle:
    """Extract, split, fit each modality, export; report metrics as lines on stdout and as files.

    Stopped between two steps where SIGTERM came, with all finished work in `job.work`.
    """
    refuse_foreign(job.out)
    dataset = _dataset(job)
    modalities = _modalities(job, dataset)
    _go_on()
    load_tensorflow()  # takes seconds: only after the data was found good
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # else it advises against several models in one process
    runs = [_fitted(job, dataset, modality) for modality in modalities]
    from .export import export

    bundle = export(runs, job.work / "bundle", name=job.name, version=job.version, rule=job.rule)
    _say("fused", "int8_accuracy", bundle.manifest.metrics["fused"]["int8_accuracy"])
    _report(job, bundle)
    return deliver(bundle, job.out)


def deliver(bundle: Bundle, out: Path) -> Bundle:
    """Copy a bundle to `out`; an empty folder, as SageMaker mounts it, is filled and stays, the manifest comes last."""
    files = {name: (bundle.path / name).read_bytes() for name in bundle.manifest.files}
    if not out.is_dir() or (out / MANIFEST).is_file():
        return Bundle.save(out, bundle.manifest, files)
    for name, data in {**files, MANIFEST: bundle.manifest.to_json()}.items():
        write_atomically(out / name, data)
    return Bundle.load(out)


def refuse_foreign(out: Path) -> None:
    """Raise a BundleError where `out` holds anything that is no bundle, before work is spent on it."""
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        msg = f"{out}: exists and is not a bundle; name another directory"
        raise BundleError(msg)


def _go_on() -> None:
    if stop.requested():
        msg = "stopped between two steps"
        raise stop.Stopped(msg)


def _dataset(job: Job) -> Dataset:
    """Extract and split the recordings; extracted features are taken as they are."""
    if (job.data / INDEX).is_file():
        dataset = Dataset.load(job.data)
        if not all(r.side for r in dataset.recordings):
            msg = f"{job.data}: the features are not split yet; do it with `touchline-train split`"
            raise DataError(msg)
        return dataset
    dataset, failures = extract(find_recordings(listed(job.data)), job.draft, job.work / "features")
    for failure in failures:
        console.print(f"left out: {failure}", highlight=False, soft_wrap=True)
    if not all(r.side for r in dataset.recordings):
        dataset = replace(dataset, recordings=split(dataset.recordings))
        dataset.save()
    return dataset


def listed(data: Path) -> Path:
    """Give the list of recordings that a data folder holds, or the folder itself."""
    return next((data / name for name in LISTS if (data / name).is_file()), data)


def _modalities(job: Job, dataset: Dataset) -> tuple[Modality, ...]:
    found = present(dataset)
    missing = [name for name in job.modalities if name not in found]
    if missing or not found:
        msg = f"{job.data}: the recordings have no {missing[0] if missing else 'modality'} on every side of the split"
        raise DataError(msg)
    return job.modalities or found


def present(dataset: Dataset) -> tuple[Modality, ...]:
    """Name the modalities that some recording of each side has."""
    missing = {(side, modality) for side in SIDES for modality in MODALITIES}
    for recording in dataset.recordings:
        shard, side = dataset.shard(recording), recording.side
        missing -= {(s, name) for s, name in missing if s == side and read_shard(shard, name) is not None}
        if not missing:
            break
    return tuple(name for name in MODALITIES if not any((side, name) in missing for side in SIDES))


def _fitted(job: Job, dataset: Dataset, modality: Modality) -> Run:
    """Train a modality, go on with it, or take it as it is; its folder is named after settings and data."""
    import keras

    from .train import fit

    keras.utils.clear_session()  # memory, and numbered layer names: a model's file does not depend on those before it
    args = job.args[modality]
    what = json.dumps([asdict(args), dataset.sha256()], sort_keys=True)
    run = fit(
        dataset, modality, args, job.work / "runs" / f"{modality}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    )
    assert run is not None, "one worker is the chief"
    for name, value in run.metrics.items():
        _say(modality, name, value)
    _go_on()
    return replace(run, data=str(dataset.path))  # a finished run may come from a work folder that was moved


def _say(judge: str, name: str, value: float) -> None:
    sys.stdout.write(metric_line(judge, name, value) + "\n")
    sys.stdout.flush()


def _report(job: Job, bundle: Bundle) -> None:
    """Put the bundle's page and figures where they are looked for."""
    job.report.mkdir(parents=True, exist_ok=True)
    for name in (REPORT, METRICS):
        write_atomically(job.report / name, (bundle.path / name).read_bytes())
