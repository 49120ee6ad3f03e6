"""The zoo: for each rule on tensors a run that it must fire on, and a near miss that it must not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from planted import Planted, classes_run, outputs_run, tree_run

from cloud_train.debugger.rules import RULES, Rule, rule
from cloud_train.debugger.saved import Layer
from cloud_train.debugger.trial import Trial
from cloud_train.recordings import DataError

rng = np.random.default_rng(0)
PROFILER = {
    "BatchSize", "CPUBottleneck", "Dataloader", "GPUMemoryIncrease", "IOBottleneck", "LoadBalancing",
    "LowGPUUtilization", "MaxInitializationTime", "OverallSystemUsage", "StepOutlier",
}  # fmt: skip
"""Judged in a zoo of their own."""
TRAIN, VALID = "train-logloss", "validation-logloss"


def falling(n: int, low: float = 0.3) -> list[float]:
    return [low + (1 - low) * 0.8**i for i in range(n)]


def curves(folder: Path, train: list[float], validation: list[float] = ()) -> Trial:
    values = {TRAIN: train} | ({VALID: validation} if len(validation) else {})
    return Planted(folder, "xgboost").losses(values).trial


def epochs(folder: Path, train: list[float], validation: list[float]) -> Trial:
    """Keras: training losses every 10 steps, validation losses every 100."""
    run = Planted(folder).losses({"loss": train}, "train", every=10)
    for i, value in enumerate(validation):
        run.put(100 * i + 90, "eval", {"losses": {"loss": np.float64(value)}})
    return run.trial


def weights(folder: Path, values: list[np.ndarray], *, every: int = 1) -> Trial:
    return Planted(folder).tensor("weights", "dense/kernel", values, every=every).trial


def gradients(folder: Path, scale: float) -> Trial:
    return Planted(folder).tensor("gradients", "gradient/dense/kernel", [scale * rng.normal(size=(9, 9))] * 2).trial


def relu(folder: Path, dead: int, **how) -> Trial:
    """Ten units of which so many are active in one value of 200."""
    outputs = np.abs(rng.normal(size=(200, 10))).astype(np.float32)
    outputs[:, :dead] = 0
    outputs[0, :dead] = 1
    return outputs_run(folder, "relu", outputs, **how)


def squashed(folder: Path, activation: str, lost: int, **how) -> Trial:
    """Ten units of which so many are saturated."""
    inputs = rng.normal(size=(200, 10)).astype(np.float32)
    inputs[:, :lost] = 40 * np.sign(inputs[:, :lost])
    outputs = np.tanh(inputs) if activation == "tanh" else 1 / (1 + np.exp(-inputs))
    return outputs_run(folder, activation, outputs, **how)


def initialised(folder: Path, ratio: float = 1.0, spread: float = 1.0, losses: list[float] = ()) -> Trial:
    """Two layers whose variances have a ratio, a gradient of some spread, and losses of the first steps."""
    run = Planted(folder, layers=(Layer("a", "Dense", "relu"), Layer("b", "Dense", "relu")))
    out = rng.normal(size=(500, 4))
    outputs = {"a": out / out.std(), "b": out / out.std() * np.sqrt(ratio)}
    gradient = {"gradient/a/kernel": spread * np.linspace(-1, 1, 101) / 1.8}
    run.put(0, "train", {"layer_outputs": outputs, "gradients": gradient})
    for i, loss in enumerate(losses):
        run.put(1 + i, "train", {"losses": {"loss": np.float64(loss)}})
    return run.trial


def labelled(folder: Path, counts: list[int], wrong: list[int], **how) -> Trial:
    """Classes with so many labels, of which so many are mispredicted as the next class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    predictions = np.concatenate(
        [np.repeat([(k + 1) % len(counts), k], [w, n - w]) for k, (n, w) in enumerate(zip(counts, wrong, strict=True))]
    )
    return classes_run(folder, labels, np.eye(len(counts))[predictions], **how)


def images(folder: Path, mean: float, batches: int = 16) -> Trial:
    batch = rng.normal(size=(32, 4, 4, 3))
    batch = batch - batch.mean(axis=(0, 1, 2)) + np.array([0.0, mean, 0.0])
    return Planted(folder).tensor("inputs", "inputs", [batch] * batches).trial


def sequences(folder: Path, share: float, token: int = 0) -> Trial:
    batch = np.full((10, 100), 7)
    batch.reshape(-1)[: int(share * 1000)] = token
    return Planted(folder).tensor("inputs", "inputs", [batch]).trial


