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


def shares() -> st.SearchStrategy[tuple[float, ...]]:
    parts = st.tuples(*[st.integers(1, 20)] * 3)
    return parts.map(lambda three: tuple(part / sum(three) for part in three))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(3, 60), min_size=1), st.integers(0, 5),
    st.one_of(st.just((0.8, 0.1, 0.1)), shares()),
)  # fmt: skip
def test_every_recording_is_on_one_side_and_every_label_on_all_in_its_share(
    counts: dict[str, int], seed: int, fractions: tuple[float, ...]
):
    made = split(recordings(counts), seed=seed, fractions=fractions)
    assert Counter(r.id for r in made) == Counter(r.id for r in recordings(counts))
    ids = {side: {r.id for r in made if r.side == side} for side in SIDES}
    assert sum(map(len, ids.values())) == len(made)
    for label, count in counts.items():
        sides = Counter(r.side for r in made if r.label == label)
        assert min(sides[side] for side in SIDES) >= 1
        ideal = {side: fraction * count for side, fraction in zip(SIDES, fractions, strict=True)}
        for side in SIDES:
            assert sides[side] <= max(1, ideal[side] + 1)
            lifted = [other for other in SIDES if ideal[other] < 1 and other != side]
            assert sides[side] >= ideal[side] - 1 - len(lifted), "only the one that each side must have is taken away"


def test_small_classes_even_out_over_all():
    sides = Counter(r.side for r in split(recordings(dict.fromkeys("abcdefghij", 14))))
    assert sides == {"train": 110, "validation": 15, "test": 15}


def test_a_split_that_is_split_again_stays():
    first = split(recordings({"a": 13, "b": 7}), seed=3)
    assert split(first, seed=3) == first


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


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "unknown"]), st.integers(0, 30)), max_size=40))
def test_a_content_under_two_labels_stays_on_one_side_too(rows: list[tuple[str, int]]):
    own = [Recording(f"{label}{i}", "", label, sha256=f"own {label}{i}") for label in "ab" for i in range(3)]
    shared = [Recording(f"r{i}", "", label, sha256=str(content)) for i, (label, content) in enumerate(rows)]
    sides: dict[str, set[str]] = {}
    for r in split([*own, *shared]):
        sides.setdefault(r.sha256, set()).add(r.side)
    assert all(len(found) == 1 for found in sides.values())


def test_unknown_is_no_class_and_may_have_one_recording():
    made = split([*recordings({"a": 10}), Recording("u", "u.mp4", "unknown")])
    assert [r.side for r in made if r.id == "u"] == ["validation"]
    made = split([*recordings({"a": 10}), *recordings({"unknown": 2})])
    assert {r.side for r in made if r.label == "unknown"} == {"train", "validation"}


def test_fractions_are_given_and_checked():
    sides = Counter(r.side for r in split(recordings({"a": 10}), fractions=(0.6, 0.2, 0.2)))
    assert sides == {"train": 6, "validation": 2, "test": 2}
    with pytest.raises(DataError, match=r"fractions 0.9 0.2 0: give three positive numbers whose sum is 1"):
        split(recordings({"a": 10}), fractions=(0.9, 0.2, 0.0))
    with pytest.raises(DataError, match=r"fractions nan 0.5 0.5: give three"):
        split(recordings({"a": 10}), fractions=(float("nan"), 0.5, 0.5))


def test_copies_under_two_names_are_found_and_counts_are_laid_out():
    made = [
        Recording("a", "a", "x", "train", 3, "1"),
        Recording("b", "b", "x", "test", 2, "1"),
        Recording("c", "c", "y"),
    ]
    assert [[r.id for r in group] for group in duplicates(made)] == [["a", "b"]]
    assert counts(made)[1] == ("x", "1 (3 s)", "0 (0 s)", "1 (2 s)")
    assert counts(made)[-1][0] == "all"
