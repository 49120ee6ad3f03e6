"""An external simulation: connects to a learner over RLlib's RLlink, acts by its policy, sends it what came of that."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train import stop
from cloud_train.progress import console
from cloud_train.recordings import DataError, TrainingError

from .rllink import Address, Scaled, needed
from .tasks import Watched

if TYPE_CHECKING:
    from ray.rllib.env.single_agent_episode import SingleAgentEpisode

PATIENCE_SECONDS = 120.0
"""How long a simulation looks for its learner: one that was killed needs a while to come back."""
ANSWER_SECONDS, STATE_SECONDS = 10.0, 900.0
"""How long the learner may take to answer, and to give new weights: it waits for the other simulations too."""
MESSAGE_BYTES = 64_000_000
"""Observations sent at once at most: RLlink's header, the length of a message, has eight digits."""


def simulate(
    make: Callable[[], Watched], learner: Address, *, seed: int = 0, patience_seconds: float = PATIENCE_SECONDS
) -> int:
    """Simulate for a learner, until it has been gone for so long or a stop is asked for; give the steps sent.

    A learner that comes back is served again. DataError where it learns another task, TrainingError where none is.
    """
    with needed():
        import torch
    torch.set_num_threads(1)  # one simulation is one core's work
    torch.manual_seed(seed)
    steps, connections, looked = 0, 0, time.monotonic()
    with console.status(f"looks for the learner at {learner}") as line:
        while time.monotonic() - looked < patience_seconds and not stop.requested():
            try:
                with socket.create_connection(learner, ANSWER_SECONDS) as connection:
                    for sent in _served(connection, make, learner, seed + 1009 * connections):
                        steps, looked = steps + sent, time.monotonic()
                        connections += not sent
                        line.update(f"{learner}: {steps} steps sent")
            except OSError:
                time.sleep(0.5)
    if not connections and not stop.requested():
        msg = f"no learner answered at {learner} in {patience_seconds:.0f} s; does it run, and is the place free?"
        raise TrainingError(msg)
    return steps


def _served(connection: socket.socket, make: Callable[[], Watched], learner: Address, seed: int) -> Iterator[int]:
    """Serve a learner until it is gone, which is an OSError; yield 0 at first, then the steps of each rollout."""
    from ray.rllib.env.external.rllink import RLlink, get_rllink_message, send_rllink_message

    def call(kind: RLlink, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - what msgpack can carry
        send_rllink_message(connection, {"type": kind.name, **body})
        answer: dict[str, Any] = get_rllink_message(connection)[1]
        return answer

    call(RLlink.PING)
    # RLlib's protocol has the configuration as a pickle: who connects must trust the learner, as `--help` says.
    rollout = Rollout(pickle.loads(call(RLlink.GET_CONFIG)["config"]), make, learner, seed)  # noqa: S301
    connection.settimeout(STATE_SECONDS)
    rollout.take(call(RLlink.GET_STATE)["state"])
    console.print(f"{learner}: simulates for it", highlight=False)
    yield 0
    while not stop.requested():
        for count in rollout.counts[:-1]:
            send_rllink_message(connection, {"type": RLlink.EPISODES.name, "episodes": rollout.gather(count)})
        rollout.take(call(RLlink.EPISODES_AND_GET_STATE, episodes=rollout.gather(rollout.counts[-1]))["state"])
        yield sum(rollout.counts) * rollout.width


class Rollout:
    """Environments under a learner's policy: `take` its weights, `gather` episodes as RLlib has them.

    A rollout is gathered in parts of `counts` steps of each of the `width` environments.
    """

    def __init__(self, config: Any, make: Callable[[], Watched], learner: Address, seed: int) -> None:  # noqa: ANN401
        self.width: int = config.num_envs_per_env_runner
        self._envs = [Scaled(make()) for _ in range(self.width)]
        task, space = self._envs[0].spec.id, self._envs[0].observation_space
        if task != config.env.rpartition(":")[2] or space != config.observation_space:
            msg = f"{learner} learns {config.env} with other observations or options than this {task}"
            raise DataError(msg)
        steps = config.env_config["steps"] // self.width
        part = max(1, MESSAGE_BYTES // (4 * int(np.prod(space.shape)) * self.width))
        self.counts = [min(part, steps - k) for k in range(0, steps, part)]
        self._module = config.get_rl_module_spec().build()
        self._episodes = [_begun(env, seed + k) for k, env in enumerate(self._envs)]

    def take(self, state: dict[str, Any]) -> None:
        """Act by these weights from now on."""
        self._module.set_state(state["rl_module"])

    def gather(self, steps: int) -> list[dict[str, Any]]:
        """Let every environment go so many steps; the states of the episodes, those under way cut."""
        gathered: list[SingleAgentEpisode] = []
        for _ in range(steps):
            for k, (action, noted) in enumerate(self._chosen()):
                env, episode = self._envs[k], self._episodes[k]
                observation, reward, terminated, truncated, _ = env.step(self._acted(action))
                episode.add_env_step(
                    observation, action, reward, terminated=terminated, truncated=truncated, extra_model_outputs=noted
                )
                if episode.is_done:
                    gathered.append(episode)
                    self._episodes[k] = _begun(env)
        under_way = [episode for episode in self._episodes if len(episode)]
        self._episodes = [episode.cut() if len(episode) else episode for episode in self._episodes]
        return [episode.get_state() for episode in [*gathered, *under_way]]

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()

    def _chosen(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Draw an action for each environment; with what the learner needs to know of the draw."""
        import torch
        from ray.rllib.core import Columns

        seen = torch.from_numpy(np.stack([episode.get_observations(-1) for episode in self._episodes]))
        with torch.no_grad():
            inputs = self._module.forward_exploration({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS]
            drawn = self._module.get_exploration_action_dist_cls().from_logits(inputs)
            actions = drawn.sample()
            chances = drawn.logp(actions)
        for action, logits, chance in zip(actions.numpy(), inputs.numpy(), chances.numpy(), strict=True):
            yield action, {Columns.ACTION_DIST_INPUTS: logits, Columns.ACTION_LOGP: chance}

    def _acted(self, action: Any) -> Any:  # noqa: ANN401 - an index or two numbers
        return int(action) if action.ndim == 0 else np.clip(action, -1, 1)


def _begun(env: Any, seed: int | None = None) -> SingleAgentEpisode:  # noqa: ANN401 - a wrapper of gymnasium's
    from ray.rllib.env.single_agent_episode import SingleAgentEpisode

    return SingleAgentEpisode(observations=[env.reset(seed=seed)[0]])
