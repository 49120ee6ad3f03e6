"""The tasks that policies learn: what is seen, earned and ended, and that the robot moves as its guard lets it."""

from __future__ import annotations

import math
import time

import gymnasium
import numpy as np
import pytest

from cloud_train.__main__ import main
from cloud_train.recordings import DataError
from cloud_train.rl.baselines import CONTROLLERS
from cloud_train.rl.conform import RULES, conform
from cloud_train.rl.drive import Drive, GuardedDrive, Pose
from cloud_train.rl.evaluate import chance, judge
from cloud_train.rl.follow_event import FollowEvent
from cloud_train.rl.follow_target import FollowTarget
from cloud_train.rl.interface import Interface
from cloud_train.rl.object_tracker import ACTIONS, ObjectTracker
from cloud_train.rl.scene import CAMERA_FORWARD, FOCAL, Look, camera_picture, project
from cloud_train.rl.tasks import TASKS, TaskError, make, maker
from edge.bundle import Bundle
from edge.guard import Limits, State
from edge.manifest import VectorField
from edge.policy import picture_observation

STRAIGHT = ACTIONS.index((0.1, 0.0))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_to_every_rule(name):
    assert {kept.rule: kept.problem for kept in conform(name)} == dict.fromkeys(RULES, "")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_can_be_looked_at(name):
    env = make(name, render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert env.spec.max_episode_steps == TASKS[name][1]


@pytest.mark.parametrize("name", TASKS)
def test_the_controller_made_by_hand_does_better_than_chance(name):
    make_env = maker(name)
    count = 3 if name == "ObjectTracker-v0" else 8
    by_hand, by_chance = judge(make_env, lambda _seed: CONTROLLERS[name](), count), chance(make_env, count)
    assert by_hand.mean > by_chance.mean
    assert by_hand.success > 0.5
    assert by_hand.success > by_chance.success + 0.1


def test_the_tracker_has_five_actions_in_the_references_order():
    assert ACTIONS == ((0.1, 0.6), (0.1, -0.6), (0.1, 0.0), (0.1, 0.3), (0.1, -0.3))
    assert ObjectTracker().action_space == gymnasium.spaces.Discrete(5)


def test_the_tracker_earns_ten_over_the_square_only_where_it_comes_nearer_than_ever():
    env = ObjectTracker()
    env.reset(seed=0)
    env.target = Pose(0.5, 0.0)
    env._nearest = env.distance
    _, reward, ended, _, info = env.step(STRAIGHT)
    assert reward == pytest.approx(10 / info["distance"] ** 2)
    assert not ended
    env.target = Pose(1.0, 0.0)
    assert env.step(STRAIGHT)[1] == 0.0, "nearer than a step ago, not than ever"


def test_the_tracker_ends_where_it_has_caught_the_other_or_lost_it():
    env = ObjectTracker()
    env.reset(seed=0)
    env.target, env._nearest = Pose(0.19, 0.0), 0.2
    _, _, ended, _, info = env.step(STRAIGHT)
    assert (ended, info["success"]) == (True, True)
    env.reset(seed=0)
    env.target, env._nearest = Pose(0.19, 0.0), 0.1  # it was nearer before: the reference does not look then
    assert env.step(STRAIGHT)[2] is False
    env.reset(seed=0)
    env.target = Pose(5.2, 0.0)
    _, _, ended, _, info = env.step(STRAIGHT)
    assert (ended, info["success"]) == (True, False)


def test_the_tracker_begins_as_the_reference_does():
    env = ObjectTracker()
    sides = []
    for seed in range(50):
        observation, _ = env.reset(seed=seed)
        assert observation.shape == (120, 160, 1)
        assert (env.robot.pose, env.target.x) == (Pose(), 3.5)
        sides.append(env.target.y)
    assert min(sides) < -0.8 < 0.8 < max(sides)
    assert max(map(abs, sides)) <= 1


def test_red_and_blue_swapped_is_another_picture():
    """The reference weighs BGR as if it were RGB: worth knowing where a policy of its is brought along."""
    look = Look(sky=(120, 160, 230), floor=(150, 110, 70))
    frame = camera_picture(Pose(), Pose(1.5, 0.0), look)
    interface = ObjectTracker.interface
    straight, swapped = interface.see(frame), interface.see(np.ascontiguousarray(frame[..., ::-1]))
    assert np.abs(straight - swapped).mean() > 10


def test_what_the_simulator_gives_is_what_the_device_makes_of_the_same_picture():
    env = ObjectTracker()
    observation, _ = env.reset(seed=4)
    spec = Bundle.read("examples/policies/tracker").manifest.policy
    assert np.array_equal(observation, picture_observation(env.picture(), spec.picture)[0])


def test_a_point_is_seen_where_a_pinhole_camera_sees_it():
    assert project((CAMERA_FORWARD + 1.0, 0.0, 0.107), Pose()) == pytest.approx((80, 60))
    column, row = project((CAMERA_FORWARD + 2.0, 0.5, 0.0), Pose())
    assert column == pytest.approx(80 - FOCAL * 0.25)
    assert row == pytest.approx(60 + FOCAL * 0.107 / 2)
    assert project((-1.0, 0.0, 0.1), Pose()) is None


@pytest.mark.parametrize(("distance", "side"), [(3.5, 0.9), (2.0, -0.4), (1.0, 0.1)])
def test_the_robot_ahead_is_dark_around_where_it_stands(distance, side):
    frame = camera_picture(Pose(), Pose(distance, side, 0.7))
    columns = np.nonzero((frame.mean(-1) < 60).any(0))[0]
    assert columns.mean() + 0.5 == pytest.approx(project((distance, side, 0.07), Pose())[0], abs=1.5)
    assert len(columns) == pytest.approx(FOCAL * 0.2 / (distance - CAMERA_FORWARD), rel=0.3)


@pytest.mark.alone
def test_the_camera_draws_faster_than_a_training_needs():
    count, began = 500, time.process_time()
    for k in range(count):
        camera_picture(Pose(0.01 * k, 0.0, 0.001 * k), Pose(4.0, 0.5, 0.01 * k))
    assert count / (time.process_time() - began) > 1000


@pytest.mark.parametrize(("linear", "angular"), [(0.1, 0.6), (0.1, 0.0), (-1.0, 3.0)])
def test_the_drive_moves_in_the_envelope_and_along_the_arc(linear, angular):
    limits = Limits()
    drive = Drive(limits)
    before = (0.0, 0.0)
    for _ in range(50):
        drive.go(linear, angular, 0.1)
        v, w = drive.velocities
        assert limits.linear_least_mps <= v <= limits.linear_most_mps
        assert abs(w) <= limits.angular_most_radps
        assert abs(v - before[0]) <= limits.linear_acceleration * 0.1 + 1e-9
        assert abs(w - before[1]) <= limits.angular_acceleration * 0.1 + 1e-9
        before = (v, w)
    if linear > 0:
        assert math.hypot(drive.pose.x, drive.pose.y) <= 0.5
        centre = (drive.pose.x - math.sin(drive.pose.heading) * 0.1 / 0.6, 0.1 / 0.6) if angular else None
        assert centre is None or abs(drive.pose.y + math.cos(drive.pose.heading) * 0.1 / 0.6 - 0.1 / 0.6) < 0.02


def test_a_full_circle_ends_where_it_began():
    pose = Pose(1.0, 2.0, 0.3)
    for _ in range(100):
        pose = pose.moved(0.1, 2 * math.pi / 10, 0.1)
    assert (pose.x, pose.y, pose.heading) == pytest.approx((1.0, 2.0, 0.3))


def test_the_guarded_drive_arms_first_and_then_goes_as_proposed():
    drive = GuardedDrive(Limits())
    for _ in range(9):
        drive.go(0.1, 0.0, 0.1)
    assert drive.pose == Pose()
    for _ in range(21):
        drive.go(0.1, 0.0, 0.1)
    assert drive.guard.state == State.ARMED
    assert drive.pose.x == pytest.approx(0.2, abs=0.02)


def test_an_event_is_heard_and_judged_a_second_late():
    env = FollowEvent()
    env.reset(seed=1)
    probability, happened = [], []
    for _ in range(300):
        observation, _, _, _, info = env.step(0)
        probability.append(float(observation[0]))
        happened.append(info["happens"])
    late = np.corrcoef(probability[10:], happened[:-10])[0, 1]
    assert late > 0.7
    assert late > np.corrcoef(probability, happened)[0, 1]


def test_the_target_is_measured_with_noise_around_the_truth():
    env = FollowTarget()
    env.reset(seed=2)
    seen = np.array([env._observe()[0] for _ in range(400)])
    assert seen.mean() == pytest.approx(env.robot.pose.bearing(env.target.x, env.target.y), abs=0.003)
    assert seen.std() == pytest.approx(0.01, rel=0.15)


class Faulty(gymnasium.Env):
    """Gives what it is told to, in its third step."""

    interface = Interface(limits=Limits(), actions=ACTIONS, vector=(VectorField("a"), VectorField("b")))

    def __init__(self, fault: str = "", **_options: object) -> None:
        self.observation_space, self.action_space = self.interface.observation_space, self.interface.action_space
        self._fault = fault

    def reset(self, *, seed=None, **_options):
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, _action):
        self._steps += 1
        bad = self._steps == 3
        observation = np.zeros(3 if bad and self._fault == "shape" else 2, np.float32)
        if bad and self._fault == "nan":
            observation[0] = np.nan
        return observation, math.inf if bad and self._fault == "reward" else 0.0, False, False, {}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("shape", r"^Faulty-v0: the observation has the shape \(3,\), its interface says \(2,\), in step 3"),
        ("nan", "^Faulty-v0: the observation holds NaN or infinite numbers, in step 3"),
        ("reward", "^Faulty-v0: the reward is inf, in step 3"),
    ],
)
def test_an_environment_that_gives_what_is_none_is_named_with_the_step(fault, said):
    gymnasium.register("Faulty-v0", entry_point=Faulty, disable_env_checker=True)
    env = make("Faulty-v0", fault=fault)
    env.reset(seed=0)
    env.step(0)
    env.step(0)
    with pytest.raises(TaskError, match=said):
        env.step(0)
    del gymnasium.registry["Faulty-v0"]


