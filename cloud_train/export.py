"""Runs into a bundle: models in int8, fusion, golden values, and how far they are from what was trained."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.bundle import GOLDEN, Bundle
from edge.clip import Clip, Modality
from edge.fusion import Decision, Fusion, Majority, fusion_file, write_fusion
from edge.golden import make_golden
from edge.manifest import Features, Manifest, ModelSpec, RuleName, Thresholds
from edge.tflite import TfliteModel

from .calibration import calibrated
from .convert import Converted, convert
from .dataset import Dataset, load_looks, read_clips
from .debugger.lineage import findings_of
from .evaluate import dealt
from .fusion import f1_scores, join_votes
from .judgement import FUSED, judge
from .looks import Looks
from .progress import console, track
from .provenance import provenance
from .recordings import DataError
from .report import bundle_files
from .rules import Estimate, fuse
from .runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALIBRATION_LOOKS = 200
TEST_SETS = 2
NOTABLE_LOSS = 0.03
PARITY_RECORDINGS = 100
"""At most this many test recordings are compared between float and int8, evenly spread over the labels."""
GOLDEN_CLIPS = 3
DECIDED_MARGIN = 0.1
"""A second counts as decided when the best label leads the next one by more than this in probability."""


@dataclass(frozen=True, eq=False)
class Exported:
    """One modality's int8 file, opened, and the looks it was compared on."""

    model: TfliteModel
    data: bytes
    looks: Looks
    converted: Converted


def export(
    runs: Sequence[Run],
    out: str | Path,
    *,
    name: str,
    version: str,
    rule: RuleName = "class_model_table",
    accepted: Sequence[str] = (),
) -> Bundle:
    """Quantize the runs, estimate the fusion, compute golden values and write the bundle, whole or not at all.

    DataError where a rule of the debugger found something in a run, unless its name is `accepted`.
    """
    _refuse_mixed(runs)
    findings = {run.modality: findings_of(run.path, accepted) for run in runs}
    fused = fuse(runs, rule)
    tested = _tested(Dataset.load(runs[0].data))
    parts = {run.modality: _export_one(run, tested) for run in track(runs, "exporting to int8", len(runs))}
    judged = {run.modality: getattr(runs[0].manifest.features, run.modality) for run in runs}
    manifest = replace(
        runs[0].manifest,
        name=name,
        version=version,
        features=Features(**judged),
        models={run.modality: _spec(run, parts[run.modality].model, fused) for run in runs},
        fusion=fusion_file(rule),
        thresholds=Thresholds(unknown=fused.unknown),
        metrics=_metrics(runs, parts, fused),
        provenance=provenance(runs) | ({"findings": findings} if any(findings.values()) else {}),
    )
    models = {modality: part.model for modality, part in parts.items()}
    golden = make_golden(_golden_clips(tested, manifest), manifest, models, fused.fusion)
    files = {_file(modality): part.data for modality, part in parts.items()}
    files |= {manifest.fusion: write_fusion(fused.fusion), GOLDEN: golden.to_npz()}
    judgement = judge(
        {modality: replace(part.looks, x=part.converted.int8) for modality, part in parts.items()},
        fused.fusion,
        manifest.labels,
        temperatures=fused.temperatures,
        unknown=fused.unknown,
        sets=dealt(tested.recordings, TEST_SETS),
    )
    compared = {name: manifest.metrics[name] for name in (*parts, FUSED)}
    return Bundle.save(out, manifest, {**files, **bundle_files(f"{name} {version}", judgement, runs, compared)})


def _export_one(run: Run, tested: Dataset) -> Exported:
    looks = load_looks(tested, run.modality, "test")
    looks = replace(looks, x=looks.x[:])
    calibration = load_looks(Dataset.load(run.data), run.modality, "train").x
    chosen = np.random.default_rng(0).choice(len(calibration), min(CALIBRATION_LOOKS, len(calibration)), replace=False)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / _file(run.modality)
        converted = convert(run.model(), looks.x, calibration[np.sort(chosen)], file, pixels=run.modality != "audio")
        _warn_of_loss(run, looks, converted)
        return Exported(TfliteModel(file), file.read_bytes(), looks, converted)


def _warn_of_loss(run: Run, looks: Looks, converted: Converted) -> None:
    """Say so where int8 is much worse than float: as it can be for a model that has not been trained to an end."""
    known = looks.y >= 0
    right = [float((x[known].argmax(axis=1) == looks.y[known]).mean()) for x in (converted.expected, converted.int8)]
    if right[0] - right[1] > NOTABLE_LOSS:
        console.print(
            f"{run.path}: int8 is right in {right[1]:.3f} of the looks, float in {right[0]:.3f};"
            " train longer, or with --batch-norm frozen",
            highlight=False,
            soft_wrap=True,
        )


