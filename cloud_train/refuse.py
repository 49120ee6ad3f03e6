"""The fusion of a bundle, estimated anew from new recordings: nothing is retrained, the models stay byte for byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.bundle import GOLDEN, Bundle
from edge.clip import UNKNOWN
from edge.fusion import fusion_file, write_fusion
from edge.golden import Golden, fused_anew
from edge.manifest import Manifest, RuleName, Thresholds
from edge.pipeline import Pipeline
from edge.sources import SourceError

from .calibration import calibrated
from .evaluate import recording_votes
from .fusion import FOLDS, Votes
from .progress import console, track
from .provenance import git_commit
from .recordings import DataError, Recording
from .rules import Estimate, accuracy, estimate


@dataclass(frozen=True)
class Judged:
    """New recordings through a bundle's models: uncalibrated votes of known and of unknown seconds, and what failed."""

    votes: Votes
    unknown: Votes
    recordings: int
    left_out: int

    def sha256(self) -> str:
        """Hash what the fusion is estimated from: each second's label and probabilities, in order."""
        digest = hashlib.sha256()
        for (recording, second), (truth, cast) in sorted((self.votes | self.unknown).items()):
            digest.update(f"{recording},{second},{truth},{[(v.modality, v.probabilities) for v in cast]}\n".encode())
        return digest.hexdigest()


def refuse(
    bundle: Bundle,
    recordings: Sequence[Recording],
    out: str | Path,
    *,
    data: str,
    rule: RuleName | None = None,
    name: str | None = None,
    version: str | None = None,
) -> Bundle:
    """Write a bundle with the same models and a fusion estimated from `recordings`, which `data` names.

    Temperatures, table or trees and the unknown threshold are new, golden values decided anew, versions counted up.
    `rule` is the bundle's own unless given. DataError when a label is not one of the bundle's or nothing can be read.
    """
    old = bundle.manifest
    _refuse_other_labels(recordings, old)
    version = version or next_version(old.version)
    judged = judge(bundle, recordings)
    seen = {truth for truth, _ in judged.votes.values()}
    absent = [label for i, label in enumerate(old.labels) if i not in seen]
    if absent and seen:
        console.print(
            f"no new second shows {', '.join(absent)}: the new fusion learns nothing of them", highlight=False
        )
    found = estimate(
        judged.votes, judged.unknown, old.labels, rule or bundle.fusion.rule, next_fusion(bundle.fusion.version)
    )
    manifest = replace(
        old,
        name=name or old.name,
        version=version,
        models={
            each: replace(spec, temperature=found.temperatures.get(each, 1.0)) for each, spec in old.models.items()
        },
        fusion=fusion_file(found.fusion.rule),
        thresholds=Thresholds(unknown=found.unknown),
        metrics={**old.metrics, "fused": _metrics(bundle, judged, found)},
        provenance={
            **old.provenance,
            "fused_anew": [*old.provenance.get("fused_anew", []), _record(bundle, judged, data)],
        },
    )
    files = {spec.file: (bundle.path / spec.file).read_bytes() for spec in old.models.values()}
    files[manifest.fusion] = write_fusion(found.fusion)
    if GOLDEN in old.files:
        golden = Golden.from_npz((bundle.path / GOLDEN).read_bytes(), GOLDEN)
        files[GOLDEN] = fused_anew(golden, manifest, found.fusion).to_npz()
    return Bundle.save(out, manifest, files)


def judge(bundle: Bundle, recordings: Sequence[Recording]) -> Judged:
    """Run recordings through the bundle's int8 models as the device would, without temperatures.

    Recordings that cannot be read are named on stderr and left out.
    """
    plain = {name: replace(spec, temperature=1.0) for name, spec in bundle.manifest.models.items()}
    bundle = replace(bundle, manifest=replace(bundle.manifest, models=plain))
    pipeline = Pipeline(bundle)
    votes: Votes = {}
    unknown: Votes = {}
    left_out = 0
    for recording in track(recordings, "judging recordings", len(recordings)):
        known = recording.label != UNKNOWN
        labelled = recording if known else replace(recording, label=bundle.manifest.labels[0])
        try:
            found = recording_votes(labelled, bundle, pipeline)
        except SourceError as error:
            console.print(f"left out: {error}", highlight=False, soft_wrap=True)
            left_out += 1
            continue
        if known:
            votes |= found
        else:
            unknown |= {key: (-1, cast) for key, (_, cast) in found.items()}
    return Judged(votes, unknown, len(recordings) - left_out, left_out)


def next_version(version: str) -> str:
    """Count a bundle's version up by a patch: 1.0.0 to 1.0.1, 0.9 to 0.9.1; DataError where it is no such number."""
    if not re.fullmatch(r"\d+(\.\d+){0,2}", version):
        msg = f"the bundle's version {version!r} cannot be counted up; give the new one with --version"
        raise DataError(msg)
    major, minor, patch = (*map(int, version.split(".")), 0, 0)[:3]
    return f"{major}.{minor}.{patch + 1}"


def next_fusion(version: str) -> str:
    """Count a fusion's version up: t-0001 to t-0002; after a rule without such a number, t-0001."""
    counted = re.fullmatch(r"t-(\d+)", version)
    return f"t-{int(counted[1]) + 1 if counted else 1:04d}"


def _refuse_other_labels(recordings: Sequence[Recording], manifest: Manifest) -> None:
    others = sorted({r.label for r in recordings} - {*manifest.labels, UNKNOWN})
    if others:
        msg = f"label {others[0]!r} is not one of the bundle's {len(manifest.labels)}, nor {UNKNOWN!r}"
        raise DataError(msg)


def _metrics(bundle: Bundle, judged: Judged, found: Estimate) -> dict[str, Any]:
    labels = bundle.manifest.labels
    before = {name: spec.temperature for name, spec in bundle.manifest.models.items()}
    return {
        "measured_on": f"the new validation seconds, by {FOLDS}-fold cross-validation over recordings",
        "seconds": len(judged.votes),
        "int8_accuracy": found.accuracy.get(found.fusion.rule),
        "int8_accuracy_before": accuracy(calibrated(judged.votes, before, labels), bundle.fusion, labels),
        "rules": found.accuracy,
    }


def _record(bundle: Bundle, judged: Judged, data: str) -> dict[str, Any]:
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "from": f"{bundle.manifest.name} {bundle.manifest.version}",
        "from_sha256": bundle.sha256,
        "data": data,
        "data_sha256": judged.sha256(),
        "recordings": judged.recordings,
        "recordings_left_out": judged.left_out,
        "seconds": len(judged.votes),
        "unknown_seconds": len(judged.unknown),
    }
