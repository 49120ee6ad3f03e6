"""Fusion: the post's rule to the letter, its generalisation, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from edge.clip import Modality, Vote
from edge.fusion import ClassModelTable, Majority, Row, read_fusion, vote, write_fusion
from edge.strict import StrictError

LABELS = ("badminton", "tennis", "golf")


def cast(modality: Modality, label: str, score: float = 0.7) -> Vote:
    rest = (1 - score) / 2
    return Vote(modality, label, score, tuple(score if name == label else rest for name in LABELS), 1)


def posts_table() -> ClassModelTable:
    """The post's own: rgb for all classes except badminton, where the audio model gave the best performance."""
    rows = {label: Row("rgb", {"rgb": 0.9, "audio": 0.5}) for label in LABELS}
    return ClassModelTable({**rows, "badminton": Row("audio", {"rgb": 0.5, "audio": 0.8})}, ("rgb", "audio", "flow"))


@pytest.mark.parametrize(
    ("rgb", "audio", "winner"),
    [
        ("badminton", "badminton", "audio"),
        ("badminton", "tennis", "audio"),
        ("tennis", "badminton", "audio"),
        ("tennis", "golf", "rgb"),
        ("golf", "golf", "rgb"),
    ],
)
def test_the_posts_rule(rgb: str, audio: str, winner: str):
    votes = [cast("rgb", rgb), cast("audio", audio)]
    decision = posts_table()(votes)
    assert decision.winner == winner
    assert decision.label == (audio if winner == "audio" else rgb)
    assert decision.row == ("badminton" if winner == "audio" else None)


def test_the_largest_margin_decides_between_rows():
    table = ClassModelTable(
        {
            "badminton": Row("audio", {"rgb": 0.5, "audio": 0.7}),
            "golf": Row("flow", {"rgb": 0.2, "flow": 0.9}),
            "tennis": Row("rgb", {"rgb": 0.9}),
        },
        ("rgb", "audio", "flow"),
    )
    decision = table([cast("rgb", "badminton"), cast("flow", "golf"), cast("audio", "tennis")])
    assert (decision.winner, decision.row, decision.label) == ("flow", "golf", "golf")


def test_a_third_modality_calls_no_row():
    """What flow takes for badminton says nothing about whether to trust the sound."""
    decision = posts_table()([cast("rgb", "golf"), cast("flow", "badminton"), cast("audio", "tennis")])
    assert (decision.winner, decision.row, decision.label) == ("rgb", None, "golf")


def test_a_second_of_zeros_stays_a_vote_at_any_temperature():
    """With hundreds of classes an int8 model may give each of them 0."""
    assert vote("rgb", np.zeros((2, 3), np.float32), LABELS, 0.5).probabilities == (0.0, 0.0, 0.0)


def test_a_missing_modality_is_passed_over():
    assert posts_table()([cast("rgb", "badminton")]).winner == "rgb"
    assert posts_table()([cast("audio", "golf"), cast("flow", "tennis")]).winner == "audio"


def test_majority_counts_votes_then_scores():
    decision = Majority()([cast("rgb", "golf", 0.4), cast("flow", "golf", 0.4), cast("audio", "tennis", 0.99)])
    assert decision.label == "golf"
    assert decision.score == pytest.approx(0.4)
    tie = Majority()([cast("rgb", "golf", 0.6), cast("audio", "tennis", 0.7)])
    assert tie.label == "tennis"


def test_a_vote_is_the_majority_of_the_looks():
    looks = np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.0, 1.0, 0.0]], np.float32)
    made = vote("rgb", looks, LABELS)
    assert made.label == "badminton", "two of three looks, although the mean favours tennis"
    assert made.score == pytest.approx(1 / 3)
    assert made.frames == 3
    tie = vote("rgb", looks[1:], LABELS)
    assert tie.label == "tennis", "one look each: the mean decides"


@pytest.mark.parametrize("fusion", [posts_table(), Majority()])
def test_written_fusion_is_read_back_equal(fusion: ClassModelTable | Majority):
    assert read_fusion(write_fusion(fusion)) == fusion


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"{", "not JSON"),
        (b"[]", "rule: None is not one of class_model_table, majority"),
        (b'{"rule": "coin"}', "rule: 'coin' is not one of"),
        (b'{"rule": "class_model_table", "ranking": ["rgb"], "tabel": {}}', "did you mean `table`"),
        (b'{"rule": "class_model_table", "table": {}, "ranking": ["smell"]}', "ranking"),
    ],
)
def test_a_bad_fusion_file_is_refused_by_field(data: bytes, sentence: str):
    with pytest.raises(StrictError, match=sentence):
        read_fusion(data)
