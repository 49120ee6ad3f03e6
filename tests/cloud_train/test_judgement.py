"""Judging: what a person can work out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cloud_train.evaluate import dealt, evaluate
from cloud_train.judgement import FUSED, Judgement, judge
from cloud_train.looks import Looks
from cloud_train.recordings import DataError, Recording
from cloud_train.report import sections, to_json, write_report
from edge.bundle import DEMO, Bundle
from edge.fusion import Majority

LABELS = ("golf", "tennis")
TRUTH = (0, 0, 0, 1, 1, 1)
"""Six seconds: recordings a (0), b (0, 0) of golf, c (1, 1), d (1) of tennis."""
RECORDING = (0, 1, 1, 2, 2, 3)
SECOND = (0, 0, 1, 0, 1, 0)


def looks(golf: tuple[float, ...]) -> Looks:
    """One look a second; `golf` is its probability."""
    x = np.array([[p, 1 - p] for p in golf], np.float32)
    return Looks(x, np.array(TRUTH), np.array(RECORDING), np.array(SECOND), ("a", "b", "c", "d")[: len(set(RECORDING))])


@pytest.fixture
def judgement() -> Judgement:
    """Picture errs in the second of b and of c; sound errs in all of c."""
    predictions = {"rgb": looks((0.9, 0.9, 0.3, 0.1, 0.6, 0.3)), "audio": looks((0.8, 0.8, 0.8, 0.7, 0.7, 0.1))}
    sets = {"a": 0, "b": 1, "c": 0, "d": 1}
    return judge(predictions, Majority(), LABELS, temperatures={}, unknown=0.75, sets=sets)


def test_shares_and_f1_are_those_counted_by_hand(judgement: Judgement):
    rgb, audio = judgement.judges["rgb"], judgement.judges["audio"]
    assert (rgb.looks, rgb.seconds, rgb.recordings) == (6, 6, 4)
    assert rgb.accuracy == rgb.look_accuracy == pytest.approx(4 / 6)
    assert rgb.f1 == pytest.approx(2 / 3), "two of three golf, two of three tennis, one wrongly called each"
    assert rgb.recording_accuracy == 1, "a tie of seconds goes to the label that came first"
    assert audio.accuracy == pytest.approx(4 / 6)
    assert audio.f1 == pytest.approx((2 * 3 / 8 + 2 * 1 / 4) / 2)
    assert audio.confusion == ((2, 0), (1, 1))
    assert judgement.judges[FUSED].look_accuracy is None


def test_labels_have_mean_and_deviation_over_the_test_sets(judgement: Judgement):
    golf, tennis = judgement.judges["rgb"].classes
    first, second = 2 * 1 / (1 + 2), 2 * 1 / (2 + 1)  # set 0: a, c; set 1: b, d
    assert golf.f1 == pytest.approx((first + second) / 2)
    assert golf.f1_deviation == pytest.approx(abs(first - second) / 2)
    assert tennis.recording_f1 == 1


def test_gains_are_relative(judgement: Judgement):
    fused, rgb = judgement.judges[FUSED], judgement.judges["rgb"]
    assert judgement.gains["rgb"].over_seconds == pytest.approx(100 * (fused.recording_f1 / rgb.f1 - 1))
    assert judgement.gains["rgb"].over_recordings == pytest.approx(100 * (fused.recording_f1 / rgb.recording_f1 - 1))


def test_calibration_error_is_the_mean_distance_of_score_and_accuracy(judgement: Judgement):
    scores = np.array([0.8, 0.8, 0.8, 0.7, 0.7, 0.9])  # wrong are the two of recording c
    expected = abs(scores[:3].mean() - 1) * 3 / 6 + abs(scores[3:5].mean() - 0) * 2 / 6 + abs(0.9 - 1) / 6
    assert judgement.judges["audio"].calibration_error == pytest.approx(expected, abs=1e-6)
    assert sum(b.seconds for b in judgement.judges["audio"].reliability) == 6


def test_the_surest_mistakes_come_first_and_pairs_are_counted(judgement: Judgement):
    assert [(a.recording, a.second, a.truth, a.label) for a in judgement.mistakes] == [("c", 1, 1, 0)]
    assert judgement.confused == (("tennis", "golf", 1),)


def test_what_the_threshold_does_to_unknown_seconds_is_told():
    predictions = {"rgb": replace(looks((0.9, 0.9, 0.6, 0.1, 0.9, 0.3)), y=np.array((0, 0, -1, 1, -1, 1)))}
    sets = dict.fromkeys("abcd", 0)
    unknown = judge(predictions, Majority(), LABELS, temperatures={}, unknown=0.75, sets=sets).unknown
    assert unknown.seconds == 2
    assert unknown.refused == 0.5
    assert unknown.right_kept == pytest.approx(3 / 4)


def test_the_page_holds_every_figure_and_the_files_lie_beside_it(judgement: Judgement, tmp_path: Path):
    page = write_report(tmp_path, "tried out", judgement).read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    for section in sections(judgement):
        assert section.heading in page
        for picture in section.pictures:
            assert (tmp_path / "figures" / f"{picture.name}.png").read_bytes()[:4] == b"\x89PNG"
            assert b"<svg" in (tmp_path / "figures" / f"{picture.name}.svg").read_bytes()
    assert msgspec.json.decode((tmp_path / "metrics.json").read_bytes())["rgb"]["seconds"] == 6
    assert to_json(judgement) == (tmp_path / "metrics.json").read_bytes()


def test_recordings_are_dealt_by_label():
    recordings = [Recording(f"{label}{i}", "", label) for label in LABELS for i in range(5)]
    sets = dealt(recordings, 2)
    for label in LABELS:
        assert sorted(sets[f"{label}{i}"] for i in range(5)) == [0, 0, 0, 1, 1]
    assert set(dealt([*recordings, Recording("x", "", "rare")], 2).values()) == {0}, "a label cannot be in two sets"


def test_a_label_that_the_bundle_does_not_know_is_refused_by_name():
    with pytest.raises(DataError, match=r"label 'chess' is not one of the bundle's 25, nor 'unknown'"):
        evaluate(Bundle.read(DEMO), [Recording("a", "a.mp4", "chess")])
    twice = Recording("a", "a.mp4", "golf")
    with pytest.raises(DataError, match="recording 'a' is in two test sets"):
        evaluate(Bundle.read(DEMO), [twice], [twice])