class Careless(Faulty):
    """Breaks the rules that no single step shows."""

    def __init__(self, **_options: object) -> None:
        super().__init__()
        self.action_space = gymnasium.spaces.Discrete(4)

    def step(self, _action):
        return np.array([np.random.default_rng().random(), 0], np.float32), 0.0, False, False, {"success": 1}


def test_a_rule_that_is_broken_is_named_with_how(capsys):
    gymnasium.register("Careless-v0", entry_point=Careless, disable_env_checker=True)
    assert main(["rl", "check", "--env", "Careless-v0"]) == 1
    broken = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    del gymnasium.registry["Careless-v0"]
    for said in (
        "action_space is Discrete(4), its interface says Discrete(5)",
        "is registered without max_episode_steps",
        "the same seed and actions give two different episodes",
        "step 1: info['success'] is 1; it must say True or False",
    ):
        assert any(said in line for line in broken), said


def test_an_option_that_an_environment_does_not_take_is_named():
    with pytest.raises(DataError, match="--env FollowTarget-v0: takes no 'moving'"):
        make("FollowTarget-v0", moving=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [("Chess-v0", "doesn't exist; ours are ObjectTracker-v0"), ("CartPole-v1", "has no `interface`")],
)
def test_a_task_that_is_none_of_ours_is_refused_in_a_sentence(name, said):
    with pytest.raises(DataError, match=said):
        make(name)
