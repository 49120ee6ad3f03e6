"""The class-model table: a label goes to the modality that is best at it, if that makes the decisions better."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_train.fusion import Votes, estimate_table, f1_scores, join_votes, true_probability, unknown_threshold
from cloud_train.looks import Looks
from edge.clip import Modality
from edge.fusion import ClassModelTable

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
