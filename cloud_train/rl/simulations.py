"""Environments side by side in this process: each begins anew when its episode is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .tasks import Watched

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Episode:
    """A finished episode: the sum of its rewards, its steps, and how well it did.

    `success` is that of the last step where the task ended the episode, else the share of steps with success.
    """

    total: float
    steps: int
    success: float


@dataclass(frozen=True, eq=False)
class Moment:
    """What a step of all environments brought; arrays have one row for each.

    `observations` are those to act on next; `last` holds, by row, the final one of an episode that was cut off.
    Of rows that are not `alive` everything is to be dropped: their simulation is gone.
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.float32]
    ended: NDArray[np.bool_]
    last: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    episodes: tuple[Episode, ...] = ()
    alive: NDArray[np.bool_] | None = None


class Tally:
    """Counts an episode as it goes: `push(reward, success)`, then `end`."""

    def __init__(self) -> None:
        self._total, self._steps, self._successes, self._last = 0.0, 0, 0, False

    def push(self, reward: float, *, success: bool) -> None:
        """Take a step."""
        self._total += reward
        self._steps += 1
        self._successes += success
        self._last = success

    def end(self, *, cut_off: bool) -> Episode:
        """Give the episode, and begin another."""
        success = self._successes / max(1, self._steps) if cut_off else float(self._last)
        episode = Episode(self._total, self._steps, success)
        self._total, self._steps, self._successes, self._last = 0.0, 0, 0, False
        return episode


class Simulations:
    """Environments of one kind: `begin` once, then `step`, then `close`."""

    def __init__(self, make: Callable[[], Watched], count: int, seed: int) -> None:
        self._envs = [make() for _ in range(count)]
        self._tallies = [Tally() for _ in self._envs]
        self._seed = seed
        self.restarts = 0
        """Of simulations that died: never here, where they are no processes of their own."""

    def begin(self) -> NDArray[np.float32]:
        """Begin an episode in each; observations `[n, ...]`."""
        return np.stack([env.reset(seed=self._seed + k)[0] for k, env in enumerate(self._envs)])

    def revive(self) -> dict[int, NDArray[np.float32]]:
        """Start what has died anew, and give the first observations by row: nothing dies here."""
        return {}

    def step(self, actions: Sequence[Any] | NDArray[Any]) -> Moment:
        """Act in each environment."""
        count = len(self._envs)
        rewards, ended = np.zeros(count, np.float32), np.zeros(count, np.bool_)
        observations, last, episodes = [], {}, []
        for k, (env, action) in enumerate(zip(self._envs, actions, strict=True)):
            observation, reward, terminated, truncated, info = env.step(action)
            self._tallies[k].push(float(reward), success=bool(info.get("success", False)))
            rewards[k], ended[k] = reward, terminated or truncated
            if ended[k]:
                episodes.append(self._tallies[k].end(cut_off=not terminated))
                if not terminated:
                    last[k] = observation
                observation, _ = env.reset()
            observations.append(observation)
        return Moment(np.stack(observations), rewards, ended, last, tuple(episodes))

    def close(self) -> None:
        """Close each."""
        for env in self._envs:
            env.close()
