"""The steps of the event pipeline: each calls what a subcommand of `touchline-train` calls, and fills artifacts."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.recordings import DataError
from edge.clip import MODALITIES, Modality
from edge.manifest import RuleName

from .gate import require
from .step import step

if TYPE_CHECKING:
    from cloud_train.judgement import Judgement
    from cloud_train.rules import Estimate
    from cloud_train.runs import Run

FUSION, ESTIMATE = "fusion", "estimate.json"


@step("recordings", "recordings")
def collect(*, data: str, preset: str, recordings: Any) -> None:  # noqa: ANN401 - artifacts are kfp's
    """List the recordings at `data`, or render the preset's part of the synthetic world."""
    from cloud_train.job import listed
    from cloud_train.presets import PRESETS
    from cloud_train.recordings import find_recordings
    from cloud_train.synth import LABELS, write_world

    folder = Path(recordings.path)
    folder.mkdir(parents=True, exist_ok=True)
    if not data:
        made = PRESETS.get(preset, PRESETS["demo"])
        write_world(
            folder, recordings_per_class=made.recordings_per_class, seconds=made.seconds, seed=0,
            labels=made.labels or LABELS,
        )  # fmt: skip
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("uri", "label", "recording"))
    for r in find_recordings(listed(Path(data)) if "://" not in data else data):
        rows.writerow((r.uri if "://" in r.uri else Path(r.uri).resolve(), r.label, r.id))
    write_atomically(folder / "manifest.csv", text.getvalue().encode())


@step("extract", "features")
def extract(*, recordings: Any, preset: str, settings: dict[str, str], features: Any) -> None:  # noqa: ANN401
    """Cut recordings into seconds and compute features."""
    from cloud_train.dataset import extract as extract_features
    from cloud_train.job import listed
    from cloud_train.recordings import find_recordings

    from .settings import draft

    found = find_recordings(listed(Path(recordings.path)))
    dataset, failures = extract_features(found, draft(preset, settings), features.path)
    features.metadata.update(
        recordings=len(dataset.recordings), seconds=sum(r.seconds for r in dataset.recordings), left_out=len(failures)
    )


@step("split", "parts")
def split(*, features: Any, seed: int, parts: Any) -> None:  # noqa: ANN401
    """Give each recording a side."""
    from cloud_train.dataset import Dataset
    from cloud_train.split import SIDES
    from cloud_train.split import split as give_sides

    shutil.copytree(features.path, parts.path, copy_function=_linked, dirs_exist_ok=True)
    dataset = Dataset.load(parts.path)
    dataset = replace(dataset, recordings=give_sides(dataset.recordings, seed=seed))
    dataset.save()
    parts.metadata.update({side: sum(r.side == side for r in dataset.recordings) for side in SIDES})
    parts.metadata["data_sha256"] = dataset.sha256()


def _linked(source: str, target: str) -> None:
    """Link a file where that is possible; it is never written to, only replaced."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@step("train {modality}", "run", "metrics", "report")
def train(
    *,
    modality: Modality,
    features: Any,  # noqa: ANN401
    preset: str,
    settings: dict[str, str],
    run: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
) -> None:
    """Train one modality."""
    from cloud_train import stop
    from cloud_train.backend import load_tensorflow
    from cloud_train.dataset import Dataset

    from .settings import training_args

    args = training_args(preset, settings, modality)
    dataset = Dataset.load(features.path)
    stop.listen()
    load_tensorflow()
    from cloud_train.train import fit

    trained = fit(dataset, modality, args, run.path)
    assert trained is not None, "one worker is the chief"
    shutil.rmtree(trained.path / "checkpoints", ignore_errors=True)
    describe_run(trained, run, metrics, report)


def describe_run(trained: Run, run: Any, metrics: Any, report: Any) -> None:  # noqa: ANN401
    """Fill a training's artifacts: figures, and a page with its curve."""
    from cloud_train.figures import draw_history
    from cloud_train.page import Picture, Section, page

    run.metadata.update(modality=trained.modality, data_sha256=trained.data_sha256, commit=trained.commit)
    for name, value in trained.metrics.items():
        metrics.log_metric(name, round(value, 4))
    text = f"{len(trained.history)} epochs in {trained.seconds:.0f} s."
    picture = [Picture("history", "loss by epoch", draw_history(trained.history))] if trained.history else []
    sections = [Section("Training", [text], pictures=picture)]
    write_atomically(Path(report.path), page(f"Training of {trained.modality}", sections).encode())


@step("fuse", "fusion")
def fuse(*, runs: Sequence[Any], features: Any, rule: RuleName, fusion: Any) -> None:  # noqa: ANN401
    """Estimate the fusion from the runs' validation seconds."""
    from cloud_train.rules import fuse as estimate
    from edge.fusion import fusion_file, write_fusion

    found = estimate(_trained(runs, features), rule)
    folder = Path(fusion.path)
    folder.mkdir(parents=True, exist_ok=True)
    name = fusion_file(rule)
    write_atomically(folder / name, write_fusion(found.fusion))
    said = {"file": name, "temperatures": found.temperatures, "unknown": found.unknown, "accuracy": found.accuracy}
    write_atomically(folder / ESTIMATE, json.dumps(said).encode())
    fusion.metadata.update(rule=rule, **{f"validation accuracy, {k}": round(v, 4) for k, v in found.accuracy.items()})


