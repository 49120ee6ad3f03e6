"""The split: no recording on two sides, the same shares for every label."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_train.recordings import DataError, Recording
from cloud_train.split import SIDES, counts, duplicates, split


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


@given(st.lists(st.integers(0, 9), min_size=12, max_size=40), st.integers(0, 3))
def test_copies_of_a_recording_stay_together(contents: list[int], seed: int):
    given_ones = [Recording(f"r{i}", f"{i}.mp4", "a", sha256=f"{c:064d}") for i, c in enumerate(contents)]
    if len(set(contents)) < 3:
        with pytest.raises(DataError, match=r"class 'a' has [12] recordings that differ; a split needs at least 3"):
            split(given_ones, seed=seed)
        return
    sides: dict[str, set[str]] = {}
    for r in split(given_ones, seed=seed):
        sides.setdefault(r.sha256, set()).add(r.side)
    assert all(len(found) == 1 for found in sides.values())
    assert {side for found in sides.values() for side in found} == set(SIDES)


def test_unknown_is_no_class_and_may_have_one_recording():
    made = split([*recordings({"a": 10}), Recording("u", "u.mp4", "unknown")])
    assert [r.side for r in made if r.id == "u"] == ["validation"]


def test_fractions_are_given_and_checked():
    sides = Counter(r.side for r in split(recordings({"a": 10}), fractions=(0.6, 0.2, 0.2)))
    assert sides == {"train": 6, "validation": 2, "test": 2}
    with pytest.raises(DataError, match=r"fractions 0.9 0.2 0: give three positive numbers whose sum is 1"):
        split(recordings({"a": 10}), fractions=(0.9, 0.2, 0.0))


def test_copies_under_two_names_are_found_and_counts_are_laid_out():
    made = [
        Recording("a", "a", "x", "train", 3, "1"),
        Recording("b", "b", "x", "test", 2, "1"),
        Recording("c", "c", "y"),
    ]
    assert [[r.id for r in group] for group in duplicates(made)] == [["a", "b"]]
    assert counts(made)[1] == ("x", "1 (3 s)", "0 (0 s)", "1 (2 s)")
    assert counts(made)[-1][0] == "all"
