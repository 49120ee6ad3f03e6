"""Augmentation varies looks within their range, repeatably, and keeps what they show."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_train.augment import augment, mild
from edge.clip import MODALITIES, Modality

SHAPES: dict[Modality, tuple[int, int, int]] = {"rgb": (64, 48, 3), "flow": (64, 48, 3), "audio": (128, 63, 1)}


def looks(modality: Modality, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(1)
    low, high = (-80, 0) if modality == "audio" else (0, 255)
    return rng.uniform(low, high, (count, *SHAPES[modality])).astype(np.float32)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_seed_repeats_an_augmentation_and_another_does_not(modality: Modality) -> None:
    first, again, other = (augment(looks(modality), modality, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32


@pytest.mark.parametrize("modality", MODALITIES)
def test_each_look_of_a_batch_is_varied_in_place_and_differently(modality: Modality) -> None:
    x = np.repeat(looks(modality, 1), 6, axis=0)
    assert augment(x, modality, np.random.default_rng(0)) is x
    assert len(np.unique(x.reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("modality", ["rgb", "flow"])
def test_pictures_stay_within_the_range_of_pixels(modality: Modality) -> None:
    x = augment(looks(modality, 40), modality, np.random.default_rng(0))
    assert x.min() >= 0
    assert x.max() <= 255


def test_sound_stays_between_its_floor_and_its_peak_but_for_the_gain() -> None:
    x = augment(looks("audio", 40), "audio", np.random.default_rng(0))
    assert x.min() >= -86
    assert x.max() <= 6


def test_what_moves_left_moves_right_in_the_mirror() -> None:
    x = np.zeros((200, 16, 16, 3), np.float32)
    x[:, :, :, 0] = np.where(np.arange(16) < 8, 128 - 50, 128)  # the left half moves left
    x[:, :, :, 1] = 128 + 30
    x[:, :, :, 2] = 80
    augment(x, "flow", np.random.default_rng(0))
    leftward = x[:, :, :, 0].min((1, 2)) < 128 - 30
    rightward = x[:, :, :, 0].max((1, 2)) > 128 + 30
    assert not (leftward & rightward).any()
    assert 0.4 < leftward.mean() < 0.6
    where = np.abs(x[:, :, :, 0] - 128).mean(1)  # [looks, columns]
    assert where[leftward, :8].mean() > where[leftward, 8:].mean()
    assert where[rightward, 8:].mean() > where[rightward, :8].mean()
    assert (x[:, :, :, 1] > 128 + 20).all()  # down stays down
    assert (x[:, :, :, 2] > 60).all()  # a magnitude has no direction


def test_still_flow_stays_still() -> None:
    x = np.broadcast_to(np.array([128, 128, 0], np.float32), (20, 32, 32, 3)).copy()
    assert np.array_equal(augment(x.copy(), "flow", np.random.default_rng(0)), x)


def test_coefficients_are_moved_in_time_and_no_more():
    look = np.random.default_rng(0).normal(size=(33, 63, 1)).astype(np.float32)
    varied = augment(np.stack([look] * 8), "audio", np.random.default_rng(1), cepstral=True)
    assert any(not np.array_equal(one, look) for one in varied)
    for one in varied:
        assert any(np.array_equal(np.roll(look, shift, axis=1), one) for shift in range(-8, 9))


@pytest.mark.parametrize("modality", ["rgb", "flow", "audio"])
def test_mild_variation_mirrors_flow_too_and_keeps_the_range(modality: str):
    x = np.full((32, 4, 4, 3), 128, np.float32)
    x[:, :, :2, 0] = 200
    varied = mild(x.copy(), modality, np.random.default_rng(0))
    assert np.array_equal(varied, mild(x.copy(), modality, np.random.default_rng(0)))
    assert not np.array_equal(varied, x)
    if modality == "flow":
        turned = varied[:, 0, 3, 0] != 128
        assert 5 < turned.sum() < 27
        assert (varied[turned, :, 2:, 0] == 56).all(), "what moved right moves left"
    if modality != "audio":
        assert varied.min() >= 0
        assert varied.max() <= 255
