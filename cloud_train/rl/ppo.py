"""Proximal policy optimisation from top to bottom: act, estimate advantages, improve the policy within a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from .interface import Interface
from .networks import policy_network, value_network
from .settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRADIENT_NORM = 0.5
VALUE_WEIGHT = 0.5
FIRST_STD = 0.6
"""Standard deviation of the first actions where they are numbers of -1 to 1."""
LEAST_CLIP = 0.1
"""Share of the clip that is left in the end."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Steps to learn from, in any order: observations `[n, ...]`, actions, their log-probabilities, what came of them.

    `advantages` say how much better than expected it went, `returns` what the value network should have said.
    """

    observations: NDArray[np.float32]
    actions: NDArray[Any]
    log_probabilities: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]


def advantages(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    ended: NDArray[np.bool_],
    next_values: NDArray[np.float32],
    settings: Settings,
) -> NDArray[np.float32]:
    """Estimate advantages `[steps, n]` by generalised advantage estimation (Schulman et al. 2016, equation 16).

    Where an episode `ended` nothing of later steps counts; `next_values[t]` is the value of what step t led to, 0 where
    that is an end, and not where the episode was only cut off.
    """
    found = np.zeros_like(rewards)
    carried = np.zeros(rewards.shape[1], np.float32)
    for t in reversed(range(len(rewards))):
        surprise = rewards[t] + settings.discount * next_values[t] - values[t]
        carried = surprise + settings.discount * settings.trace * carried * ~ended[t]
        found[t] = carried
    return found


class Learner:
    """A policy and a value network that learn; `act` chooses, `update` improves."""

    def __init__(self, interface: Interface, settings: Settings) -> None:
        self.settings, self._discrete = settings, bool(interface.actions)
        self.policy = policy_network(interface, settings.seed)
        self.value = value_network(interface, settings.seed)
        self._log_std = keras.Variable(np.full(2, math.log(FIRST_STD), np.float32), name="log_std")
        self._optimizer = keras.optimizers.Adam(settings.learning_rate, epsilon=1e-5, global_clipnorm=GRADIENT_NORM)
        self._learnt = [*self.policy.trainable_variables, *self.value.trainable_variables]
        self._learnt += [] if self._discrete else [self._log_std]
        self._optimizer.build(self._learnt)
        self._dice = tf.random.Generator.from_seed(settings.seed)
        self._order = np.random.default_rng(settings.seed)

    @property
    def variables(self) -> list[Any]:
        """All that makes up its state, for a checkpoint."""
        return [*self.policy.variables, *self.value.variables, self._log_std, *self._optimizer.variables]

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Draw an action for each observation; with their log-probabilities and the values of the observations."""
        actions, log_probabilities, values = self._act(tf.convert_to_tensor(observations))
        return actions.numpy(), log_probabilities.numpy(), values.numpy()

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Estimate the discounted return from each observation."""
        found: NDArray[np.float32] = self._values(tf.convert_to_tensor(observations)).numpy()
        return found

    def update(self, batch: Batch, clip: float) -> dict[str, float]:
        """Go over a batch `settings.epochs` times in random minibatches; the last epoch's means of what was measured.

        A last minibatch that is not full waits for the next order: gradient steps are all of one size.
        """
        parts = (batch.observations, batch.actions, batch.log_probabilities, batch.advantages, batch.returns)
        size = min(self.settings.minibatch, len(batch.actions))
        for _ in range(self.settings.epochs):
            order = self._order.permutation(len(batch.actions))
            measured = [
                self._improve(
                    tuple(tf.convert_to_tensor(part[order[k : k + size]]) for part in parts), tf.constant(clip)
                )
                for k in range(0, len(order) - size + 1, size)
            ]
        names = ("policy loss", "value loss", "entropy", "divergence")
        return dict(zip(names, np.mean(measured, 0).tolist(), strict=True))

    @tf.function(reduce_retracing=True)
    def _act(self, observations: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - TensorFlow has no types
        outputs = self.policy(observations)
        if self._discrete:
            # The largest of scores with Gumbel noise is a draw from their softmax.
            noise = -tf.math.log(-tf.math.log(self._dice.uniform(tf.shape(outputs), 1e-7, 1.0)))
            actions = tf.argmax(outputs + noise, axis=-1, output_type=tf.int32)
        else:
            actions = outputs + tf.exp(self._log_std.value) * self._dice.normal(tf.shape(outputs))
        return actions, self._log_probability(outputs, actions), self.value(observations)[:, 0]

    @tf.function(reduce_retracing=True)
    def _values(self, observations: Any) -> Any:  # noqa: ANN401
        return self.value(observations)[:, 0]

    def _log_probability(self, outputs: Any, actions: Any) -> Any:  # noqa: ANN401
        if self._discrete:
            return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=actions, logits=outputs)
        log_std = self._log_std.value
        off = (actions - outputs) / tf.exp(log_std)
        return -tf.reduce_sum(0.5 * off**2 + log_std + 0.5 * math.log(2 * math.pi), -1)

    def _entropy(self, outputs: Any) -> Any:  # noqa: ANN401
        if self._discrete:
            logs = tf.nn.log_softmax(outputs)
            return -tf.reduce_mean(tf.reduce_sum(tf.exp(logs) * logs, -1))
        return tf.reduce_sum(self._log_std.value + 0.5 * math.log(2 * math.pi * math.e))

    @tf.function(reduce_retracing=True)
    def _improve(self, part: tuple[Any, ...], clip: Any) -> Any:  # noqa: ANN401
        """Take one gradient step on the clipped surrogate, the value's square error and the entropy."""
        observations, actions, before, advantage, returns = part
        advantage = (advantage - tf.reduce_mean(advantage)) / (tf.math.reduce_std(advantage) + 1e-8)
        with tf.GradientTape() as tape:
            outputs = self.policy(observations, training=True)
            log_ratio = self._log_probability(outputs, actions) - before
            ratio = tf.exp(log_ratio)
            bounded = tf.clip_by_value(ratio, 1 - clip, 1 + clip)
            policy_loss = -tf.reduce_mean(tf.minimum(ratio * advantage, bounded * advantage))
            value_loss = tf.reduce_mean((self.value(observations, training=True)[:, 0] - returns) ** 2)
            entropy = self._entropy(outputs)
            loss = policy_loss + VALUE_WEIGHT * value_loss - self.settings.entropy * entropy
        self._optimizer.apply(tape.gradient(loss, self._learnt), self._learnt)
        # How far the policy moved: an estimate of the Kullback-Leibler divergence that is never negative (Schulman).
        return tf.stack([policy_loss, value_loss, entropy, tf.reduce_mean(ratio - 1 - log_ratio)])


def clip_now(settings: Settings, steps: int) -> float:
    """Give the clip after so many steps: it shrinks linearly, as the reference's does."""
    if not settings.clip_decay_steps:
        return settings.clip
    return settings.clip * max(LEAST_CLIP, 1 - steps / settings.clip_decay_steps)
