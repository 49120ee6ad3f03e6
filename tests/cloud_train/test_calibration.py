"""Temperatures: found again where they are known, and nothing but the scores changes by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_train.calibration import HIGHEST, LOWEST, calibrated, fit_temperatures, temperature
from cloud_train.fusion import Votes
from edge.clip import Modality
from edge.fusion import tempered, vote

LABELS = ("badminton", "golf", "tennis", "rowing")


def world(seconds: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that mean what they say, and labels drawn by them."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(len(LABELS), 0.5), seconds)
    truth = (p.cumsum(axis=1) > rng.random((seconds, 1))).argmax(axis=1)
    return p, truth


@pytest.mark.parametrize("known", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(known: float):
    p, truth = world()
    distorted = tempered(p, 1 / known)
    assert temperature(distorted, truth) == pytest.approx(known, rel=0.06)


def test_it_is_the_best_of_all():
    p, truth = world(60)
    found = temperature(p, truth)

    def loss(t: float) -> float:
        return -np.log(tempered(p, t)[np.arange(len(truth)), truth]).mean()

    assert loss(found) <= min(loss(t) for t in np.linspace(LOWEST, HIGHEST, 500)) + 1e-6


def test_a_few_right_seconds_do_not_make_it_zero_nor_an_int8_zero_infinite():
    p = np.array([[0.7, 0.1, 0.1, 0.1]])
    assert temperature(p, np.array([0])) == pytest.approx(LOWEST, abs=1e-3)
    assert temperature(p, np.array([1])) == pytest.approx(HIGHEST, abs=1e-3)
    sure = np.array([[1.0, 0.0, 0.0, 0.0]] * 10)
    assert LOWEST <= temperature(sure, np.array([0] * 9 + [1])) <= HIGHEST


@given(
    looks=st.lists(st.lists(st.integers(0, 255), min_size=4, max_size=4).filter(any), min_size=1, max_size=5),
    hot=st.floats(0.2, 5.0),
)
def test_the_majority_of_the_looks_does_not_depend_on_the_temperature(looks: list[list[int]], hot: float):
    p = np.array(looks, np.float32) / np.sum(looks, axis=1, keepdims=True).astype(np.float32)
    plain, warm = vote("rgb", p, LABELS), vote("rgb", p, LABELS, hot)
    assert warm.label == plain.label
    assert sum(warm.probabilities) == pytest.approx(1)
    assert np.all(np.diff(np.array(warm.probabilities)[np.argsort(plain.probabilities)]) >= 0), "the order is kept"
    assert warm.score == warm.probabilities[LABELS.index(warm.label)]
    assert vote("rgb", p, LABELS, 1.0) == plain


def test_each_modality_has_its_own_and_calibrating_is_what_the_device_does():
    p, truth = world(500)
    looks: dict[Modality, np.ndarray] = {"rgb": tempered(p, 0.5), "audio": tempered(p, 2.0)}
    votes: Votes = {
        (f"r{i}", 0): (int(truth[i]), [vote(name, each[i : i + 1], LABELS) for name, each in looks.items()])
        for i in range(len(truth))
    }
    temperatures = fit_temperatures(votes)
    assert temperatures["rgb"] == pytest.approx(2.0, rel=0.2)
    assert temperatures["audio"] == pytest.approx(0.5, rel=0.2)
    for i, (_, cast) in enumerate(calibrated(votes, temperatures, LABELS).values()):
        for made in cast:
            on_device = vote(made.modality, looks[made.modality][i : i + 1], LABELS, temperatures[made.modality])
            assert made.label == on_device.label
            assert made.probabilities == pytest.approx(on_device.probabilities, abs=1e-12)
            assert made.score == pytest.approx(on_device.score, abs=1e-12)
