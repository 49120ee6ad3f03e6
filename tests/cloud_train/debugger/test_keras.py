"""The Keras hook in plain `fit`: what it saves is what was trained, and it neither disturbs nor misses a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud_train.backend import load_tensorflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # of Keras itself
]

load_tensorflow()

import keras  # noqa: E402

from cloud_train.debugger.keras_hook import BEST, DEFAULTS, FURTHER, KerasHook  # noqa: E402
from cloud_train.debugger.rules import read_rules  # noqa: E402
from cloud_train.debugger.saved import Collection  # noqa: E402
from cloud_train.debugger.trial import Trial  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(320, 6)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
EVERY = {
    name: Collection(1 if name in ("weights", "gradients") else min(each.interval, 5), reductions=each.reductions)
    for name, each in {**DEFAULTS, **FURTHER}.items()
}
RULES = (
    "AllZero,ClassImbalance,DeadRelu,ExplodingTensor,LossNotDecreasing,Overfit,Overtraining,PoorWeightInitialization,"
    "SaturatedActivation,StalledTraining,UnchangedTensor,VanishingGradient,WeightUpdateRatio"
)


def network(optimizer: str | keras.optimizers.Optimizer = "sgd") -> keras.Model:
    keras.utils.set_random_seed(1)
    inner = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(12, "relu"), keras.layers.Dense(8, "tanh")], name="inner"
    )
    model = keras.Sequential([keras.Input((6,)), inner, keras.layers.Dense(2, "softmax", name="head")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model, dict, KerasHook]:
    """Three epochs of ten steps with everything saved, all rules asked, and a validation."""
    path, model = tmp_path_factory.mktemp("keras"), network(keras.optimizers.SGD(0.1))
    hook = KerasHook(path, save=EVERY, rules=read_rules(RULES), labels=("no", "yes"))
    history = model.fit(
        X, Y, batch_size=32, epochs=3, validation_data=(X[:100], Y[:100]), shuffle=False, verbose=0, callbacks=[hook]
    )
    return path, model, history.history, hook


def test_weights_and_gradients_are_those_of_the_training(trained):
    trial = Trial(trained[0])
    kernel = next(name for name in trial.names("weights") if name.endswith("head/kernel"))
    for step in (1, 10, 29):
        before, after = trial.tensor(kernel, step - 1), trial.tensor(kernel, step)
        assert np.allclose(before - after, 0.1 * trial.tensor(f"gradient/{kernel}", step), atol=1e-6)
    assert np.array_equal(trial.tensor(kernel, 29), trained[1].get_layer("head").kernel.numpy())
    assert all("bias" in name for name in trial.names("biases"))
    assert trial.names("optimizer_variables")


def test_layers_are_found_in_models_within_models(trained):
    trial = Trial(trained[0])
    kinds = {layer.name: layer.activation for layer in trial.run.layers}
    assert list(kinds.values()) == ["relu", "tanh", "softmax"]
    assert all(name.startswith("inner/") for name in list(kinds)[:2])
    relu = next(name for name, kind in kinds.items() if kind == "relu")
    active = trial.reduction(relu, 0, "active")
    fresh = network()
    outputs = keras.ops.convert_to_numpy(fresh.layers[0].layers[0](X[:32]))
    assert np.allclose(active, (outputs > 0).mean(axis=0))
    assert np.array_equal(trial.tensor("inputs", 5), X[160:192])


def test_losses_predictions_and_labels(trained):
    path, model, history, _ = trained
    trial = Trial(path)
    assert trial.steps("loss", "eval") == [9, 19, 29]
    assert np.allclose(trial.values("loss", "eval")[1], history["val_loss"], rtol=1e-5)
    assert trial.steps("loss", "train") == [0, 5, 9, 10, 15, 19, 20, 25, 29]
    assert trial.number("loss", 29, "mean", "train") == pytest.approx(history["loss"][-1], rel=1e-5)
    assert np.allclose(trial.tensor("predictions", 29, "eval"), model.predict(X[:100], verbose=0), atol=1e-5)
    assert np.array_equal(trial.tensor("labels", 29, "eval"), Y[:100])
    assert (trial.end.status, trial.end.best_step) == ("completed", 29)


def test_no_rule_finds_fault_with_a_healthy_training(trained):
    found = {v.rule: (v.status, v.finding, v.error) for v in trained[3].hook.judge.verdicts.values()}
    assert {name: what for name, what in found.items() if what[0] != "NoIssuesFound"} == {}


def test_a_hooked_training_ends_as_one_without(tmp_path: Path):
    alone, hooked = network(keras.optimizers.SGD(0.1)), network(keras.optimizers.SGD(0.1))
    how = {"batch_size": 48, "epochs": 2, "shuffle": False, "verbose": 0}  # the last batch is a part of one
    alone.fit(X, Y, **how)
    hooked.fit(X, Y, callbacks=[KerasHook(tmp_path, save=EVERY)], **how)
    for a, b in zip(alone.get_weights(), hooked.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert Trial(tmp_path).steps(mode="train") == list(range(14))


def test_several_steps_in_one_execution_are_counted(tmp_path: Path):
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=5, jit_compile=False)
    model.fit(
        X, Y, batch_size=32, epochs=1, verbose=0, callbacks=[KerasHook(tmp_path, save={"gradients": Collection(5)})]
    )
    assert Trial(tmp_path).steps("gradient/" + model.weights[0].path) == [0, 5]
    assert int(model.optimizer.iterations) == 10


def test_nan_is_a_finding_that_ends_it_with_the_best_weights(tmp_path: Path):
    model = network()

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):  # noqa: ARG002
            if self.model.optimizer.iterations == 25:
                self.model.layers[-1].kernel.assign(np.full((8, 2), np.nan))

    hook = KerasHook(tmp_path, save={"losses": Collection(2)}, rules=read_rules("ExplodingTensor"))
    model.fit(X, Y, batch_size=32, epochs=9, verbose=0, validation_data=(X, Y), callbacks=[hook, Poison()])
    trial = Trial(tmp_path)
    assert trial.end.status == "stopped"
    assert trial.end.reason == "ExplodingTensor: loss holds NaN at step 26 (train)"
    assert hook.step <= 26 + 2 * 2
    assert trial.end.best_step == 19
    assert (tmp_path / BEST).is_file()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_learning_rate_of_zero_is_found(tmp_path: Path):
    model = network(keras.optimizers.SGD(0.0))
    hook = KerasHook(tmp_path, save=EVERY, rules=read_rules("UnchangedTensor,LossNotDecreasing,ExplodingTensor"))
    model.fit(X, Y, batch_size=32, epochs=9, verbose=0, callbacks=[hook])
    assert hook.hook.stop.startswith("UnchangedTensor: ")
    assert hook.step == 3
