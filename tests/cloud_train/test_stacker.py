"""The learned fusion: it finds what the product of the modalities cannot, and stays with it where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost

from cloud_train.fusion import Votes, folds
from cloud_train.rules import accuracy, compare_rules, fit_rule
from cloud_train.stacker import COPIES, NO_TREES, best_rounds, stack, to_trees, training_rows
from edge.boosted import expert_margins, softmax, stacked
from edge.clip import MODALITIES, Modality, Vote
from edge.fusion import read_fusion, write_fusion

LABELS = ("badminton", "golf", "tennis")


def says(modality: Modality, label: int, score: float) -> Vote:
    p = [score if i == label else (1 - score) / 2 for i in range(3)]
    return Vote(modality, LABELS[label], score, tuple(p), 1)


def crossed(recordings: int = 45, seconds: int = 4, seed: int = 0) -> Votes:
    """Sure of themselves, pictures take badminton for tennis and tennis for badminton where sound says golf."""
    rng = np.random.default_rng(seed)
    votes: Votes = {}
    for r in range(recordings):
        truth = r % 3
        for second in range(seconds):
            golf = rng.random() < 0.5
            said = {0: 2, 2: 0}.get(truth, truth) if golf else truth
            cast = [says("rgb", said, rng.uniform(0.6, 0.95)), says("audio", 1 if golf else truth, 0.5)]
            votes[f"r{r:02d}", second] = truth, cast
    return votes


def honest(recordings: int = 30) -> Votes:
    """Each modality is right as often as it says, on its own: their product is all that there is to know."""
    rng = np.random.default_rng(1)
    votes: Votes = {}
    for r in range(recordings):
        truth = r % 3
        cast = [says(name, truth if rng.random() < 0.8 else int(rng.integers(3)), 0.86) for name in MODALITIES]
        votes[f"r{r:02d}", 0] = truth, cast
    return votes


def test_trees_learn_what_no_other_rule_can_say():
    votes, others = crossed(), crossed(seed=9)
    rounds = best_rounds(votes, LABELS)
    assert rounds > 5
    trees = stack(votes, LABELS, rounds)
    rest = [accuracy(others, fit_rule(rule, votes, LABELS, 0), LABELS) for rule in ("class_model_table", "majority")]
    assert accuracy(others, trees, LABELS) >= max(rest) + 0.2
    assert accuracy(others, trees, LABELS) >= 0.95
    compared = compare_rules(votes, LABELS, rounds)
    assert set(compared) == {"class_model_table", "majority", "boosted_trees"}
    assert compared["boosted_trees"] >= max(compared["class_model_table"], compared["majority"]) + 0.2


def test_where_the_product_says_all_few_trees_are_added():
    votes = honest()
    assert best_rounds(votes, LABELS) <= 10
    product = stack(votes, LABELS, 0)
    assert product.trees is NO_TREES
    read = read_fusion(write_fusion(product), "fusion.npz")
    x = stacked(votes["r00", 0][1], 3)[None]
    assert read(votes["r00", 0][1]).probabilities == pytest.approx(softmax(expert_margins(x, 3))[0])


def test_it_decides_by_whatever_is_there():
    trees = stack(crossed(), LABELS, 20)
    for label in range(3):
        assert trees([says("rgb", label, 0.9)]).label == LABELS[label]
        assert trees([says("flow", label, 0.9)]).label == LABELS[label], "never seen in training"
    assert set(trees.ranking) == {"rgb", "audio"}


def test_learning_twice_gives_the_same_bytes():
    assert write_fusion(stack(crossed(), LABELS, 10)) == write_fusion(stack(crossed(), LABELS, 10))


def test_each_second_is_learnt_whole_and_with_modalities_left_out():
    votes = honest()
    x, y = training_rows(votes, 3)
    count = len(votes)
    assert x.shape == (count * (1 + COPIES), 9)
    assert np.array_equal(y, np.tile([truth for truth, _ in votes.values()], 1 + COPIES))
    present = ~np.isnan(x.reshape(len(x), 3, 3)).any(axis=2)
    assert present[:count].all()
    assert present.any(axis=1).all(), "one modality stays at least"
    assert 0.4 < present[count:].mean() < 0.9
    copies = x[count : 2 * count]
    assert np.array_equal(copies[~np.isnan(copies)], x[:count][~np.isnan(copies)])
    alone = {key: (truth, cast[:1]) for key, (truth, cast) in votes.items()}
    assert np.array_equal(
        training_rows(alone, 3)[0][:count], training_rows(alone, 3)[0][count : 2 * count], equal_nan=True
    )


def test_a_recording_is_never_on_both_sides_of_a_fold():
    votes = crossed(recordings=11)
    parts = list(folds(votes))
    assert len(parts) == 5
    assert sorted(key for _, own in parts for key in own) == sorted(votes)
    for seen, own in parts:
        assert not {recording for recording, _ in seen} & {recording for recording, _ in own}
        assert len(seen) + len(own) == len(votes)
    one = {key: pair for key, pair in votes.items() if key[0] == "r00"}
    assert list(folds(one)) == []
    assert compare_rules(one, LABELS, 0) == {}
    assert best_rounds(one, LABELS) == 0


def test_children_come_after_their_node_in_every_exported_tree():
    x, y = training_rows(crossed(), 3)
    options = {"objective": "multi:softprob", "num_class": 3, "max_depth": 6, "gamma": 0.3, "nthread": 1}
    booster = xgboost.train(options, xgboost.DMatrix(x, label=y, base_margin=expert_margins(x, 3)), 8)
    trees = to_trees(booster)
    trees.check(3)
    assert len(trees.root) == 24
    assert trees.tree_class.tolist() == [0, 1, 2] * 8