def _metrics(runs: Sequence[Run], parts: Mapping[Modality, Exported], fused: Estimate) -> dict[str, Any]:
    """Say for each modality, and for the fusion of all, how good float and int8 are on the test seconds."""
    labels = runs[0].manifest.labels

    def compared(some: Mapping[Modality, Exported], fusion: Fusion) -> dict[str, Any]:
        return _compared(some, fusion, labels, fused.temperatures)

    metrics: dict[str, Any] = {
        run.modality: {
            **run.metrics,
            **compared({run.modality: parts[run.modality]}, Majority()),  # of one vote: the vote
            "float_difference": parts[run.modality].converted.float_difference,
        }
        for run in runs
    }
    return {**metrics, "fused": {**compared(parts, fused.fusion), "rules": fused.accuracy}}


def _compared(
    parts: Mapping[Modality, Exported], fusion: Fusion, labels: Sequence[str], temperatures: Mapping[Modality, float]
) -> dict[str, Any]:
    """Compare float and int8 second by second: accuracy of both, and how often their top labels agree.

    `int8_agreement_decided` leaves out the seconds whose two best labels are within DECIDED_MARGIN in float: where a
    modality cannot tell two labels apart, its answer is a coin's, in float as in int8.
    """

    def decisions(kind: str) -> dict[tuple[str, int], tuple[int, Decision]]:
        answers = {name: replace(part.looks, x=getattr(part.converted, kind)) for name, part in parts.items()}
        votes = calibrated(join_votes(answers, labels), temperatures, labels)
        return {key: (truth, fusion(cast)) for key, (truth, cast) in votes.items()}

    expected, found = decisions("expected"), decisions("int8")
    truth = np.array([labels[y] for y, _ in expected.values()])
    in_float = np.array([decision.label for _, decision in expected.values()])
    in_int8 = np.array([found[key][1].label for key in expected])
    best = np.sort([decision.probabilities for _, decision in expected.values()], axis=1)
    decided = best[:, -1] - best[:, -2] > DECIDED_MARGIN
    return {
        "test_seconds": len(truth),
        "float_accuracy": float(np.mean(in_float == truth)),
        "int8_accuracy": float(np.mean(in_int8 == truth)),
        "int8_agreement": float(np.mean(in_int8 == in_float)),
        "int8_agreement_decided": float(np.mean((in_int8 == in_float)[decided])) if decided.any() else None,
        "decided_share": float(np.mean(decided)),
        "int8_loss": _loss_by_label(truth, in_float, in_int8, labels),
    }


def _loss_by_label(
    truth: NDArray[np.str_], in_float: NDArray[np.str_], in_int8: NDArray[np.str_], labels: Sequence[str]
) -> dict[str, float]:
    """Give each label that occurs its F1 in float less its F1 in int8."""
    order = np.argsort(labels)
    indices = [order[np.searchsorted(labels, names, sorter=order)] for names in (truth, in_float, in_int8)]
    before, after = (f1_scores(indices[0], found, len(labels)) for found in indices[1:])
    return {labels[i]: round(float(before[i] - after[i]), 4) for i in np.unique(indices[0])}


def _tested(dataset: Dataset) -> Dataset:
    tests = [r for r in dataset.recordings if r.side == "test"]
    step = -(-len(tests) // PARITY_RECORDINGS)
    return replace(dataset, recordings=tuple(tests[::step]))


def _refuse_mixed(runs: Sequence[Run]) -> None:
    for run in runs[1:]:
        if (run.data, run.data_sha256) != (runs[0].data, runs[0].data_sha256):
            msg = f"{run.path}: was trained on other features than {runs[0].path}; a bundle needs one data set"
            raise DataError(msg)
    modalities = [run.modality for run in runs]
    if len(set(modalities)) != len(modalities):
        msg = f"two runs of the same modality ({', '.join(modalities)}); a bundle holds one of each"
        raise DataError(msg)


def _golden_clips(tested: Dataset, manifest: Manifest) -> list[Clip]:
    """Take the first second of a few test recordings, spread over the labels."""
    recordings = tested.recordings
    chosen = recordings[:: max(1, len(recordings) // GOLDEN_CLIPS)][:GOLDEN_CLIPS]
    return [next(read_clips(r.uri, manifest)) for r in chosen]


def _file(modality: Modality) -> str:
    return f"{modality}.tflite"


def _spec(run: Run, model: TfliteModel, fused: Estimate) -> ModelSpec:
    alpha = run.args.alpha if run.args.backbone == "mobilenet_v2" else 1.0
    temperature = fused.temperatures.get(run.modality, 1.0)
    return ModelSpec(_file(run.modality), run.args.backbone, alpha, model.input, model.output, temperature)
