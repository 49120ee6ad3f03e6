"""Runs of real trainings, small ones, that the debugger's hooks have saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ("run", "jump", "throw")


def boosted(folder: Path, objective: str, *, rows: int = 900, rounds: int = 20, **parameters: Any) -> Path:
    """XGBoost on 6 features of which 3 matter, two thirds of the rows to learn from."""
    import xgboost as xgb

    from cloud_train.debugger.hook import Hook
    from cloud_train.debugger.xgboost_hook import DEFAULTS, XGBoostHook, run_info

    x, y = table(objective, rows)
    cut, names = 2 * rows // 3, [f"feature_{i}" for i in range(x.shape[1])]
    train, validation = (xgb.DMatrix(x[p], y[p], feature_names=names) for p in (slice(0, cut), slice(cut, None)))
    settings: Mapping[str, Any] = {"objective": objective, "max_depth": 3, "eta": 0.3, "nthread": 1, **parameters}
    info = run_info(folder.name, settings, train, validation, labels=labels(objective))
    with Hook(folder, info, save=DEFAULTS) as hook:
        xgb.train(
            dict(settings), train, rounds, evals=[(train, "train"), (validation, "validation")],
            callbacks=[XGBoostHook(hook, train, validation)], verbose_eval=False,
        )  # fmt: skip
    return folder


def table(objective: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    margin = 1.5 * x[:, 0] - x[:, 1] * x[:, 2]
    if objective.startswith("binary:"):
        return x, (margin + rng.logistic(size=rows) > 1).astype(np.float32)
    if objective.startswith("multi:"):
        return x, np.digitize(margin + 0.5 * rng.normal(size=rows), (-1, 1)).astype(np.float32)
    return x, np.exp(0.5 * margin).astype(np.float32)


def labels(objective: str) -> tuple[str, ...]:
    if objective.startswith("multi:"):
        return CLASSES
    return ("background", "signal") if objective.startswith("binary:") else ()


def network(folder: Path) -> Path:
    """A small Keras network on three classes, every tenth step saved."""
    from dataclasses import replace

    import keras

    from cloud_train.debugger.keras_hook import DEFAULTS, KerasHook
    from cloud_train.debugger.rules import rule

    x, y = table("multi:softprob", 600)
    dense = keras.layers.Dense
    model = keras.Sequential(
        [keras.Input((6,)), dense(16, "relu", name="first"), dense(8, "tanh"), dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    save = {name: replace(collection, interval=min(10, collection.interval)) for name, collection in DEFAULTS.items()}
    hook = KerasHook(folder, save=save, rules=[rule("VanishingGradient")], labels=CLASSES, keep_best=False)
    given = {"validation_data": (x[400:], y[400:]), "callbacks": [hook], "batch_size": 40, "verbose": 0}
    model.fit(x[:400], y[:400], epochs=4, **given)
    return folder
