"""RLlib's environment runners, and what they lack: they name a bad environment, and serve simulations run elsewhere."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env.external.env_runner_server_for_external_inference import EnvRunnerServerForExternalInference
from ray.rllib.env.external.rllink import RLlink
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from .tasks import TaskError


@dataclass(frozen=True)
class Report:
    """What a runner tells the learner: what is wrong with its environment, how many simulations and steps it lost."""

    wrong: str = ""
    lost: int = 0
    dropped: int = 0


class Runner(SingleAgentEnvRunner):
    """Runs environments; what is wrong with one is kept, where RLlib would only end the process and start another."""

    _wrong = ""

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as RLlib has it
        """Call a function with this runner."""

        def noting(runner: Runner, *given: Any, **by_name: Any) -> Any:  # noqa: ANN401
            try:
                return func(runner, *given, **by_name)
            except TaskError as error:
                self._wrong = str(error)
                return error

        found = super().apply(noting, *args, **kwargs)
        if isinstance(found, TaskError):
            raise found
        return found

    def report(self) -> Report:
        """Tell what is wrong, if anything is."""
        return Report(self._wrong)


class Place(EnvRunnerServerForExternalInference):
    """Where one external simulation connects over RLlink; to RLlib it is a runner, well while a simulation is there.

    A simulation that leaves or says nothing for `hang_seconds` is dropped with what it had sent of a rollout; when one
    comes, the learner gives it the newest weights first. `env_config` has host, port of the first place, hang_seconds.
    """

    def __init__(self, *, config: Any, **named: Any) -> None:  # noqa: ANN401 - as RLlib has it
        self._connected = self._fresh = False
        self._lost = self._dropped = 0
        self._heard = 0.0
        self._weights_lock = threading.RLock()
        super().__init__(config=config, **named)

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Call a function with this runner; the process outlives errors, or the simulation would lose its place."""
        return func(self, *args, **kwargs)

    def ping(self) -> str:
        """Say that all is well; ConnectionError where no simulation is connected."""
        if not self._connected:
            msg = "no simulation is connected"
            raise ConnectionError(msg)
        return "pong"

    def report(self) -> Report:
        """Tell how many simulations left, and how many steps they took along."""
        return Report("", self._lost, self._dropped)

    def sample(self, **_named: Any) -> list[SingleAgentEpisode]:  # noqa: ANN401
        """Give the rollout of the simulation once it is whole; ConnectionError if it leaves or hangs."""
        self._heard = time.monotonic()
        while not (self._blocked_on_state and self._episode_chunks_to_return):
            if not self._fresh:
                msg = "the simulation is not connected, or has no weights yet"
                raise ConnectionError(msg)
            if time.monotonic() - self._heard > self.config.env_config["hang_seconds"]:
                assert self.client_socket is not None
                with contextlib.suppress(OSError):
                    self.client_socket.shutdown(socket.SHUT_RDWR)  # wakes the listener, which then waits for another
                self._fresh = False
            time.sleep(0.002)
        found: list[SingleAgentEpisode] = super().sample()
        return found

    def set_state(self, state: dict[str, Any]) -> None:
        """Take the learner's weights and pass them on to a simulation that waits for them."""
        if COMPONENT_RL_MODULE not in state:
            return
        with self._weights_lock:
            connected = self._connected
            super().set_state(state)
            self._fresh = connected

    def _recycle_sockets(self, sleep: float = 0.0) -> None:  # noqa: ARG002 - RLlib waits and binds anew
        self._leave()
        config = self.config.env_config
        if self.server_socket is None:
            self.server_socket = socket.create_server((config["host"], config["port"] + self.worker_index - 1))
        try:
            self.client_socket, self.address = self.server_socket.accept()
        except OSError:  # closed under it, as the runner has ended: so does this thread
            raise SystemExit from None
        self.client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._heard = time.monotonic()
        self._connected = True

    def _leave(self) -> None:
        if self.client_socket is not None:
            self.client_socket.close()
            self._lost += 1
        with self._weights_lock, self._sample_lock:
            self._dropped += sum(map(len, self._episode_chunks_to_return or ()))
            self._episode_chunks_to_return = None
            self._connected = self._fresh = self._blocked_on_state = False

    def _send_set_state_message(self) -> None:
        with self._weights_lock:
            if threading.current_thread() is self.thread and not self._fresh:
                self._blocked_on_state = True  # it asks for weights; those of the learner come by `set_state`
                return
            with contextlib.suppress(ConnectionError):  # it left; the listener will notice
                super()._send_set_state_message()

    def _process_episodes_message(self, kind: RLlink, body: dict[str, Any]) -> None:
        try:
            episodes = [SingleAgentEpisode.from_state(one).to_numpy() for one in body["episodes"]]
            fit = all(map(self._fit, episodes))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            fit = False
        if not fit:
            msg = "sent what are no episodes of this task"
            raise ConnectionError(msg)
        self._heard = time.monotonic()
        with self._sample_lock:
            self._episode_chunks_to_return = [*(self._episode_chunks_to_return or ()), *episodes]
        self._blocked_on_state = kind is RLlink.EPISODES_AND_GET_STATE

    def _fit(self, episode: SingleAgentEpisode) -> bool:
        seen = np.asarray(episode.get_observations())
        space = self.config.observation_space
        assert space is not None
        return bool(
            seen.shape[1:] == space.shape and np.isfinite(seen).all() and np.isfinite(episode.get_rewards()).all()
        )