@step("evaluate", "metrics", "confusion", "report", "scores")
def evaluate(
    *,
    runs: Sequence[Any],
    features: Any,  # noqa: ANN401
    fusion: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
    confusion: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
    scores: Any,  # noqa: ANN401
) -> None:
    """Judge the models and their fusion on the test recordings, before anything is made for the device."""
    from cloud_train.dataset import Dataset
    from cloud_train.judgement import FUSED, judge
    from cloud_train.page import page
    from cloud_train.report import sections, to_json

    dataset = Dataset.load(features.path)
    labels, estimate = dataset.manifest.labels, _estimate(Path(fusion.path))
    judgement = judge(
        {run.modality: run.predictions("test") for run in _trained(runs, features)},
        estimate.fusion, labels, temperatures=estimate.temperatures, unknown=estimate.unknown, sets=_sets(dataset),
    )  # fmt: skip
    for name, value in _figures(judgement).items():
        metrics.log_metric(name, value)
    confusion.log_confusion_matrix(list(labels), [list(row) for row in judgement.judges[FUSED].confusion])
    write_atomically(Path(report.path), page("Evaluation", sections(judgement)).encode())
    write_atomically(Path(scores.path), to_json(judgement))
    scores.metadata.update(_figures(judgement))


def _figures(judgement: Judgement) -> dict[str, float]:
    return {
        f"{name} {what}": round(getattr(judge, attribute), 4)
        for name, judge in judgement.judges.items()
        for what, attribute in (("accuracy", "accuracy"), ("F1", "f1"), ("F1 of recordings", "recording_f1"))
    }


def _sets(dataset: Any) -> dict[str, int]:  # noqa: ANN401 - a Dataset
    from cloud_train.evaluate import dealt

    return dealt([r for r in dataset.recordings if r.side == "test"], 2)


def _estimate(folder: Path) -> Estimate:
    from cloud_train.rules import Estimate
    from edge.fusion import read_fusion

    said = msgspec.json.decode((folder / ESTIMATE).read_bytes())
    fusion = read_fusion((folder / said["file"]).read_bytes(), said["file"])
    return Estimate(fusion, said["temperatures"], said["unknown"], said["accuracy"])


@step("gate", kept=False)
def gate(*, scores: Any, minimum: float) -> None:  # noqa: ANN401
    """Go on only where the fused F1 over seconds is good enough."""
    require("fused F1", scores.metadata["fused F1"], minimum)


@step("export", "bundle", "metrics", "report")
def export(
    *,
    runs: Sequence[Any],
    features: Any,  # noqa: ANN401
    rule: RuleName,
    name: str,
    version: str,
    pipeline_run: str,  # noqa: ARG001 - the step's frame hands it to what writes provenance
    bundle: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
) -> None:
    """Write the bundle in int8."""
    from cloud_train.backend import load_tensorflow
    from cloud_train.report import REPORT

    load_tensorflow()
    from cloud_train.export import export as export_bundle

    made = export_bundle(_trained(runs, features), bundle.path, name=name, version=version, rule=rule)
    fused = made.manifest.metrics["fused"]
    for figure in ("int8_accuracy", "float_accuracy", "int8_agreement"):
        metrics.log_metric(figure, round(fused[figure], 4))
    write_atomically(Path(report.path), (made.path / REPORT).read_bytes())
    bundle.metadata.update(
        name=name, version=version, bundle_sha256=made.sha256, int8_accuracy=fused["int8_accuracy"],
        data_sha256=made.manifest.provenance["data_sha256"], commit=made.manifest.provenance["git_commit"],
    )  # fmt: skip


@step("publish", kept=False)
def publish(*, bundle: Any, to: str) -> str:  # noqa: ANN401
    """Copy the bundle, verified, to a folder or an S3 prefix; where `to` is empty it stays where it is."""
    from edge.bundle import Bundle

    made = Bundle.load(bundle.path)
    if not to:
        return str(made.path)
    if to.startswith("s3://"):
        from cloud_train.aws import connect, explained, s3_address
        from cloud_train.transfer import upload

        with explained():
            upload(connect(None), made.path, s3_address(to, "publish"))
        return to
    from cloud_train.job import deliver, refuse_foreign

    refuse_foreign(Path(to))
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    return str(deliver(made, Path(to)).path)


def _trained(runs: Sequence[Any], features: Any) -> list[Run]:  # noqa: ANN401
    """Load the runs, in the order of modalities, with the features where they are now.

    The place of a modality that is not trained is taken by something that is no run.
    """
    from cloud_train.runs import RUN, Run

    places = [Path(artifact.path) for artifact in runs]
    found = [replace(Run.load(place), data=features.path) for place in places if (place / RUN).is_file()]
    if not found:
        msg = "no modality was trained; name one at least: modalities=rgb,flow,audio"
        raise DataError(msg)
    return sorted(found, key=lambda run: MODALITIES.index(run.modality))
