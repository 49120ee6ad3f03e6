"""Trees in numpy say what XGBoost says, to the last tie; files of trees that would mislead are refused by array."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cloud_train.stacker import to_trees
from edge.boosted import DTYPES, FLOOR, Trees, expert_margins, softmax, stacked
from edge.clip import MODALITIES, Vote
from edge.fusion import BoostedTrees, read_fusion, write_fusion
from edge.strict import StrictError

LABELS = ("badminton", "golf", "tennis", "rowing")
CLASSES = len(LABELS)
FEATURES = len(MODALITIES) * CLASSES


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Probabilities of three modalities, each missing now and then."""
    rng = np.random.default_rng(seed)
    each = rng.dirichlet(np.ones(CLASSES), (count, len(MODALITIES))).astype(np.float32)
    each[rng.random((count, len(MODALITIES))) < 0.2] = np.nan
    return each.reshape(count, FEATURES)


def learnt(depth: int) -> xgboost.Booster:
    """A booster that learnt something other than noise, from rows with holes."""
    x = rows(300)
    y = np.nan_to_num(x[:, :CLASSES] - x[:, CLASSES : 2 * CLASSES]).argmax(axis=1)
    data = xgboost.DMatrix(x, label=y, base_margin=expert_margins(x, CLASSES))
    options = {"objective": "multi:softprob", "num_class": CLASSES, "max_depth": depth, "nthread": 1}
    return xgboost.train(options, data, 12)


BOOSTERS = [learnt(depth) for depth in (1, 2, 5)]
THRESHOLDS = np.unique(np.concatenate([to_trees(booster).threshold for booster in BOOSTERS]))
TIES = np.unique([THRESHOLDS, np.nextafter(THRESHOLDS, np.float32(2)), np.nextafter(THRESHOLDS, np.float32(-1))])


