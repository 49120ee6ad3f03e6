"""The hook for Keras: a callback of `model.fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .actions import Action
from .capture import Caught, described, stepper
from .hook import Hook
from .rules import Rule
from .saved import Collection, RunInfo

DEFAULTS = {
    "metrics": Collection(10),
    "losses": Collection(10),
    "weights": Collection(500),
    "biases": Collection(500),
    "gradients": Collection(500),
    "layer_outputs": Collection(500, reductions=("min", "max", "mean", "std", "zeros", "active", "saturated")),
    "predictions": Collection(1),
    "labels": Collection(1),
}
"""What is saved if nothing else is asked for; predictions and labels are of the validation, counted in validations."""
FURTHER = {"inputs": Collection(500), "optimizer_variables": Collection(500)}
"""What can be asked for besides."""
BEST = "best.weights.h5"
MOST_ROWS = 10_000
"""Of the validation, whose predictions and labels are saved."""


class KerasHook(keras.callbacks.Callback):
    """Saves what a model is and does while `fit` trains it, and ends the training where a rule says so.

    Losses and metrics are those that Keras reports: means over the epoch so far; those of the validation are saved in
    mode `eval` at the step at which it was done. The weights of the epoch with the lowest validation loss (training
    loss, where nothing validates) are kept in RUN/best.weights.h5; a training that is stopped ends with them.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        save: Mapping[str, Collection] | None = None,
        rules: Sequence[Rule] = (),
        actions: Sequence[Action] = (),
        labels: Sequence[str] = (),
        hyperparameters: Mapping[str, Any] | None = None,
        keep_best: bool = True,
    ) -> None:
        super().__init__()
        self._run, self._save = run, dict(DEFAULTS if save is None else save)
        self._rules, self._actions, self._labels = rules, actions, tuple(labels)
        self._hyperparameters = dict(hyperparameters or {})
        self._keep_best = keep_best and not str(run).startswith("s3://")
        self.hook: Hook | None = None
        self.step, self._validations, self._began = 0, 0, 0.0
        self._best, self._best_step = math.inf, -1
        self._steppers: dict[tuple[frozenset[str], bool], Any] = {}
        self._caught: Caught = {}
        self._validating: frozenset[str] = frozenset()
        self._answers: list[Caught] = []
        self._replaced: dict[str, Any] = {}
        self._saved: dict[str, dict[str, Any]] = {}

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ANN401, ARG002 - as Keras calls it
        """Describe the run."""
        if self.hook is not None:  # a second `fit` with the same callback goes on
            return
        settings = {**_settings(self.model, self.params), **self._hyperparameters}
        info = RunInfo(
            "keras", Path(str(self._run)).name, hyperparameters=settings,
            objective=_named(self.model.loss), loss="loss", labels=self._labels, layers=described(self.model),
            predicted="validation",
        )  # fmt: skip
        self.hook = Hook(self._run, info, save=self._save, rules=self._rules, actions=self._actions)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Let the coming step be caught if it is to be saved."""
        self._restore()
        due = frozenset(self._due() & {"inputs", "layer_outputs", "gradients"})
        if due:
            self._replace("train_function", self._catching(due, training=True))
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Save what is due of the step that was done."""
        assert self.hook is not None
        self._restore()
        self.hook.sampler.step("train", self.step, time.monotonic() - self._began)
        due = self._due() - {"predictions", "labels"}
        self._saved = {**self._read(due, logs or {}), **self._caught}
        if self._saved:
            self.hook.save(self.step, "train", self._saved)
        else:
            self.hook.look()
        self._caught = {}
        self.step += int(self.model.steps_per_execution)
        if self.hook.stop is not None:
            self.model.stop_training = True

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Have predictions and labels caught, if this validation's are to be saved."""
        self._restore()
        self._answers, self._began = [], time.monotonic()
        if self.hook is not None:
            self._validating = frozenset(self.hook.due(self._validations) & {"predictions", "labels"})

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Catch, until there is enough."""
        if self.hook is not None and self._validating and sum(map(_rows, self._answers)) < MOST_ROWS:
            self._replace("test_function", self._catching(self._validating, training=False))

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Put by what was caught."""
        self._restore()
        if self._caught:
            self._answers.append(self._caught)
            self._caught = {}

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ANN401
        """Save the validation."""
        self._restore()
        if self.hook is None:
            return
        self._validations += 1
        self.hook.sampler.spend("validation", time.monotonic() - self._began)
        found = {k: _joined([caught.get(k, {}) for caught in self._answers]) for k in ("predictions", "labels")}
        values = {name: np.float64(value) for name, value in (logs or {}).items()}
        found |= {"metrics": values, "losses": {name: v for name, v in values.items() if "loss" in name}}
        self.hook.save(max(0, self.step - 1), "eval", {name: group for name, group in found.items() if group})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Save the epoch's loss, and its weights if they are the best."""
        assert self.hook is not None
        logs, last = dict(logs or {}), max(0, self.step - int(self.model.steps_per_execution))
        trained = {name: value for name, value in logs.items() if not name.startswith("val_")}
        numbers = _numbers({"metrics", "losses"} & set(self._save), trained)
        if not numbers.keys() <= self._saved.keys():
            self.hook.save(last, "train", {**numbers, **self._saved})
        loss = logs.get("val_loss", logs.get("loss", math.inf))
        if loss < self._best:
            self._best, self._best_step = loss, last
            if self._keep_best:
                self.model.save_weights(Path(self._run) / BEST)
        if self.hook.stop is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ANN401, ARG002
        """Say how it ended; of a stopped training the best weights are taken."""
        assert self.hook is not None
        self._restore()
        if self.hook.stop is not None and self._keep_best and self._best_step >= 0:
            self.model.load_weights(Path(self._run) / BEST)
        self.hook.end(best_step=self._best_step if self._best_step >= 0 else None)

    def _catching(self, wanted: frozenset[str], *, training: bool) -> Any:  # noqa: ANN401 - a train function
        key = (wanted, training)
        if key not in self._steppers:
            self._steppers[key] = stepper(self.model, wanted, self._save, training=training)

        def function(iterator: Any) -> Any:  # noqa: ANN401
            logs, self._caught = self._steppers[key](iterator)
            return logs

        return function

    def _due(self) -> set[str]:
        assert self.hook is not None
        steps = range(self.step, self.step + int(self.model.steps_per_execution))
        return set().union(*map(self.hook.due, steps))

    def _replace(self, name: str, function: Any) -> None:  # noqa: ANN401
        self._replaced[name] = getattr(self.model, name)
        setattr(self.model, name, function)

    def _restore(self) -> None:
        for name, own in self._replaced.items():
            setattr(self.model, name, own)
        self._replaced = {}

    def _read(self, due: set[str], logs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Read what is there after a step: numbers, variables of the model and of the optimizer."""
        found = _numbers(due, logs)
        for variable in self.model.trainable_variables:
            kind = "biases" if variable.path.rpartition("/")[2] in ("bias", "beta") else "weights"
            if kind in due:
                found.setdefault(kind, {})[variable.path] = np.asarray(variable)
        if "optimizer_variables" in due:
            found["optimizer_variables"] = {v.path: np.asarray(v) for v in self.model.optimizer.variables}
        return found


def _numbers(due: set[str], logs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    values = {name: np.float64(value) for name, value in logs.items()}
    losses = {name: value for name, value in values.items() if "loss" in name}
    return {name: group for name, group in (("metrics", values), ("losses", losses)) if name in due and group}


def _rows(caught: Caught) -> int:
    return max((len(value) for group in caught.values() for value in group.values()), default=0)


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the batches of a validation together, up to as many rows as are kept."""
    names = parts[0] if parts else {}
    return {name: np.concatenate([np.asarray(part[name]) for part in parts])[:MOST_ROWS] for name in names}


def _settings(model: keras.Model, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give a training's settings as JSON can hold them: the optimizer's, and how long it is."""
    optimizer = {} if model.optimizer is None else {"optimizer": model.optimizer.name, **model.optimizer.get_config()}
    settings = {**optimizer, **{name: parameters.get(name) for name in ("epochs", "steps")}, "model": model.name}
    settings["parameters"] = int(model.count_params())
    return {name: _plain(value) for name, value in settings.items() if value is not None}


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str | bool | int | Mapping):
        return value
    return round(float(value), 9) if isinstance(value, float | np.floating) else str(value)


def _named(loss: Any) -> str:  # noqa: ANN401 - what `compile` takes
    return loss if isinstance(loss, str) else str(getattr(loss, "name", None) or getattr(loss, "__name__", ""))
