"""`fit --watch`: a planted fault stops the training early, and what it found follows the run into the bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_train.backend import load_tensorflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

load_tensorflow()

from cloud_train.__main__ import main  # noqa: E402
from cloud_train.args import Args  # noqa: E402
from cloud_train.dataset import Dataset, extract  # noqa: E402
from cloud_train.debugger.judge import verdicts  # noqa: E402
from cloud_train.debugger.rules import read_rules  # noqa: E402
from cloud_train.debugger.trial import Trial  # noqa: E402
from cloud_train.presets import manifest_draft  # noqa: E402
from cloud_train.recordings import TrainingError, find_recordings  # noqa: E402
from cloud_train.split import split  # noqa: E402
from cloud_train.synth import LABELS, write_world  # noqa: E402
from cloud_train.train import fit  # noqa: E402
from cloud_train.watched import Watched  # noqa: E402
from edge.bundle import Bundle  # noqa: E402

ARGS = Args(
    backbone="mobilenet_v2", alpha=0.35, weights="none", head_epochs=0, epochs=12, learning_rate=1e-3, batch=2,
    dense_units=16, weight_decay=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("watched")
    write_world(folder / "world", recordings_per_class=8, seconds=2.0, seed=0, labels=LABELS[:3])
    extracted, _ = extract(find_recordings(folder / "world"), manifest_draft(32), folder / "features", workers=1)
    extracted = replace(extracted, recordings=split(extracted.recordings))
    extracted.save()
    return extracted


def test_a_training_that_does_not_learn_ends_early_with_its_best_epoch(dataset: Dataset, tmp_path: Path, capsys):
    options = {"backbone": "mobilenet_v2", "alpha": 0.35, "weights": "none", "head-epochs": 0, "epochs": 12, "batch": 2,
               "learning-rate": 0, "weight-decay": 0, "dense-units": 16}  # fmt: skip
    command = ["fit", "rgb", "--data", str(dataset.path), "--watch", "--out", str(tmp_path / "run")]
    assert main(command + [f"--{name}={value}" for name, value in options.items()]) == 0
    trial = Trial(tmp_path / "run")
    (finding,) = [v.finding for v in verdicts(tmp_path / "run") if v.finding]
    assert finding.rule == "UnchangedTensor"
    assert trial.end.status == "stopped"
    assert trial.end.reason == f"UnchangedTensor: {finding.message}"
    saved = trial.steps(finding.tensor, "train")
    assert len(saved) == 3  # as many as the rule needs
    assert trial.steps(mode="train")[-1] == saved[-1] == finding.step  # and not a step more
    assert "UnchangedTensor: " in capsys.readouterr().err
    names = set(trial.names())
    assert {"loss", "accuracy", "predictions", "labels"} <= names
    assert np.isfinite(trial.number("backbone/out_relu", saved[0], "mean", "train"))
    assert trial.reduction("backbone/out_relu", saved[0], "active", "train").ndim == 1
    assert any(name.startswith("gradient/") for name in names)

    out = tmp_path / "bundle"
    assert main(["export", str(tmp_path / "run"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "take it as it is with --accept-findings UnchangedTensor" in said
    assert not out.exists()
    assert main(["export", str(tmp_path / "run"), "--out", str(out), "--accept-findings", "UnchangedTensor"]) == 0
    bundle = Bundle.load(out)
    records = {record["rule"]: record for record in bundle.manifest.provenance["findings"]["rgb"]}
    assert records["UnchangedTensor"]["accepted"] is True
    assert records["UnchangedTensor"]["message"] == finding.message
    assert records["ExplodingTensor"] == {"rule": "ExplodingTensor", "status": "NoIssuesFound"}
    assert "accepted: " in capsys.readouterr().out
    report = [name for name in bundle.manifest.files if name.startswith("training")]
    assert report == ["training-rgb.html"]


def test_a_training_that_explodes_before_its_first_epoch_leaves_no_model(dataset: Dataset, tmp_path: Path):
    args = replace(ARGS, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"stopped by ExplodingTensor: .*no epoch had ended, so there is no model"):
        fit(dataset, "rgb", args, tmp_path / "run", watched=Watched())
    end = json.loads((tmp_path / "run" / "debug" / "end.json").read_text())
    assert end["status"] == "stopped"
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_healthy_training_is_left_alone_and_ends_with_the_same_weights(dataset: Dataset, tmp_path: Path):
    args = replace(ARGS, epochs=2)
    watched = fit(dataset, "rgb", args, tmp_path / "watched", watched=Watched())
    alone = fit(dataset, "rgb", args, tmp_path / "alone")
    assert {v.status for v in verdicts(tmp_path / "watched")} == {"NoIssuesFound"}
    assert Trial(tmp_path / "watched").end.status == "completed"
    for a, b in zip(watched.model().get_weights(), alone.model().get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_your_own_rules_and_what_does_not_go_together(dataset: Dataset, tmp_path: Path, capsys):
    rule = tmp_path / "mine.py"
    rule.write_text(
        "from cloud_train.debugger.finding import Finding\n"
        "def late(trial, *, step: int = 5):\n"
        "    steps = trial.steps(mode='train')\n"
        "    return Finding('late', steps[-1], f'step {steps[-1]}', 'Stop.') if steps and steps[-1] >= step else None\n"
    )
    with pytest.raises(TrainingError, match=r"stopped by late: step 10; no epoch had ended"):
        fit(dataset, "rgb", ARGS, tmp_path / "run", watched=Watched(read_rules(f"{rule}:late:step=7")))
    base = ["fit", "rgb", "--data", str(dataset.path), "--out", str(tmp_path / "no")]
    assert main([*base, "--rules", "Overfit"]) == 2
    assert main([*base, "--watch", "--workers", "2"]) == 2
    assert main([*base, "--watch", "--rules", "Overfitt"]) == 2
    said = capsys.readouterr().err
    assert "--rules and actions belong to --watch" in said
    assert "--watch sees one process train" in said
    assert "no rule 'Overfitt'; did you mean Overfit?" in said
