"""The hyperparameters of a policy's training, with the reference's as defaults."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from cloud_train.recordings import DataError


@dataclass(frozen=True)
class Settings:
    """Clipped proximal policy optimisation (Schulman et al. 2017).

    The defaults are those of the object tracker's Clipped PPO in RL Coach, whose 20 episodes between updates are about
    8,000 steps here.
    """

    learning_rate: float = field(default=3e-4, metadata={"help": "step size of Adam"})
    minibatch: int = field(default=64, metadata={"help": "observations a gradient step"})
    epochs: int = field(default=10, metadata={"help": "passes over what was gathered"})
    rollout: int = field(default=8192, metadata={"help": "steps gathered between updates, of all simulations"})
    simulations: int = field(default=8, metadata={"help": "environments that run side by side"})
    clip: float = field(default=0.2, metadata={"help": "how far a probability may move, as a ratio"})
    clip_decay_steps: int = field(
        default=1_000_000, metadata={"help": "steps over which the clip shrinks to a tenth; 0: never"}
    )
    entropy: float = field(default=0.01, metadata={"help": "weight of the entropy, against deciding too soon"})
    discount: float = field(default=0.999, metadata={"help": "worth of a reward one step later"})
    trace: float = field(default=0.95, metadata={"help": "lambda of generalised advantage estimation"})
    seed: int = field(default=0, metadata={"help": "of weights, simulations and choices"})

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            least = {"int": 1, "float": 0}[str(one.type)]
            if value < least and one.name not in ("seed", "clip_decay_steps"):
                msg = f"{one.name}: is {value}; it must be at least {least}"
                raise DataError(msg)
        if not 0 < self.discount <= 1 or not 0 <= self.trace <= 1:
            msg = f"discount and trace: are {self.discount} and {self.trace}; they must lie between 0 and 1"
            raise DataError(msg)
        if self.rollout < self.simulations or self.rollout % self.simulations:
            msg = (
                f"rollout: {self.rollout} steps cannot be shared by {self.simulations} simulations; make it a multiple"
            )
            raise DataError(msg)


FAST = Settings(
    learning_rate=1e-3, minibatch=256, epochs=6, rollout=2048, clip_decay_steps=0, entropy=0.0, discount=0.98
)
"""For observations of a few numbers and episodes of a few hundred steps."""
DEFAULTS = {"ObjectTracker-v0": Settings(), "FollowTarget-v0": FAST, "FollowEvent-v0": replace(FAST, entropy=0.003)}
BUDGET_SECONDS = {"ObjectTracker-v0": 900.0, "FollowTarget-v0": 60.0, "FollowEvent-v0": 60.0}


def settings_for(task: str, **given: Any) -> Settings:  # noqa: ANN401 - of many types
    """Give a task's defaults with what was asked for in their place; DataError names a field that cannot be."""
    return replace(DEFAULTS.get(task, FAST), **{name: value for name, value in given.items() if value is not None})