def importances(folder: Path, top: float, features: int = 10) -> Trial:
    """Three features that share `top` of the importance."""
    values = np.concatenate([np.full(3, top / 3), np.full(features - 3, (1 - top) / max(1, features - 3))])
    run = Planted(folder, "xgboost", features=tuple(f"f{i}" for i in range(features)))
    return run.put(4, "global", {"feature_importance": {"feature_importance/weight": values}}).end().trial


def pair(folder: Path, change: float) -> Trial:
    """A run beside another, in `other`, whose last weights differ by so much."""
    value = rng.normal(size=(5, 5))
    weights(folder / "other", [value, value + change])
    return weights(folder / "own", [value, value])


def last_saved_ago(folder: Path, seconds: float, *, ended: bool = False) -> Trial:
    run = Planted(folder).losses({"loss": [1.0]}, "train")
    time.sleep(seconds)
    return (run.end() if ended else run).trial


W = np.random.default_rng(1).normal(size=(6, 6))
REDUCED = {"reductions": ("active", "saturated", "mean")}

FIRE: dict[str, list[tuple[dict, Callable[[Path], Trial]]]] = {
    "AllZero": [
        ({}, lambda p: weights(p, [W, 0 * W])),
        ({"threshold": 50}, lambda p: weights(p, [np.where(np.median(W) < W, W, 0)])),
    ],
    "CheckInputImages": [({}, lambda p: images(p, 0.25)), ({"channel": 1}, lambda p: images(p, 0.9))],
    "ClassImbalance": [
        ({}, lambda p: labelled(p, [550, 50], [0, 0])),
        ({}, lambda p: labelled(p, [300, 300], [0, 211])),
        ({"samples": 100}, lambda p: labelled(p, [190, 10], [0, 0])),
    ],
    "Confusion": [
        ({}, lambda p: labelled(p, [100, 100], [0, 11])),
        ({"min_diag": 0.5}, lambda p: labelled(p, [100, 100, 100], [0, 11, 0])),
    ],
    "DeadRelu": [
        ({}, lambda p: relu(p, 6)),
        ({}, lambda p: relu(p, 6, **REDUCED)),
        ({"threshold_layer": 40}, lambda p: relu(p, 5)),
    ],
    "ExplodingTensor": [
        ({}, lambda p: weights(p, [W, np.where(W > 1, np.inf, W)])),
        ({"only_nan": True}, lambda p: weights(p, [W, np.where(W > 1, np.nan, W)])),
        ({}, lambda p: curves(p, [1.0, float("nan")])),
    ],
    "FeatureImportanceOverweight": [
        ({}, lambda p: importances(p, 0.81)),
        ({"threshold": 0.5}, lambda p: importances(p, 0.55)),
    ],
    "LossNotDecreasing": [
        ({}, lambda p: curves(p, [0.5] * 11)),
        ({}, lambda p: curves(p, [*falling(11), *falling(11)])),
        ({"diff_percent": 50}, lambda p: curves(p, np.linspace(1, 0.6, 11).tolist())),
        ({}, lambda p: epochs(p, falling(30), [0.5, 0.4, 0.4])),
    ],
    "NLPSequenceRatio": [
        ({}, lambda p: sequences(p, 0.51)),
        ({"token_values": "0;3", "token_thresholds_percentage": "50;10"}, lambda p: sequences(p, 0.11, token=3)),
    ],
    "Overfit": [
        ({}, lambda p: curves(p, falling(20), [1.11 * v for v in falling(20)])),
        ({"patience": 3}, lambda p: curves(p, [0.5] * 4, [0.5, 0.6, 0.6, 0.6])),
        ({}, lambda p: epochs(p, [0.5] * 30, [0.52, 0.54, 0.56])),
    ],
    "Overtraining": [
        ({}, lambda p: curves(p, falling(40, 0.0), [*falling(15), *[0.4] * 25])),
        ({}, lambda p: curves(p, [*falling(20), *[0.31] * 6], falling(26, 0.0))),
        ({"patience_validation": 3}, lambda p: epochs(p, falling(70, 0.0), [0.9, 0.5, 0.6, 0.6, 0.6, 0.6])),
    ],
    "PoorWeightInitialization": [
        ({}, lambda p: initialised(p, ratio=10.5)),
        ({}, lambda p: initialised(p, spread=0.0009)),
        ({}, lambda p: initialised(p, losses=[1.0] * 6)),
    ],
    "SaturatedActivation": [
        ({}, lambda p: squashed(p, "tanh", 6)),
        ({}, lambda p: squashed(p, "sigmoid", 6, **REDUCED)),
        (
            {"threshold_tanh_max": 0.0, "threshold_tanh_min": -9.0},
            lambda p: outputs_run(p, "tanh", np.full((9, 4), 0.1)),
        ),
    ],
    "SimilarAcrossRuns": [({}, lambda p: pair(p, 0.0)), ({}, lambda p: pair(p, 1e-7))],
    "StalledTraining": [({"threshold": 0.2}, lambda p: last_saved_ago(p, 0.3))],
    "TensorVariance": [
        ({"max_threshold": 0.5}, lambda p: weights(p, [W])),
        ({"min_threshold": 0.5}, lambda p: weights(p, [0.1 * W])),
    ],
    "TreeDepth": [({}, lambda p: tree_run(p, 5)), ({"depth": 2}, lambda p: tree_run(p, 3))],
    "UnchangedTensor": [
        ({}, lambda p: weights(p, [W + 1, W, W, W])),
        ({"num_steps": 2, "rtol": 0.1}, lambda p: weights(p, [W, 1.01 * W])),
    ],
    "VanishingGradient": [({}, lambda p: gradients(p, 1e-8)), ({"threshold": 1.0}, lambda p: gradients(p, 0.1))],
    "WeightUpdateRatio": [
        ({}, lambda p: weights(p, [W, 12 * W])),
        ({}, lambda p: weights(p, [W, W])),
        ({"num_steps": 5}, lambda p: weights(p, [W, 12 * W], every=5)),
    ],
}
QUIET: dict[str, list[tuple[dict, Callable[[Path], Trial]]]] = {
    "AllZero": [({}, lambda p: weights(p, [W, np.where(W.max() == W, W, 0)])), ({}, lambda p: gradients(p, 1e-9))],
    "CheckInputImages": [({}, lambda p: images(p, 0.15)), ({}, lambda p: images(p, 9.0, batches=15))],
    "ClassImbalance": [
        ({}, lambda p: labelled(p, [500, 50], [0, 0])),
        ({}, lambda p: labelled(p, [300, 300], [0, 209])),
        ({}, lambda p: labelled(p, [480, 10], [0, 10])),
        ({}, lambda p: labelled(p, [300, 300], [0, 300], ended=False)),
    ],
    "Confusion": [
        ({}, lambda p: labelled(p, [100, 100, 100], [9, 9, 9])),
        ({}, lambda p: labelled(p, [100, 100], [50, 50], ended=False)),
    ],
    "DeadRelu": [
        ({}, lambda p: relu(p, 5)),
        ({}, lambda p: relu(p, 5, **REDUCED)),
        ({}, lambda p: squashed(p, "tanh", 10)),
    ],
    "ExplodingTensor": [
        ({}, lambda p: weights(p, [W, 1e30 * W])),
        ({"only_nan": True}, lambda p: weights(p, [np.where(W > 1, np.inf, W)])),
    ],
    "FeatureImportanceOverweight": [
        ({}, lambda p: importances(p, 0.79)),
        ({}, lambda p: importances(p, 1.0, features=3)),
    ],
    "LossNotDecreasing": [
        ({}, lambda p: curves(p, [0.5] * 10)),
        ({}, lambda p: curves(p, falling(40))),
        ({}, lambda p: curves(p, [v + 0.05 * (i % 2) for i, v in enumerate(np.linspace(2, 0.1, 60))])),
        ({}, lambda p: epochs(p, [0.5] * 30, falling(3))),
    ],
    "NLPSequenceRatio": [({}, lambda p: sequences(p, 0.5)), ({}, lambda p: sequences(p, 0.9, token=3))],
    "Overfit": [
        ({}, lambda p: curves(p, falling(20), [1.09 * v for v in falling(20)])),
        ({"patience": 3}, lambda p: curves(p, [0.5] * 6, [0.5, 0.6, 0.6, 0.5, 0.6, 0.6])),
        ({"start_step": 10}, lambda p: curves(p, [0.5] * 20, [0.9] * 10 + [0.5] * 10)),
    ],
    "Overtraining": [
        ({}, lambda p: curves(p, [0.5] * 50, [0.5] * 50)),  # has never fallen: LossNotDecreasing's
        ({}, lambda p: curves(p, falling(40, 0.0), [*falling(30, 0.0), *[0.4] * 9])),
        ({}, lambda p: curves(p, [1 - 0.01 * i for i in range(60)], [1.1 - 0.01 * i for i in range(60)])),
    ],
    "PoorWeightInitialization": [
        ({}, lambda p: initialised(p, ratio=9.5, spread=0.0012)),
        ({}, lambda p: initialised(p, losses=[1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.8])),
    ],
    "SaturatedActivation": [
        ({}, lambda p: squashed(p, "tanh", 5)),
        ({}, lambda p: squashed(p, "sigmoid", 5, **REDUCED)),
    ],
    "SimilarAcrossRuns": [({}, lambda p: pair(p, 1e-3))],
    "StalledTraining": [
        ({"threshold": 5}, lambda p: last_saved_ago(p, 0.1)),
        ({"threshold": 0.05}, lambda p: last_saved_ago(p, 0.2, ended=True)),
    ],
    "TensorVariance": [({"min_threshold": 0.1, "max_threshold": 3}, lambda p: weights(p, [W]))],
    "TreeDepth": [({}, lambda p: tree_run(p, 4))],
    "UnchangedTensor": [
        ({}, lambda p: weights(p, [W, W, W + 1e-3, W + 1e-3])),
        ({}, lambda p: weights(p, [np.full(3, np.nan)] * 3)),
    ],
    "VanishingGradient": [({}, lambda p: gradients(p, 2e-7))],
    "WeightUpdateRatio": [
        ({}, lambda p: weights(p, [W, 9 * W])),
        ({}, lambda p: weights(p, [W, W * (1 + 1e-6)])),
        ({}, lambda p: weights(p, [0 * W, W])),
    ],
}


