"""The networks of a policy: what it does in an observation, and what it expects to earn from there."""

from __future__ import annotations

import math

import keras
from keras import layers

from .interface import Interface

HIDDEN = 64


def policy_network(interface: Interface, seed: int) -> keras.Model:
    """Make the network that scores the actions, or gives the two numbers of -1 to 1: `[n, ...]` to `[n, actions]`.

    Its last layer begins small, so that all actions begin alike (Andrychowicz et al. 2021, choice C74).
    """
    return _network(interface, len(interface.actions) or 2, 0.01, seed)


def value_network(interface: Interface, seed: int) -> keras.Model:
    """Make the network that estimates the discounted return: `[n, ...]` to `[n, 1]`."""
    return _network(interface, 1, 1.0, seed + 1000)


def _network(interface: Interface, outputs: int, last_gain: float, seed: int) -> keras.Model:
    def orthogonal(gain: float, k: int) -> keras.Initializer:
        return keras.initializers.Orthogonal(gain, seed=seed + k)

    observed = keras.Input(interface.observation_shape)
    x = observed
    if interface.picture is not None:
        # The reference's three convolutions with half its channels and twice its last stride: 4 instead of 25 million
        # multiplications, so that a small computer decides in time.
        x = layers.Rescaling(1 / 255)(x)
        for k, (filters, size, stride) in enumerate(((16, 8, 4), (32, 4, 2), (32, 3, 2))):
            kernel = orthogonal(math.sqrt(2), k)
            x = layers.Conv2D(filters, size, stride, "same", activation="relu", kernel_initializer=kernel)(x)
        x = layers.Flatten()(x)
        x = layers.Dense(HIDDEN, "relu", kernel_initializer=orthogonal(math.sqrt(2), 3))(x)
    else:
        for k in range(2):
            x = layers.Dense(HIDDEN, "tanh", kernel_initializer=orthogonal(math.sqrt(2), k))(x)
    return keras.Model(observed, layers.Dense(outputs, kernel_initializer=orthogonal(last_gain, 4))(x))
