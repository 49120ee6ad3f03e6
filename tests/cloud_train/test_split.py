"""The split: no recording on two sides, the same shares for every label."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_train.recordings import DataError, Recording
from cloud_train.split import SIDES, split


def recordings(counts: dict[str, int]) -> list[Recording]:
    return [Recording(f"{label}-{i}", f"{label}/{i}.mp4", label) for label, n in counts.items() for i in range(n)]


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(3, 60), min_size=1), st.integers(0, 5))
def test_every_recording_is_on_one_side_and_every_label_on_all(counts: dict[str, int], seed: int):
    made = split(recordings(counts), seed=seed)
    assert Counter(r.id for r in made) == Counter(r.id for r in recordings(counts))
    ids = {side: {r.id for r in made if r.side == side} for side in SIDES}
    assert sum(map(len, ids.values())) == len(made)
    assert not ids["train"] & (ids["validation"] | ids["test"])
    assert not ids["validation"] & ids["test"]
    for label, count in counts.items():
        sides = Counter(r.side for r in made if r.label == label)
        assert sides["validation"] == sides["test"] == max(1, round(count / 10))


def test_80_10_10():
    sides = Counter(r.side for r in split(recordings({"a": 40, "b": 20})))
    assert sides == {"train": 48, "validation": 6, "test": 6}


def test_the_seed_decides_and_the_order_given_does_not():
    given_order = recordings({"a": 20, "b": 20})
    first = {r.id: r.side for r in split(given_order, seed=1)}
    assert {r.id: r.side for r in split(given_order[::-1], seed=1)} == first
    assert {r.id: r.side for r in split(given_order, seed=2)} != first


def test_too_few_recordings_of_a_class_are_named():
    with pytest.raises(DataError, match=r"class 'b' has 2 recordings; a split needs at least 3"):
        split(recordings({"a": 5, "b": 2}))
