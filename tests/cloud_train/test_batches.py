"""What a step of a training is fed: the same at any time, each second once, rare classes and unknown ones weighed."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_train.args import Args
from cloud_train.batches import Batches, class_weights, targets
from cloud_train.looks import Looks

ARGS = Args(batch=3, augmentation="off")


def looks(labels: list[int], each: int = 5) -> Looks:
    """One recording with `each` looks a second; a look's pixels are its number."""
    n = len(labels) * each
    x = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1) * np.ones((1, 8, 8, 3), np.uint8)
    return Looks(x, np.repeat(labels, each), np.zeros(n, np.int64), np.repeat(np.arange(len(labels)), each), ("r",))


def test_an_epoch_holds_one_look_of_every_second_and_the_next_one_others():
    batches = Batches(looks([0, 1, 0, 1]), "rgb", 2, ARGS)
    assert (len(batches), batches.seconds) == (2, 4)
    epochs = []
    for epoch in range(10):
        x, target, _ = (np.concatenate(parts) for parts in zip(*(batches(epoch, i) for i in range(2)), strict=True))
        shown = x[:, 0, 0, 0].astype(int)
        assert sorted(shown // 5) == [0, 1, 2, 3]
        assert np.array_equal(target.argmax(axis=1), (shown // 5) % 2)
        epochs.append(tuple(shown))
    assert len(set(epochs)) > 5


def test_a_batch_is_the_same_at_any_time_and_its_parts_make_it_up():
    args = Args(batch=4, augmentation="on")
    first, again = (Batches(looks([0, 1, 0, 1, 1]), "rgb", 2, args)(3, 1) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    plain = Batches(looks([0, 1, 0, 1, 1]), "rgb", 2, Args(batch=4, augmentation="off"))
    whole, parts = plain(0, 0), [plain(0, 0, part, 2) for part in range(2)]
    assert sorted(whole[0][:, 0, 0, 0]) == sorted(np.concatenate([x for x, _, _ in parts])[:, 0, 0, 0])
    assert sum(weight.sum() for _, _, weight in parts) == pytest.approx(whole[2].sum())


def test_rare_classes_count_more_and_all_together_as_much_as_before():
    y = np.array([0] * 6 + [1] * 2)
    weights = class_weights(y, 2, Args())
    assert weights[1] == pytest.approx(3 * weights[0])
    assert weights[y].mean() == pytest.approx(1)
    assert class_weights(y, 2, Args(class_weights="none")).tolist() == [1, 1, 1]


def test_unknown_is_every_class_alike():
    target = targets(np.array([1, -1]), 4, 0.2)
    assert target == pytest.approx(np.array([[0.05, 0.85, 0.05, 0.05], [0.25] * 4]))
