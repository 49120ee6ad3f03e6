"""The shipped bundle is as good as the README says: judged on recordings that it has never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_train.evaluate import evaluate
from cloud_train.recordings import find_recordings
from cloud_train.synth import write_world
from edge.bundle import DEMO, Bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(DEMO)


@pytest.mark.slow
def test_fused_beats_every_modality_on_new_recordings(bundle: Bundle, tmp_path: Path):
    write_world(tmp_path, recordings_per_class=2, seconds=3.0, seed=77)
    scores = evaluate(bundle, find_recordings(tmp_path)).judges
    assert set(scores) == {"rgb", "flow", "audio", "fused"}
    assert scores["fused"].seconds == 150
    alone = [score for name, score in scores.items() if name != "fused"]
    assert scores["fused"].f1 >= max(score.f1 for score in alone) + 0.1
    assert scores["fused"].recording_f1 >= max(score.recording_f1 for score in alone) + 0.1
    assert scores["fused"].accuracy >= 0.9


def test_int8_says_what_float_says(bundle: Bundle):
    """The figures were computed at export, on the test recordings, and are part of the bundle."""
    metrics = bundle.manifest.metrics
    assert metrics["fused"]["int8_agreement"] >= 0.97
    assert metrics["fused"]["test_seconds"] >= 100
    for name in bundle.manifest.models:
        assert metrics[name]["int8_agreement_decided"] >= 0.97
        assert metrics[name]["float_difference"] <= 1e-4


def test_provenance_names_code_data_and_settings(bundle: Bundle):
    provenance = bundle.manifest.provenance
    assert len(provenance["git_commit"]) == 40, "made from a clean checkout"
    assert len(provenance["data_sha256"]) == 64
    assert set(provenance["runs"]) == set(bundle.manifest.models)


def test_it_is_small(bundle: Bundle):
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) < 5_000_000
