"""The robot with mass and motors goes where the ideal one goes, and what happens can be looked at."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial

import av
import numpy as np
import pytest
from PIL import Image

from cloud_train.__main__ import main
from cloud_train.recordings import DataError
from cloud_train.rl.baselines import CONTROLLERS
from cloud_train.rl.drive import Drive, GuardedDrive
from cloud_train.rl.evaluate import judge
from cloud_train.rl.film import frames, write_film
from cloud_train.rl.follow_target import LIMITS
from cloud_train.rl.physics import WHEEL_RADIUS, Physical
from cloud_train.rl.tasks import TASKS, make, maker
from edge.guard import Limits


@pytest.mark.parametrize("limits", [Limits(), LIMITS])
def test_a_robot_with_mass_ends_where_the_ideal_one_does(limits):
    ideal, physical = Drive(limits), Drive(limits, Physical)
    for k in range(100):
        for drive in (ideal, physical):
            drive.go(0.1, 0.6 * math.sin(k / 7), 0.1)
    apart = ideal.pose.distance(physical.pose.x, physical.pose.y)
    assert 0 < apart < 0.03, "after 10 s and a metre"
    assert physical.velocities == pytest.approx(ideal.velocities, abs=0.02)
    assert physical.body.data.qpos[2] == pytest.approx(WHEEL_RADIUS, abs=0.001), "upright on its wheels"


def test_a_robot_with_mass_stops():
    drive = Drive(LIMITS, Physical)
    for _ in range(20):
        drive.go(0.26, 0.0, 0.1)
    for _ in range(10):
        drive.go(0.0, 0.0, 0.1)
    assert drive.velocities == pytest.approx((0.0, 0.0), abs=1e-3)


@pytest.mark.parametrize("name", ["FollowTarget-v0", "FollowEvent-v0"])
def test_a_controller_does_in_physics_what_it_does_without(name):
    ideal = judge(maker(name), lambda _seed: CONTROLLERS[name](), 8)
    for drive in (partial(Drive, body=Physical), partial(GuardedDrive, body=Physical)):
        physical = judge(maker(name, drive), lambda _seed: CONTROLLERS[name](), 8)
        assert physical.mean == pytest.approx(ideal.mean, rel=0.1)


SCENE = """if True:
    import sys
    from functools import partial
    import numpy as np
    from cloud_train.rl.drive import Drive
    from cloud_train.rl.physics import Physical, viewer
    from cloud_train.rl.tasks import make

    env = make("FollowTarget-v0", drive=partial(Drive, body=Physical)).unwrapped
    env.reset(seed=0)
    with viewer() as draw:
        where = [env.robot.pose.moved(0.8, turn, 1) for turn in (0, 0.8)]
        np.save(sys.argv[1], [draw(env.robot.body, target) for target in where])
"""


def test_the_scene_shows_the_target_where_it_is(tmp_path):
    # By itself: OpenGL's LLVM and those of TensorFlow and PyTorch do not get on in one process.
    subprocess.run([sys.executable, "-c", SCENE, str(tmp_path / "drawn.npy")], check=True, timeout=120)
    ahead, left = np.load(tmp_path / "drawn.npy").astype(int)
    assert ahead.shape == (360, 480, 3)
    changed = np.nonzero((np.abs(ahead - left).sum(-1) > 90).any(0))[0]
    middle = 240
    assert changed.min() < middle - 40, "to its left in one"
    assert middle - 10 < changed.max() < middle + 60, "in the middle in the other"


@pytest.fixture
def filmed():
    env, ended = make("FollowTarget-v0"), []
    return frames(env, CONTROLLERS["FollowTarget-v0"](), 10_000, lambda one: one.render(), ended), ended


def test_a_film_has_a_picture_of_each_step(filmed, tmp_path):
    pictures, ended = filmed
    write_film(pictures, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        shown = sum(1 for _ in container.decode(video=0))
        assert container.streams.video[0].average_rate == 10
    assert shown == ended[0].steps + 1 == TASKS["FollowTarget-v0"][1] + 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_gif_plays_as_fast_as_the_robot_drives(filmed, tmp_path):
    write_film(filmed[0], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert (picture.size, picture.n_frames, picture.info["duration"]) == ((420, 180), 101, 200)


def test_a_film_of_another_kind_is_refused(filmed, tmp_path):
    with pytest.raises(DataError, match=r"a\.avi: a film is an \.mp4 or a \.gif"):
        write_film(filmed[0], tmp_path / "a.avi")


def test_a_machine_that_cannot_draw_says_what_to_install():
    code = "from cloud_train.rl.physics import viewer\nwith viewer():\n    pass"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False,
        env={"MUJOCO_GL": "disable", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert "MuJoCo cannot draw here" in done.stderr
    assert "install libegl1" in done.stderr


def test_what_cannot_be_filmed_is_said_in_a_sentence(capsys):
    assert main(["rl", "video", "examples/policies/follow", "-o", "x.mp4"]) == 1
    assert "does not say which task its policy was trained on" in capsys.readouterr().err
