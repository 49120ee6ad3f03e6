"""How well a policy does: whole episodes from fixed seeds, with a confidence interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from cloud_train.progress import track
from edge.policy import Policy

from .baselines import CONTROLLERS, Act, at_random
from .interface import Interface
from .simulations import Episode, Tally
from .tasks import Watched

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_SEED = 10_000
"""Training never uses this seed or a later one: it counts from its own, which is small."""


@dataclass(frozen=True)
class Score:
    """The mean return of some episodes, the ends of its 95 % confidence interval, and the mean success."""

    mean: float
    ci95: tuple[float, float]
    success: float
    episodes: int

    @classmethod
    def of(cls, episodes: Sequence[Episode]) -> Score:
        """Sum up episodes; the interval is Student's, of no width for a single one."""
        totals = np.array([episode.total for episode in episodes])
        mean, count = float(totals.mean()), len(totals)
        half = 0.0
        if count > 1:
            half = float(stats.t.ppf(0.975, count - 1) * totals.std(ddof=1) / np.sqrt(count))
        success = float(np.mean([episode.success for episode in episodes]))
        return cls(mean, (mean - half, mean + half), success, count)

    def __str__(self) -> str:
        low, high = self.ci95
        return f"return {self.mean:.1f} ({low:.1f} to {high:.1f}), success {self.success:.3f}"


def play(env: Watched, act: Act, seed: int) -> Episode:
    """Play one episode to its end."""
    observation, _ = env.reset(seed=seed)
    tally = Tally()
    while True:
        observation, reward, terminated, truncated, info = env.step(act(observation))
        tally.push(float(reward), success=bool(info.get("success", False)))
        if terminated or truncated:
            return tally.end(cut_off=not terminated)


def judge(make: Callable[[], Watched], acts: Callable[[int], Act], episodes: int, what: str = "") -> Score:
    """Play episodes from fixed seeds; `acts` gives what acts in that of a seed. `what` is shown with a bar."""
    env = make()
    try:
        seeds = range(FIRST_SEED, FIRST_SEED + episodes)
        return Score.of([play(env, acts(seed), seed) for seed in (track(seeds, what, episodes) if what else seeds)])
    finally:
        env.close()


def compare(task: str, make: Callable[[], Watched], act: Act, episodes: int) -> dict[str, Score]:
    """Judge a policy, and beside it, on the same episodes, the controller made by hand, if there is one, and chance."""
    found = {"policy": judge(make, lambda _seed: act, episodes, "policy")}
    if task in CONTROLLERS:
        found["pd"] = judge(make, lambda _seed: CONTROLLERS[task](), episodes, "controller")
    found["random"] = chance(make, episodes, "chance")
    return found


def chance(make: Callable[[], Watched], episodes: int, what: str = "") -> Score:
    """Judge actions drawn evenly."""
    env = make()
    interface = env.interface
    env.close()
    return judge(make, lambda seed: at_random(interface, seed), episodes, what)


def greedy(interface: Interface, outputs: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Act:
    """Act as the robot does: the highest score, or the two numbers themselves; `outputs` takes `[1, ...]`."""

    def act(observation: NDArray[np.float32]) -> Any:  # noqa: ANN401 - an index or two numbers
        found = outputs(observation[None])[0]
        return int(np.argmax(found)) if interface.actions else np.clip(found, -1, 1)

    return act


def on_device(policy: Policy) -> Act:
    """Act through the device's own code: what it proposes, as an action of the task."""
    limits = policy.spec.limits

    def act(observation: NDArray[np.float32]) -> Any:  # noqa: ANN401 - an index or two numbers
        wanted = policy(observation[None])
        if wanted.index >= 0:
            return wanted.index
        return (wanted.linear_mps / limits.linear_most_mps, wanted.angular_radps / limits.angular_most_radps)

    return act
