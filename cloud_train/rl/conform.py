"""What an environment must keep to so that a policy can be trained on it and taken to a robot: one check a line."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from .interface import Interface
from .tasks import TaskError, Watched, make, maker

STEPS = 300


@dataclass(frozen=True)
class Kept:
    """A rule, and in `problem` how an environment breaks it; empty where it does not."""

    rule: str
    problem: str = ""


def conform(name: str, **options: Any) -> Iterator[Kept]:  # noqa: ANN401 - whatever the environment takes
    """Check an environment by its name, rule by rule; DataError where there is none or it has no `interface`."""
    make(name, **options).close()
    for rule, check in RULES.items():
        try:
            yield Kept(rule, check(maker(name, **options)))
        except TaskError as error:
            yield Kept(rule, str(error))


def _gymnasium(made: Callable[[], Watched]) -> str:
    env = made()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_env(env.unwrapped, skip_render_check=env.unwrapped.render_mode is None)
    except (AssertionError, gymnasium.error.Error, ValueError, TypeError) as error:
        return str(error).strip().partition("\n")[0]
    finally:
        env.close()
    return ""


def _spaces(made: Callable[[], Watched]) -> str:
    env = made()
    interface: Interface = env.interface
    for what in ("observation_space", "action_space"):
        has, says = getattr(env, what), getattr(interface, what)
        if has != says:
            return f"{what} is {has}, its interface says {says}"
    return ""


def _ends(made: Callable[[], Watched]) -> str:
    spec = made().spec
    return "" if spec is not None and spec.max_episode_steps else "is registered without max_episode_steps"


def _repeats(made: Callable[[], Watched]) -> str:
    def episode(seed: int) -> list[Any]:
        env = made()
        env.action_space.seed(3)
        found = [env.reset(seed=seed)[0]]
        for _ in range(30):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            found += [observation, np.array(reward)]
            if terminated or truncated:
                break
        return found

    first, again = episode(7), episode(7)
    same = len(first) == len(again) and all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    return "" if same else "the same seed and actions give two different episodes"


def _sound(made: Callable[[], Watched]) -> str:
    env = made()
    env.action_space.seed(0)
    env.reset(seed=0)
    for step in range(1, STEPS + 1):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        if not env.observation_space.contains(observation):
            return f"step {step}: the observation lies outside observation_space"
        if not isinstance(info.get("success"), bool):
            return f"step {step}: info['success'] is {info.get('success')!r}; it must say True or False"
        if terminated or truncated:
            env.reset()
    return ""


def _travels(made: Callable[[], Watched]) -> str:
    try:
        pickle.loads(pickle.dumps(made))().close()  # noqa: S301 - its own
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        return f"cannot be sent to a simulation job: {error}"
    return ""


RULES: dict[str, Callable[[Callable[[], Watched]], str]] = {
    "gymnasium's checker": _gymnasium,
    "spaces are the interface's": _spaces,
    "episodes are cut off": _ends,
    "a seed repeats an episode": _repeats,
    f"{STEPS} random steps": _sound,
    "can run in a job": _travels,
}
