"""The class-model table: a label goes to the modality that is best at it, if that makes the decisions better."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_train.fusion import (
    LEAST_KEPT,
    Votes,
    estimate_table,
    f1_scores,
    join_unknown,
    join_votes,
    right_scores,
    true_probability,
    unknown_threshold,
)
from cloud_train.looks import Looks
from edge.clip import Modality
from edge.fusion import ClassModelTable, Majority

LABELS = ("badminton", "golf", "tennis")


def right(votes: Votes, table: ClassModelTable) -> int:
    """How many seconds are fused to their true label."""
    return sum(table(cast).label == LABELS[truth] for truth, cast in votes.values())


def looks(answers: list[tuple[int, int]], per_second: int = 1) -> Looks:
    """One look (or more) per second: (truth, what the model says), each second its own recording."""
    x = np.full((len(answers) * per_second, 3), 0.1, np.float32)
    for i, (_, said) in enumerate(answers):
        x[i * per_second : (i + 1) * per_second, said] = 0.8
    seconds = np.repeat(np.arange(len(answers)), per_second)
    truth = np.repeat([t for t, _ in answers], per_second)
    return Looks(x, truth, seconds, np.zeros_like(seconds), tuple(f"r{i}" for i in range(len(answers))))


def the_posts_world() -> dict[Modality, Looks]:
    """Pictures take badminton for tennis half the time; sound knows it, but hears golf and tennis badly."""
    truth = [0] * 10 + [1] * 10 + [2] * 10
    rgb = [2 if i % 2 else 0 for i in range(10)] + [1] * 10 + [2] * 10
    audio = [0] * 10 + [2] * 6 + [1] * 4 + [1] * 5 + [2] * 5
    return {
        "rgb": looks(list(zip(truth, rgb, strict=True)), per_second=3),
        "audio": looks(list(zip(truth, audio, strict=True))),
    }


def test_badminton_goes_to_sound_as_in_the_post():
    votes = join_votes(the_posts_world(), LABELS)
    table = estimate_table(votes, LABELS)
    assert table.ranking == ("rgb", "audio")
    assert table.table["badminton"].modality == "audio"
    assert table.table["golf"].modality == "rgb"
    alone = [right(join_votes({name: x}, LABELS), table) for name, x in the_posts_world().items()]
    assert right(votes, table) > max(alone)


def test_a_row_that_would_make_the_truth_less_probable_is_not_taken():
    """Sound is best at badminton, but calls five seconds of tennis badminton: its row would answer for these, too."""
    truth = [0] * 4 + [1] * 20 + [2] * 20
    rgb = [0, 1, 1, 1] + [1] * 20 + [2] * 20
    audio = [0] * 4 + [2] * 20 + [0] * 5 + [1] * 15
    predictions = {
        "rgb": looks(list(zip(truth, rgb, strict=True))),
        "audio": looks(list(zip(truth, audio, strict=True))),
    }
    votes = join_votes(predictions, LABELS)
    table = estimate_table(votes, LABELS)
    scores = table.table["badminton"].scores
    assert scores["audio"] > scores["rgb"] + 0.1
    assert {row.modality for row in table.table.values()} == {"rgb"}
    assert true_probability(votes, table) == true_probability(join_votes({"rgb": predictions["rgb"]}, LABELS), table)


def test_f1_equals_its_definition():
    truth, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    assert f1_scores(truth, predicted, 4) == pytest.approx([2 / 3, 0.8, 0.0, 0.0])


def test_the_threshold_keeps_99_of_100_right_decisions():
    rng = np.random.default_rng(0)
    answers = looks([(i % 3, i % 3) for i in range(300)])
    answers.x[np.arange(300), answers.y] = rng.uniform(0.4, 0.9, 300)
    votes = join_votes({"rgb": answers}, LABELS)
    threshold = unknown_threshold(votes, estimate_table(votes, LABELS), LABELS)
    scores = [cast[0].score for _, cast in votes.values()]
    assert sum(score >= threshold for score in scores) in (297, 298)


def scored(scores: list[float], truth: int) -> Looks:
    """One look per second, each sure of golf by its score."""
    x = np.array([[(1 - score) / 2, score, (1 - score) / 2] for score in scores], np.float32)
    index = np.arange(len(scores))
    ids = tuple(f"{truth}-{i}" for i in index)
    return Looks(x, np.full(len(scores), truth), index, np.zeros_like(index), ids)


def test_unknown_seconds_are_no_class_and_join_on_their_own():
    both = looks([(0, 0), (-1, 2), (1, 1), (-1, 0)], per_second=2)
    assert sorted(key[0] for key in join_votes({"rgb": both}, LABELS)) == ["r0", "r2"]
    unknown = join_unknown({"rgb": both}, LABELS)
    assert {key[0]: truth for key, (truth, _) in unknown.items()} == {"r1": -1, "r3": -1}
    assert [cast[0].label for _, cast in unknown.values()] == ["tennis", "badminton"]


def test_the_threshold_lies_between_right_and_unknown_seconds_where_they_are_apart():
    votes = join_votes({"rgb": scored([0.8, 0.9, 0.95], 1)}, LABELS)
    unknown = join_unknown({"rgb": scored([0.4, 0.5, 0.6], -1)}, LABELS)
    assert unknown_threshold(votes, Majority(), LABELS, unknown) == pytest.approx(0.7)


def test_the_threshold_is_the_best_that_keeps_95_of_100_right_decisions():
    rng = np.random.default_rng(0)
    right, others = rng.uniform(0.5, 1.0, 400), rng.uniform(0.4, 0.9, 100)
    votes = join_votes({"rgb": scored(list(right), 1)}, LABELS)
    unknown = join_unknown({"rgb": scored(list(others), -1)}, LABELS)
    found = unknown_threshold(votes, Majority(), LABELS, unknown)

    def worth(threshold: float) -> float:
        kept = (right >= threshold).mean()
        return kept + (others < threshold).mean() if kept >= LEAST_KEPT else 0.0

    assert worth(found) == pytest.approx(max(worth(t) for t in np.linspace(0, 1, 5001)), abs=1e-3)
    assert (right_scores(votes, Majority(), LABELS) >= found).mean() >= LEAST_KEPT


def test_where_nothing_is_right_nothing_is_refused():
    wrong = join_votes({"rgb": scored([0.8, 0.9], 0)}, LABELS)
    assert unknown_threshold(wrong, Majority(), LABELS, join_unknown({"rgb": scored([0.4], -1)}, LABELS)) == 0.0
