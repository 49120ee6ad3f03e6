"""The rules: plain functions of a trial and their parameters, which return a finding or None."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.spelling import known, named
from cloud_train.debugger.trial import Trial
from cloud_train.recordings import DataError

from .activations import dead_relu, poor_weight_initialization, saturated_activation
from .boosting import create_xgboost_report, feature_importance_overweight, tree_depth
from .classes import class_imbalance, confusion
from .inputs import check_input_images, nlp_sequence_ratio
from .losses import loss_not_decreasing, overfit, overtraining, stalled_training
from .profiler import PROFILER_RULES
from .tensors import (
    all_zero,
    exploding_tensor,
    similar_across_runs,
    tensor_variance,
    unchanged_tensor,
    vanishing_gradient,
    weight_update_ratio,
)

Function = Callable[..., Finding | None]

RULES: dict[str, Function] = {
    "AllZero": all_zero,
    "CheckInputImages": check_input_images,
    "ClassImbalance": class_imbalance,
    "Confusion": confusion,
    "CreateXgboostReport": create_xgboost_report,
    "DeadRelu": dead_relu,
    "ExplodingTensor": exploding_tensor,
    "FeatureImportanceOverweight": feature_importance_overweight,
    "LossNotDecreasing": loss_not_decreasing,
    "NLPSequenceRatio": nlp_sequence_ratio,
    "Overfit": overfit,
    "Overtraining": overtraining,
    "PoorWeightInitialization": poor_weight_initialization,
    "SaturatedActivation": saturated_activation,
    "SimilarAcrossRuns": similar_across_runs,
    "StalledTraining": stalled_training,
    "StalledTrainingRule": stalled_training,  # as the original calls it
    "TensorVariance": tensor_variance,
    "TreeDepth": tree_depth,
    "UnchangedTensor": unchanged_tensor,
    "VanishingGradient": vanishing_gradient,
    "WeightUpdateRatio": weight_update_ratio,
    **PROFILER_RULES,
}

STOPPING = {
    "AllZero", "DeadRelu", "ExplodingTensor", "LossNotDecreasing", "Overtraining",
    "PoorWeightInitialization", "SaturatedActivation", "TensorVariance", "UnchangedTensor", "VanishingGradient",
    "WeightUpdateRatio",
}  # fmt: skip
"""Rules about how a training goes, whose finding is a reason to end it; others are about data, machines and models."""


@dataclass(frozen=True)
class Rule:
    """A rule with its parameters, ready to be asked; `stops`: a finding is a reason to end the training."""

    name: str
    function: Function
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        """Say whether its finding ends a training that is judged while it runs."""
        wanted: bool = self.parameters.get("stop_training_on_fire", self.name in STOPPING or self.name not in RULES)
        return wanted

    def __call__(self, trial: Trial) -> Finding | None:
        """Judge."""
        return self.function(trial, **self.parameters)


def rule(name: str, **parameters: Any) -> Rule:  # noqa: ANN401 - as the rule's own parameters are
    """Give a built-in rule by its name, whatever its case; DataError names the nearest, also of a parameter."""
    name = known(name, RULES, "rule")
    return _checked(name, RULES[name], parameters)


def read_rules(text: str) -> list[Rule]:
    """Read rules as on the command line: `A,B:num_steps=5,delta=0.1,my_rules.py:my_rule`.

    What follows a rule's colon, up to the next name, are its parameters. DataError says what is not understood.
    """
    rules: list[Rule] = []
    for said, given in named(text):
        if ".py:" in said:
            name, function = said.rpartition(":")[2], _own(said)
        else:
            name = known(said, RULES, "rule")
            function = RULES[name]
        if name in {each.name for each in rules}:
            msg = f"rule {name} is named twice"
            raise DataError(msg)
        rules.append(_checked(name, function, given))
    return rules


def defaults(function: Function) -> dict[str, Any]:
    """Give a rule's parameters with their defaults; those that must be given are `...`."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return {p.name: ... if p.default is p.empty else p.default for p in parameters}


def _own(name: str) -> Function:
    """Load a function of the user's own from a file."""
    file, _, function = name.rpartition(":")
    if not Path(file).is_file():
        msg = f"{file}: no such file; a rule of your own is FILE.py:FUNCTION"
        raise DataError(msg)
    try:
        found = runpy.run_path(file)
    except (ImportError, NameError, SyntaxError) as error:
        msg = f"{file}: cannot be loaded ({type(error).__name__}: {error})"
        raise DataError(msg) from None
    own = [key for key, value in found.items() if inspect.isfunction(value) and value.__module__ == "<run_path>"]
    chosen: Function = found[known(function, own, f"function in {file} called")]
    return chosen


def _checked(name: str, function: Function, given: Mapping[str, Any]) -> Rule:
    """Give each parameter the type that the function says it has."""
    usual, hints = defaults(function), get_type_hints(function)
    parameters = {}
    for said, value in given.items():
        key = known(said, usual, f"parameter of {name}")
        try:
            parameters[key] = msgspec.convert(value, hints.get(key, str), strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            msg = f"{name}: {key}={value}: {str(error)[0].lower()}{str(error)[1:]}"
            raise DataError(msg) from None
    missing = [key for key, value in usual.items() if value is ... and key not in parameters]
    if missing:
        msg = f"{name} needs {missing[0]}: {name}:{missing[0]}=..."
        raise DataError(msg)
    return Rule(name, function, parameters)
