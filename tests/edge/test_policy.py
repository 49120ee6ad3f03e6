"""A policy on the device: what it observes, what it answers, and what it refuses."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.__main__ import main
from edge.bundle import DEMO, MANIFEST, Bundle
from edge.check import check
from edge.manifest import BundleError, PictureObservation, PolicySpec, TensorSpec
from edge.pipeline import Pipeline
from edge.policy import Action, Policy, PolicyError, action, picture_observation, vector_observation

POLICIES = Path(__file__).parent.parent.parent / "examples" / "policies"
FOLLOW, TRACKER = POLICIES / "follow", POLICIES / "tracker"
LEFT, RIGHT, AHEAD = (0.1, 0.6), (0.1, -0.6), (0.1, 0.0)


@pytest.fixture
def follow(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLLOW, tmp_path / "follow"))


def edited(bundle: Path, change) -> Path:
    raw = json.loads((bundle / MANIFEST).read_text())
    change(raw["policy"])
    (bundle / MANIFEST).write_text(json.dumps(raw))
    return bundle


@pytest.mark.parametrize(("bearing", "motion"), [(1.0, LEFT), (0.2, (0.1, 0.3)), (0.0, AHEAD), (-1.0, RIGHT)])
def test_it_turns_to_where_the_target_is(bearing, motion):
    policy = Policy(Bundle.load(FOLLOW))
    observation = vector_observation({"target_bearing_rad": bearing, "target_range_m": 2.0}, policy.spec.vector)
    wanted = policy(observation)
    assert (wanted.linear_mps, wanted.angular_radps) == motion
    assert policy.spec.actions[wanted.index] == motion
    assert len(wanted.scores) == 5


@pytest.mark.parametrize(("column", "motion"), [(80, LEFT), (310, AHEAD), (560, RIGHT)])
def test_it_turns_to_what_is_bright_in_a_camera_picture(column, motion):
    policy = Policy(Bundle.load(TRACKER))
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[160:320, max(0, column - 80) : column + 80] = 255
    wanted = policy(picture_observation(frame, policy.spec.picture))
    assert (wanted.linear_mps, wanted.angular_radps) == motion


def test_a_picture_becomes_grey_by_the_tracker_s_weights():
    frame = np.full((240, 320, 3), (200, 100, 50), np.uint8)
    grey = picture_observation(frame, Bundle.read(TRACKER).manifest.policy.picture)
    assert grey.shape == (1, 120, 160, 1)
    assert grey == pytest.approx(0.2989 * 200 + 0.5870 * 100 + 0.1140 * 50, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_before_the_best_is_looked_for(bad):
    spec = Bundle.read(FOLLOW).manifest.policy
    with pytest.raises(PolicyError, match="the policy's answer holds NaN or infinite values"):
        action(np.array([0, bad, 0, 0, 0], np.float32), spec)
    with pytest.raises(PolicyError, match="the observation holds NaN or infinite values"):
        Policy(Bundle.load(FOLLOW))(np.array([[bad, 1.0]], np.float32))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target_range_m": 1.0}, "target_bearing_rad is missing"),
        ({"target_bearing_rad": math.nan, "target_range_m": 1.0}, "target_bearing_rad is not finite"),
        ({"target_bearing_rad": 0.0, "target_range_m": -1.0}, "target_range_m is -1; the policy knows 0.0 to None"),
    ],
)
def test_a_wrong_field_is_named(values, said):
    with pytest.raises(PolicyError, match=said):
        vector_observation(values, Bundle.read(FOLLOW).manifest.policy.vector)


@pytest.mark.parametrize("shape", [(0, 10, 3), (10, 10), (10, 10, 4)])
def test_a_picture_of_another_shape_is_refused(shape):
    with pytest.raises(PolicyError, match="it must be \\[height, width, 3\\]"):
        picture_observation(np.zeros(shape, np.uint8), Bundle.read(TRACKER).manifest.policy.picture)


def test_without_actions_the_scores_are_the_velocities():
    tensor = TensorSpec((1, 120, 160, 1), "float32", 0.0, 0)
    spec = PolicySpec("p", tensor, TensorSpec((1, 2), "float32", 0.0, 0), picture=PictureObservation())
    assert action(np.array([0.05, -0.25], np.float32), spec) == Action(
        -1, pytest.approx(0.05), -0.25, (pytest.approx(0.05), -0.25)
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda policy: policy.update(vector=[]), "the policy observes a picture or a vector; name one of them"),
        (lambda policy: policy["vector"].pop(), r"input.shape: is \[1, 2\]; the observation has \[1, 1\]"),
        (lambda policy: policy["actions"].pop(), r"output.shape: is \[1, 5\]; the actions need \[1, 4\]"),
        (lambda policy: policy["actions"][0].__setitem__(0, 2.0), r"actions\[0\]: 2 m/s and 0.6 rad/s are outside the"),
        (lambda policy: policy["vector"][0].update(scale=0.0), "vector: a scale must not be 0"),
        (lambda policy: policy["limits"].update(stop_linear=0.0), "stop_linear: must be above 0"),
        (lambda policy: policy["limits"].update(top_speed=9), "unknown key `policy.limits.top_speed`"),
        (lambda policy: policy["input"].update(scale=0.5), "input scale is 0.0 in the model, 0.5 in the manifest"),
        (lambda policy: policy.update(file="../policy.tflite"), "leads out of the bundle"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_sentence(follow, change, said):
    with pytest.raises(BundleError, match=said) as refused:
        Bundle.load(edited(follow, change))
    assert "\n" not in str(refused.value)


def test_check_and_info_know_a_bundle_of_a_policy_alone(capsys):
    assert [step.name for step in check(FOLLOW)] == ["manifest", "files", "models", "policy"]
    assert all(step.ok for bundle in (FOLLOW, TRACKER) for step in check(bundle))
    assert main(["info", str(TRACKER)]) == 0
    said = capsys.readouterr().out
    assert "a grey picture of 160 x 120 -> one of 5 actions, every 0.1 s" in said
    assert "0 to 0.1 m/s, at most 0.6 rad/s" in said


def test_check_finds_a_policy_that_answers_otherwise(follow):
    policy = Bundle.read(TRACKER)
    edited(follow, lambda section: section.update(actions=section["actions"][::-1]))
    assert [step.ok for step in check(follow)][-1]  # the scores are the same, what they mean is the manifest's
    (follow / "golden.npz").write_bytes((policy.path / "golden.npz").read_bytes())
    *_, last = check(follow)
    assert not last.ok
    assert "golden.npz: has changed" in last.detail


def test_who_wants_what_a_bundle_does_not_have_is_told():
    with pytest.raises(BundleError, match="the bundle has no policy; its manifest needs the section `policy`"):
        Policy(Bundle.read(DEMO))
    with pytest.raises(BundleError, match="the bundle holds a policy and no classifiers"):
        Pipeline(Bundle.read(FOLLOW))
