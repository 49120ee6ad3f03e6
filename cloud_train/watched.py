"""Our own training loop under the debugger's eyes: what `fit --watch` saves, and which rules look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .args import Args
from .debugger.actions import Action
from .debugger.hook import Hook
from .debugger.rules import Rule, read_rules
from .debugger.saved import Collection, RunInfo

if TYPE_CHECKING:
    import keras

LOSS_EVERY = 10
RARELY = (10, 500)
"""Tensors are saved once an epoch, but not more often and not more rarely than this, in steps."""
OUTPUTS = ("min", "max", "mean", "std", "zeros", "active", "saturated")
EPOCHS_TO_FALL = 5


@dataclass(frozen=True)
class Watched:
    """Which rules are asked in a training, none meaning the usual, and what is done about a finding."""

    rules: Sequence[Rule] = ()
    actions: Sequence[Action] = ()


def usual_rules(steps_per_epoch: int) -> list[Rule]:
    """Give the rules that a healthy training never meets, at the end of its learning rate's fall neither.

    Of gradients only those of kernels: a bias before batch normalisation has none.
    """
    return read_rules(
        "ExplodingTensor,UnchangedTensor,VanishingGradient:tensor_regex=kernel,"
        f"LossNotDecreasing:mode=train,diff_percent=-5,num_steps={EPOCHS_TO_FALL * steps_per_epoch}"
    )


def hook_for(
    out: Path, watched: Watched, model: keras.Model, args: Args, *, labels: Sequence[str], modality: str,
    steps_per_epoch: int,
) -> Hook:  # fmt: skip
    """Give the hook of a training, which goes on where an earlier process saved."""
    from .debugger.capture import described

    often = min(max(steps_per_epoch, RARELY[0]), RARELY[1])
    save = {name: Collection(LOSS_EVERY) for name in ("losses", "metrics")}
    save |= {name: Collection(often) for name in ("weights", "biases", "gradients")}
    save["layer_outputs"] = Collection(often, reductions=OUTPUTS)
    save |= {name: Collection(1) for name in ("predictions", "labels")}
    info = RunInfo(
        "keras", out.resolve().name, hyperparameters={"modality": modality, **asdict(args)},
        objective="categorical_crossentropy", loss="loss", labels=tuple(labels), layers=described(model),
        predicted="validation",
    )  # fmt: skip
    rules = watched.rules or usual_rules(steps_per_epoch)
    return Hook(out, info, save=save, rules=rules, actions=watched.actions, go_on=True)


def step_tensors(
    due: set[str], model: keras.Model, numbers: Mapping[str, float], caught: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Put together what is saved after a step: `numbers` are loss and accuracy of the epoch so far."""
    found: dict[str, Any] = {"losses": {"loss": numbers["loss"]}, "metrics": dict(numbers), **caught}
    for variable in model.trainable_variables:
        kind = "biases" if variable.path.rpartition("/")[2] in ("bias", "beta") else "weights"
        found.setdefault(kind, {})[variable.path] = variable
    return {
        name: {key: value if isinstance(value, Mapping) else np.asarray(value) for key, value in group.items()}
        for name, group in found.items()
        if name in due
    }
