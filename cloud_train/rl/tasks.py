"""The tasks by name, and what an environment must keep to so that it can be trained on and its policy exported."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from cloud_train.recordings import DataError, TrainingError
from edge.guard import Limits

from .drive import Drive
from .interface import Interface, Task

TASKS = {
    "ObjectTracker-v0": ("cloud_train.rl.object_tracker:ObjectTracker", 1000),
    "FollowTarget-v0": ("cloud_train.rl.follow_target:FollowTarget", 200),
    "FollowEvent-v0": ("cloud_train.rl.follow_event:FollowEvent", 300),
}
"""Where each environment is, and after how many steps an episode is cut off."""


def register() -> None:
    """Tell gymnasium of our tasks; once is enough, again does no harm."""
    for name, (entry_point, steps) in TASKS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=entry_point, max_episode_steps=steps, disable_env_checker=True)


def make(name: str, **options: Any) -> Watched:  # noqa: ANN401 - whatever the environment takes
    """Make an environment by its name; `package.module:Name-v0` imports its module first. DataError says what is wrong.

    Observations and rewards are looked at in each step: one that is not finite, or of another shape, is named.
    """
    register()
    try:
        made = gymnasium.make(name, **options)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        msg = f"--env {name}: {str(error).rstrip('.')}; ours are {', '.join(TASKS)}, yours is package.module:Name-v0"
        raise DataError(msg) from None
    except TypeError as error:
        if not options or "unexpected keyword argument" not in str(error):
            raise
        msg = f"--env {name}: takes no {str(error).rpartition('argument ')[2]}"
        raise DataError(msg) from None
    if not isinstance(made.unwrapped, Task) or not isinstance(made.unwrapped.interface, Interface):
        msg = f"--env {name}: has no `interface`, which says what its policy observes and does (docs/policy.md)"
        raise DataError(msg)
    return Watched(made)


def maker(name: str, drive: Callable[[Limits], Drive] | None = None, **options: Any) -> Callable[[], Watched]:  # noqa: ANN401
    """Give a function that makes an environment; it can be sent to another process."""
    return partial(make, name, **({} if drive is None else {"drive": drive}), **options)


class TaskError(TrainingError):
    """An environment that gave what no policy can learn from; the message names it and the step."""


class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same environment; TaskError as soon as an observation or a reward is none."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._steps = 0

    @property
    def interface(self) -> Interface:
        """What its policy observes and does."""
        found: Interface = self.unwrapped.interface  # type: ignore[attr-defined] # `make` has looked
        return found

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        self._look(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:  # noqa: ANN401 - as gymnasium has it
        """Go on."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        self._look(observation)
        if not math.isfinite(reward):
            self._refuse(f"the reward is {reward}")
        return observation, float(reward), terminated, truncated, info

    def _look(self, observation: Any) -> None:  # noqa: ANN401 - whatever somebody's environment gives
        wanted = self.interface.observation_shape
        if np.shape(observation) != wanted:
            self._refuse(f"the observation has the shape {np.shape(observation)}, its interface says {wanted}")
        if not np.isfinite(observation).all():
            self._refuse("the observation holds NaN or infinite numbers")

    def _refuse(self, why: str) -> None:
        name = self.spec.id if self.spec is not None else type(self.unwrapped).__name__
        msg = f"{name}: {why}, in step {self._steps} of an episode"
        raise TaskError(msg)