def assert_equal(booster: xgboost.Booster, x: np.ndarray) -> None:
    start = expert_margins(x, CLASSES)
    expected = booster.predict(xgboost.DMatrix(x, base_margin=start))
    assert softmax(to_trees(booster).margins(x, start)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("booster", BOOSTERS, ids=["depth 1", "depth 2", "depth 5"])
def test_probabilities_are_xgboosts(booster: xgboost.Booster):
    assert_equal(booster, rows(1000, seed=1))
    assert_equal(booster, np.full((1, FEATURES), np.nan, np.float32))


@given(
    x=arrays(
        np.float32,
        (4, FEATURES),
        elements=st.one_of(
            st.sampled_from(list(map(float, TIES))), st.just(np.nan), st.floats(0, 1, width=32), st.just(0.0)
        ),
    ),
    which=st.integers(0, len(BOOSTERS) - 1),
)
@settings(max_examples=200, deadline=None)
def test_ties_on_a_threshold_and_missing_values_go_where_xgboost_sends_them(x: np.ndarray, which: int):
    assert_equal(BOOSTERS[which], x)


def test_trees_begin_with_the_product_of_the_modalities():
    votes = [
        Vote("audio", "golf", 0.6, (0.1, 0.6, 0.2, 0.1), 1),
        Vote("rgb", "tennis", 0.5, (0.0, 0.4, 0.5, 0.1), 5),
    ]
    x = stacked(votes, CLASSES)
    assert np.isnan(x[CLASSES : 2 * CLASSES]).all(), "flow did not vote"
    product = np.array([0.1 * FLOOR, 0.24, 0.1, 0.01])
    assert softmax(expert_margins(x[None], CLASSES))[0] == pytest.approx(product / product.sum(), abs=1e-6)


FUSION = BoostedTrees(to_trees(BOOSTERS[1]), LABELS, ("rgb", "audio", "flow"), "t-0007")


def test_a_decision_names_the_rule_and_sums_to_one():
    votes = [Vote("audio", "golf", 0.6, (0.1, 0.6, 0.2, 0.1), 1)]
    decision = FUSION(votes)
    assert (decision.winner, decision.row) == ("boosted_trees", None)
    assert decision.score == max(decision.probabilities)
    assert decision.label == LABELS[np.argmax(decision.probabilities)]
    assert sum(decision.probabilities) == pytest.approx(1)


def test_written_trees_are_read_back_equal_and_the_bytes_hold_no_date():
    written = write_fusion(FUSION)
    read = read_fusion(written, "fusion.npz")
    assert isinstance(read, BoostedTrees)
    assert (read.labels, read.ranking, read.version) == (LABELS, ("rgb", "audio", "flow"), "t-0007")
    assert all(np.array_equal(getattr(read.trees, name), getattr(FUSION.trees, name)) for name in DTYPES)
    assert write_fusion(read) == written
    assert {part.date_time[0] for part in ZipFile(io.BytesIO(written)).infolist()} == {1980}


def no_zip(_: dict[str, Any]) -> bytes:
    return b"PK\x03\x04 not really"


def changed(name: str, value: object) -> Callable[[dict[str, Any]], bytes]:
    def write(parts: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **{**parts, name: value(parts[name]) if callable(value) else value})
        return buffer.getvalue()

    return write


def entry(i: int, value: object) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[i] = value
        return array

    return change


def without_threshold(parts: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in parts.items() if name != "threshold"})
    return buffer.getvalue()


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "no zip": (no_zip, "not readable as arrays"),
    "pickles": (changed("value", lambda a: a.astype(object)), "not readable as arrays"),
    "missing": (without_threshold, "array `threshold`: is missing"),
    "type": (changed("threshold", lambda a: a.astype(np.float64)), "array `threshold`: is float64"),
    "length": (changed("left", lambda a: a[:-1]), r"array `left`: is int32 \[\d+\], expected int32 \[\d+\]"),
    "scalar": (changed("root", np.int32(0)), "array `root`: is int32 \\[\\], expected int32 \\[1\\]"),
    "not finite": (changed("value", entry(1, np.inf)), "array `value`: holds a value that is not finite"),
    "loop": (changed("left", entry(0, 0)), "array `left`: node 0 leads to 0; a leaf leads to itself"),
    "back": (changed("right", entry(1, 0)), "array `right`: node 1 leads to 0"),
    "outside": (changed("right", entry(0, 10_000)), "array `right`: entry 0 is 10000; it must be from 0 to"),
    "feature": (
        changed("feature", entry(0, FEATURES)),
        f"array `feature`: entry 0 is 12; .* from -1 to {FEATURES - 1}",
    ),
    "class": (changed("tree_class", entry(2, 4)), "array `tree_class`: entry 2 is 4; it must be from 0 to 3"),
    "root": (changed("root", entry(3, -1)), "array `root`: entry 3 is -1"),
    "labels": (changed("labels", np.arange(4)), "array `labels`: is int64"),
    "ranking": (changed("ranking", np.array(["smell"])), "array `ranking`: is smell; the modalities are rgb, flow"),
    "rule": (changed("rule", np.array("coin")), "array `rule`: is 'coin', expected 'boosted_trees'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_trees_are_refused_by_array(name: str):
    spoil, sentence = BROKEN[name]
    parts = dict(np.load(io.BytesIO(write_fusion(FUSION))))
    with pytest.raises(StrictError, match=sentence):
        read_fusion(spoil(parts), "fusion.npz")


@given(
    name=st.sampled_from([name for name in DTYPES if name not in ("threshold", "value", "default_left")]),
    place=st.integers(0, 10_000),
    value=st.integers(-5, 300),
)
@settings(max_examples=200, deadline=None)
def test_whatever_index_is_changed_trees_are_refused_or_evaluated_to_an_end(name: str, place: int, value: int):
    parts = {each: getattr(FUSION.trees, each).copy() for each in DTYPES}
    parts[name][place % len(parts[name])] = value
    trees = Trees(**parts)
    try:
        trees.check(CLASSES)
    except StrictError as error:
        refused = str(error)
    else:
        x = rows(5)
        assert np.isfinite(trees.margins(x, expert_margins(x, CLASSES))).all()
        return
    assert refused.startswith("array `")
