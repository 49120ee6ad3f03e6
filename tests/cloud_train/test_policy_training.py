"""Policies are learnt, go on after a kill, survive their simulations, and do in a bundle what they did in training."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from brokers import until
from traps import Trap

from cloud_train.__main__ import main
from cloud_train.recordings import DataError, TrainingError
from cloud_train.rl.drive import GuardedDrive
from cloud_train.rl.evaluate import Score, chance, judge, on_device
from cloud_train.rl.export import export
from cloud_train.rl.follow_target import FollowTarget
from cloud_train.rl.gather import RewardScale
from cloud_train.rl.jobs import Jobs, Processes
from cloud_train.rl.ppo import Learner, advantages, clip_now
from cloud_train.rl.settings import FAST, Settings, settings_for
from cloud_train.rl.simulations import Episode, Simulations
from cloud_train.rl.tasks import TaskError, maker
from cloud_train.rl.train import PolicyRun, Wanted, train
from edge.bundle import Bundle
from edge.check import check
from edge.policy import Policy

TASK = "FollowTarget-v0"
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A few seconds of training: not good yet, and far better than chance."""
    return train(Wanted(TASK, FAST, 12.0), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export(run, tmp_path_factory.mktemp("bundles") / "follow", episodes=20, observations=2000)


def test_advantages_are_the_equations():
    settings = replace(FAST, discount=0.5, trace=0.5)
    rewards, values = np.array([[1.0], [2.0], [3.0]], np.float32), np.array([[0.5], [0.25], [1.0]], np.float32)
    ended = np.array([[False], [True], [False]])
    following = np.array([[0.25], [0.0], [4.0]], np.float32)
    second, third = 2 - 0.25, 3 + 0.5 * 4 - 1
    first = 1 + 0.5 * 0.25 - 0.5 + 0.25 * second
    assert advantages(rewards, values, ended, following, settings)[:, 0] == pytest.approx([first, second, third])


def test_the_clip_shrinks_as_the_references_does():
    assert [round(clip_now(Settings(), steps), 3) for steps in (0, 500_000, 2_000_000)] == [0.2, 0.1, 0.02]


def test_rewards_are_scaled_by_the_deviation_of_their_discounted_sums():
    scale, random = RewardScale(), np.random.default_rng(0)
    sums, seen = np.zeros(4), []
    for _ in range(200):
        rewards = random.normal(3, 10, 4).astype(np.float32)
        sums = 0.9 * sums + rewards
        seen.append(sums.copy())
        scaled = scale.push(rewards, np.zeros(4, np.bool_), 0.9)
    assert scale.variance == pytest.approx(np.var(seen), rel=1e-3)
    assert scaled == pytest.approx(rewards / np.std(seen), rel=1e-3)


def test_probabilities_of_actions_are_those_of_their_distribution():
    learner = Learner(FollowTarget.interface, FAST)
    observations = np.zeros((4000, 4), np.float32)
    actions, log_probabilities, _ = learner.act(observations)
    means = learner.policy(observations).numpy()
    deviation = 0.6
    assert actions.std(0) == pytest.approx(deviation, rel=0.05)
    off = (actions - means) / deviation
    expected = -0.5 * (off**2).sum(-1) - 2 * np.log(deviation) - np.log(2 * np.pi)
    assert log_probabilities == pytest.approx(expected, abs=1e-4)


def test_a_training_learns(run):
    assert run.best > 2 * chance(maker(TASK), 10).mean
    curve = [json.loads(line) for line in (run.path / "curve.jsonl").read_text().splitlines()]
    assert [point["steps"] for point in curve] == [FAST.rollout * (k + 1) for k in range(len(curve))]
    assert "controller" in (run.path / "curve.svg").read_text()
    assert PolicyRun.load(run.path) == run


def test_a_bundle_does_what_the_network_did(run, bundle):
    assert [step.ok for step in check(bundle.path)] == [True] * 4
    spec = bundle.manifest.policy
    assert (spec.vector, spec.limits) == (FollowTarget.interface.vector, FollowTarget.interface.limits)
    measured = bundle.manifest.metrics["policy"]
    assert abs(measured["return_lost"]) < 0.02
    assert [one["precision"] for one in measured["compared"]] == ["float32", "int8"]
    assert measured["compared"][0]["agreement"] == 1.0
    assert bundle.manifest.provenance["policy"]["steps"] == run.steps


def test_the_bundle_drives_the_robot_through_its_policy_and_guard(bundle):
    act = on_device(Policy(Bundle.load(bundle.path)))
    guarded = judge(maker(TASK, GuardedDrive), lambda _seed: act, 20)
    free = judge(maker(TASK), lambda _seed: act, 20)
    assert guarded.mean > 2 * chance(maker(TASK), 20).mean
    assert guarded.mean > 0.8 * free.mean


def test_a_policy_joins_the_classifiers_of_a_bundle(run, tmp_path):
    joined = export(run, tmp_path / "both", episodes=2, observations=200, join="edge/bundles/demo")
    assert len(joined.manifest.labels) == 25
    assert joined.manifest.policy is not None
    assert all(step.ok for step in check(joined.path))


def test_evaluate_writes_what_it_says(bundle, tmp_path, capsys):
    file = tmp_path / "scores.json"
    assert main(["rl", "evaluate", str(bundle.path), "--episodes", "5", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert list(found) == ["policy", "pd", "random"]
    for score in found.values():
        assert score["ci95"][0] <= score["mean"] <= score["ci95"][1]
        assert 0 <= score["success"] <= 1
    assert f"return {found['pd']['mean']:.1f}" in capsys.readouterr().out


def test_a_training_that_is_killed_goes_on(tmp_path):
    code = """if True:
        import sys
        from pathlib import Path
        from cloud_train.rl import train as training
        from cloud_train.rl.settings import FAST
        training.SAVE_SECONDS = 0.0
        training.train(training.Wanted("FollowTarget-v0", FAST, float(sys.argv[2])), Path(sys.argv[1]))
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.Popen([*command, "300"], stderr=subprocess.PIPE)
    assert until((tmp_path / "curve.jsonl").exists, 60)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    learnt = json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[-1])
    again = subprocess.run([*command, str(learnt["seconds"] + 1)], capture_output=True, text=True, check=True)
    went_on = int(again.stderr.split("goes on after ")[1].split()[0])
    assert learnt["steps"] <= went_on <= learnt["steps"] + FAST.rollout
    assert PolicyRun.load(tmp_path).steps > went_on


def test_a_checkpoint_of_another_task_is_refused(run):
    with pytest.raises(DataError, match="holds a training begun with other settings or data"):
        train(Wanted("FollowEvent-v0", settings_for("FollowEvent-v0"), 1.0), run.path)


@pytest.fixture
def jobs(tmp_path):
    """Two jobs of two simulations each, and the file by which they do harm."""
    processes = Processes(partial(Trap, tmp_path / "trap"), 2, 0)
    made = Jobs(processes, 4, jobs=2, budget=2, hang_seconds=3.0)
    made.pids = processes.pids
    made.begin()
    yield made
    made.close()


STAND = np.zeros((4, 2))


@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_a_simulation_job_that_is_gone_is_dropped_and_started_anew(jobs, tmp_path, how):
    assert jobs.step(STAND).alive.all()
    victim = jobs.pids[1]
    if how == "killed":
        os.kill(victim, signal.SIGKILL)
    else:
        (tmp_path / "trap").write_text(f"hang {victim}")
    assert jobs.step(STAND).alive.tolist() == [True, True, False, False]
    assert jobs.step(STAND).alive.tolist() == [True, True, False, False]
    assert sorted(jobs.revive()) == [2, 3]
    assert jobs.restarts == 1
    assert jobs.step(STAND).alive.all()
    assert victim not in jobs.pids.values()


def test_jobs_that_die_too_often_end_the_training(jobs):
    for _ in range(2):
        os.kill(jobs.pids[0], signal.SIGKILL)
        jobs.step(STAND)
        jobs.revive()
    os.kill(jobs.pids[0], signal.SIGKILL)
    jobs.step(STAND)
    with pytest.raises(TrainingError, match="simulation jobs died 3 times, 2 are allowed"):
        jobs.revive()


def test_what_is_wrong_with_an_environment_comes_out_of_its_job(jobs, tmp_path):
    (tmp_path / "trap").write_text(f"nonsense {jobs.pids[0]}")
    with pytest.raises(TaskError, match="is not well, in step 0"):
        jobs.step(STAND)


def test_a_training_goes_on_when_a_simulation_job_is_killed(tmp_path):
    out = tmp_path / "run"
    command = ["-m", "cloud_train", "rl", "train", "--env", TASK, "--jobs", "2", "--budget", "14", "--out", str(out)]
    training = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def workers():
        command = ["pgrep", "-P", str(training.pid), "-f", "multiprocessing.spawn"]
        listed = subprocess.run(command, capture_output=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    assert until(lambda: len(workers()) == 2, 60)
    time.sleep(5)
    os.kill(workers()[0], signal.SIGKILL)
    said, _ = training.communicate(timeout=120)
    assert training.returncode == 0, said
    finished = PolicyRun.load(out)
    assert finished.restarts == 1
    assert finished.dropped == FAST.rollout // 2
    assert "its steps are dropped, and it is started anew" in said


def test_jobs_give_what_simulations_give_in_this_process():
    ours, theirs = Simulations(maker(TASK), 4, 5), Jobs(Processes(maker(TASK), 2, 5), 4, jobs=2, budget=0)
    try:
        assert np.array_equal(ours.begin(), theirs.begin())
        for k in range(5):
            actions = np.full((4, 2), 0.1 * k)
            here, there = ours.step(actions), theirs.step(actions)
            assert np.array_equal(here.observations, there.observations)
            assert np.array_equal(here.rewards, there.rewards)
    finally:
        theirs.close()


def test_a_score_has_students_interval():
    score = Score.of([Episode(total, 10, 1.0) for total in (1.0, 2.0, 3.0, 4.0)])
    assert score.mean == 2.5
    assert score.ci95 == pytest.approx((2.5 - 2.0542, 2.5 + 2.0542), abs=1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rollout": 2049}, "rollout: 2049 steps cannot be shared by 8 simulations"),
        ({"discount": 1.5}, "discount and trace: are 1.5 and 0.95"),
        ({"minibatch": 0}, "minibatch: is 0; it must be at least 1"),
    ],
)
def test_hyperparameters_that_cannot_be_are_named(given, said):
    with pytest.raises(DataError, match=said):
        settings_for(TASK, **given)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "--env", "Chess-v0", "--out", "x"], 2, "doesn't exist; ours are ObjectTracker-v0"),
        (["export", "nowhere", "--out", "x"], 2, "nowhere: is not a finished training of a policy"),
        (["evaluate", "examples/policies/follow"], 1, "does not say which task its policy was trained on"),
        (["train", "--env", TASK, "--out", "x", "--budget", "-1"], 2, "'-1' is not a number of seconds above 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(capsys, arguments, code, said):
    with contextlib.suppress(SystemExit):
        assert main(["rl", *arguments]) == code
    assert said in capsys.readouterr().err