def asked(name: str, parameters: dict, trial: Trial) -> Rule:
    if name == "SimilarAcrossRuns":
        parameters = {"other_trial": str(Path(trial.path).parent / "other"), **parameters}
    return rule(name, **parameters)


def cages(zoo: dict) -> list:
    return [pytest.param(name, *cage, id=f"{name}-{i}") for name, many in zoo.items() for i, cage in enumerate(many)]


@pytest.mark.parametrize(("name", "parameters", "make"), cages(FIRE))
def test_it_fires(name: str, parameters: dict, make: Callable[[Path], Trial], tmp_path: Path):
    trial = make(tmp_path / "run")
    finding = asked(name, parameters, trial)(trial)
    assert finding is not None
    assert finding.rule == name
    assert any(sign.isdigit() for sign in finding.message)
    assert finding.advice.endswith(".")
    assert finding.tensor is None or any(finding.tensor.endswith(known) for known in trial.names()), finding.tensor


@pytest.mark.parametrize(("name", "parameters", "make"), cages(QUIET))
def test_a_near_miss_stays_quiet(name: str, parameters: dict, make: Callable[[Path], Trial], tmp_path: Path):
    trial = make(tmp_path / "run")
    assert asked(name, parameters, trial)(trial) is None


def test_every_rule_on_tensors_is_in_the_zoo():
    of_tensors = set(RULES) - PROFILER - {"StalledTrainingRule", "CreateXgboostReport"}
    assert set(FIRE) == set(QUIET) == of_tensors
    assert RULES["StalledTrainingRule"] is RULES["StalledTraining"]


