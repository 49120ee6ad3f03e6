"""Steps of all simulations under the present policy, made into a batch to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .ppo import Batch, Learner, advantages
from .simulations import Episode, Moment

if TYPE_CHECKING:
    from numpy.typing import NDArray


class World(Protocol):
    """Simulations, wherever they run: in this process, or in others that may die."""

    restarts: int

    def begin(self) -> NDArray[np.float32]:
        """Begin an episode in each."""

    def revive(self) -> dict[int, NDArray[np.float32]]:
        """Start what has died anew; first observations by row."""

    def step(self, actions: Sequence[Any] | NDArray[Any]) -> Moment:
        """Act in each."""

    def close(self) -> None:
        """End."""


@dataclass
class RewardScale:
    """Brings rewards to the size that networks learn best: over the running deviation of their discounted sums.

    Mean, deviation and count are merged step by step (Chan et al. 1979).
    """

    count: float = 1e-4
    mean: float = 0.0
    variance: float = 1.0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def push(self, rewards: NDArray[np.float32], ended: NDArray[np.bool_], discount: float) -> NDArray[np.float32]:
        """Take the rewards of a step, one for each simulation; give them scaled."""
        if len(self.sums) != len(rewards):
            self.sums = np.zeros(len(rewards))
        self.sums = self.sums * discount + rewards
        count = self.count + len(rewards)
        off = float(self.sums.mean()) - self.mean
        spread = self.variance * self.count + float(self.sums.var()) * len(rewards)
        self.variance = (spread + off**2 * self.count * len(rewards) / count) / count
        self.mean, self.count = self.mean + off * len(rewards) / count, count
        self.sums[ended] = 0.0
        return np.clip(rewards / np.sqrt(self.variance + 1e-8), -10, 10).astype(np.float32)


class Gatherer:
    """Runs simulations under a learner's policy: `gather` gives a batch, and the episodes that ended meanwhile."""

    def __init__(self, world: World, learner: Learner, scale: RewardScale) -> None:
        self._world, self._learner, self._scale = world, learner, scale
        self._observations = world.begin()
        self.dropped = 0
        """Steps of simulations that died before what they had gathered could be learnt from."""

    def gather(self, steps: int) -> tuple[Batch, tuple[Episode, ...]]:
        """Let every simulation go `steps` steps; what one gathered that dies meanwhile is dropped."""
        for row, observation in self._world.revive().items():
            self._observations[row] = observation
        settings, learner = self._learner.settings, self._learner
        alive = np.ones(len(self._observations), np.bool_)
        kept: list[tuple[Any, ...]] = []
        episodes: list[Episode] = []
        for _ in range(steps):
            actions, chances, values = learner.act(self._observations)
            moment = self._world.step(actions)
            rewards = self._scale.push(moment.rewards, moment.ended, settings.discount)
            bootstrap = np.zeros(len(rewards), np.float32)
            if moment.last:  # cut off, not over: what would have followed is still worth something
                rows = sorted(moment.last)
                bootstrap[rows] = learner.values(np.stack([moment.last[row] for row in rows]))
            kept.append((self._observations, actions, chances, values, rewards, moment.ended, bootstrap))
            self._observations = moment.observations.copy()
            episodes.extend(moment.episodes)
            if moment.alive is not None:
                alive &= moment.alive
        observations, actions, chances, values, rewards, ended, bootstrap = map(np.stack, zip(*kept, strict=True))
        after = np.concatenate([values[1:], learner.values(self._observations)[None]])
        gains = advantages(rewards, values, ended, np.where(ended, bootstrap, after), settings)
        self.dropped += int((~alive).sum()) * steps

        def flat(array: NDArray[Any]) -> NDArray[Any]:
            chosen = array[:, alive]
            return chosen.reshape(-1, *chosen.shape[2:])

        batch = Batch(flat(observations), flat(actions), flat(chances), flat(gains), flat(gains + values))
        return batch, tuple(episodes)