def test_a_loss_is_compared_with_one_that_is_old_enough(tmp_path: Path):
    """Saved every 3 steps, looked at every 10: 12 is compared with 0, 24 with 12."""
    values = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.7]
    trial = Planted(tmp_path, "xgboost").losses({TRAIN: values}, every=3).trial
    finding = rule("LossNotDecreasing")(trial)
    assert (finding.step, finding.message) == (
        24, "train-logloss was 0.6 at step 12 and is 0.7 at step 24: it has not fallen",
    )  # fmt: skip


def test_a_rule_that_lacks_something_says_what(tmp_path: Path):
    with pytest.raises(DataError, match="TensorVariance: give max_threshold, min_threshold or both"):
        rule("TensorVariance")(weights(tmp_path / "a", [W]))
    with pytest.raises(DataError, match="no two saved steps are 1 apart; save the weights themselves every 1 steps"):
        rule("WeightUpdateRatio")(weights(tmp_path / "b", [W, W, W], every=500))
    with pytest.raises(DataError, match="no classes, as of a regression"):
        rule("Confusion")(classes_run(tmp_path / "c", np.array([1.5, 2.5]), np.array([1.4, 2.4])))
    with pytest.raises(DataError, match="thresholds of your own need hidden itself"):
        rule("SaturatedActivation", threshold_tanh_max=3.0)(squashed(tmp_path / "d", "tanh", 6, **REDUCED))
    with pytest.raises(DataError, match="2 tokens need as many thresholds, and there are 1"):
        rule("NLPSequenceRatio", token_values="0,1", token_thresholds_percentage="9")(sequences(tmp_path / "e", 0.5))
