"""Simulation jobs come to a learner over the network: they die, hang, lie; the learner goes and comes back."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, answer_challenge, deliver_challenge
from pathlib import Path

import numpy as np
import pytest
from brokers import until

from cloud_train.recordings import DataError, TrainingError
from cloud_train.rl import app as apps
from cloud_train.rl import remote
from cloud_train.rl.jobs import Jobs
from cloud_train.rl.remote import Visitors, simulate
from cloud_train.rl.simulations import Episode, Moment, Simulations
from cloud_train.rl.tasks import TaskError, maker
from cloud_train.rl.wire import pack, pack_moment, unpack, unpack_answer

TASK = "FollowTarget-v0"
STAND = np.zeros((4, 2))


@pytest.fixture
def place(tmp_path):
    apps.create(str(tmp_path / "app"), TASK, {})
    return str(tmp_path / "app")


@pytest.fixture
def simulators(place):
    """Starts simulation jobs in processes of their own."""
    started = []

    def start():
        code = f"from cloud_train.rl.remote import simulate; simulate({place!r}, hang_seconds=3.0)"
        started.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def learner(place, *, budget=5, seed=5):
    return Jobs(Visitors(place, 2, seed), 4, jobs=2, budget=budget, hang_seconds=2.0)


def test_jobs_elsewhere_give_what_simulations_give_here_and_any_may_be_killed_or_hang(place, simulators):
    world, ours = learner(place), Simulations(maker(TASK), 4, 5)
    processes = [simulators(), simulators()]
    try:
        assert np.array_equal(ours.begin(), world.begin())
        for k in range(5):
            actions = np.full((4, 2), 0.1 * k)
            here, there = ours.step(actions), world.step(actions)
            assert np.array_equal(here.observations, there.observations)
            assert np.array_equal(here.rewards, there.rewards)
        processes[0].send_signal(signal.SIGKILL)
        assert int(world.step(STAND).alive.sum()) == 2
        assert world.revive() == {}, "nobody has come: the others go on"
        assert int(world.step(STAND).alive.sum()) == 2
        processes.append(simulators())
        assert until(lambda: len(world.revive()) == 2, 60)
        assert world.step(STAND).alive.all()
        processes[1].send_signal(signal.SIGSTOP)
        assert int(world.step(STAND).alive.sum()) == 2
        assert world.restarts == 2
    finally:
        world.close()
    assert processes[2].wait(20) == 0, "told that all is done"


def test_a_job_finds_the_learner_again_that_was_killed(place, simulators):
    job = simulators()
    source = Visitors(place, 4, 0)
    first = Jobs(source, 4, jobs=1, budget=0)
    first.begin()
    link = first._jobs[0]
    link._connection.close()  # as when the learner's machine is gone: without a word
    source._listener.shutdown(socket.SHUT_RDWR)
    source._listener.close()
    second = Jobs(Visitors(place, 4, 0), 4, jobs=1, budget=0)
    second.begin()
    assert second.step(STAND).alive.all()
    second.close()
    assert job.wait(20) == 0


def test_too_many_deaths_and_nobody_at_all_end_the_training(place, simulators, monkeypatch):
    world = learner(place, budget=0)
    jobs = [simulators(), simulators()]
    world.begin()
    jobs[0].kill()
    world.step(STAND)
    with pytest.raises(TrainingError, match="simulation jobs died 1 times, 0 are allowed"):
        world.revive()
    world.close()
    monkeypatch.setattr(remote, "START_SECONDS", 0.5)
    with pytest.raises(TrainingError, match="0 of 2 simulation jobs came within"):
        learner(place).begin()


def test_strangers_are_not_let_in_and_hold_nobody_up(place):
    source = Visitors(place, 4, 0)
    address = apps.learner(place)
    silent = socket.create_connection(address)
    with Client(address) as stranger, pytest.raises((AuthenticationError, EOFError, OSError)):
        answer_challenge(stranger, b"wrong")
    ours = Client(address)
    token = json.loads(Path(place, "app.json").read_text())["token"].encode()
    answer_challenge(ours, token)
    deliver_challenge(ours, token)
    links = source.open([0], least=1, restarts=0)
    kind, fields = unpack(ours.recv_bytes())
    assert (kind, fields["task"], fields["count"]) == ("begin", TASK, 4)
    ours.send_bytes(b"\x80nonsense")
    with pytest.raises(OSError, match="not a message of ours"):
        links[0].recv()
    silent.close()
    ours.close()
    source.close()


def test_what_is_wrong_with_an_environment_comes_to_the_learner(place, monkeypatch):
    def broken(_self, _actions):
        msg = "is not well, in step 0"
        raise TaskError(msg)

    monkeypatch.setattr(Simulations, "step", broken)
    world = Jobs(Visitors(place, 4, 0), 4, jobs=1, budget=0)

    def serve():
        with pytest.raises(TaskError):
            simulate(place)

    job = threading.Thread(target=serve)
    job.start()
    world.begin()
    with pytest.raises(TaskError, match="is not well, in step 0"):
        world.step(STAND)
    world.close()
    job.join(20)
    assert not job.is_alive()


def test_a_simulator_that_hangs_ends_its_process_whatever_it_does(place):
    code = f"""
import time
from cloud_train.rl import remote
from cloud_train.rl.simulations import Simulations
Simulations.step = lambda *_: time.sleep(60)
remote.simulate({place!r}, hang_seconds=1.0)
"""
    world = Jobs(Visitors(place, 4, 0), 4, jobs=1, budget=0, hang_seconds=20.0)
    job = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    world.begin()
    with pytest.raises(TrainingError, match="every simulation job died"):
        world.step(STAND)
    _, said = job.communicate(timeout=20)
    assert job.returncode == 1
    assert "Timeout" in said
    world.close()


def test_messages_come_out_as_they_went_in():
    last = {2: np.ones(3, np.float32)}
    moment = Moment(
        np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(2, np.float32), np.array([True, False]), last,
        (Episode(1.5, 7, 0.5),),
    )  # fmt: skip
    found = unpack_answer(pack_moment(moment))
    assert np.array_equal(found.observations, moment.observations)
    assert (found.ended.tolist(), found.episodes) == ([True, False], moment.episodes)
    assert np.array_equal(found.last[2], last[2])
    assert str(unpack_answer(pack("error", why="no"))) == "no"
    for bad in (b"", b"\xff", pack("moment"), pack("begun", x=1), pack("begun", observations=np.array(["a"], "U1"))):
        with pytest.raises(OSError, match="not a message of ours"):
            unpack_answer(bad)


def test_an_application_keeps_its_secret_until_it_is_deleted(tmp_path):
    place = str(tmp_path / "app")
    first = apps.create(place, TASK, {"moving": True})
    assert apps.create(place, TASK, {"moving": True}) == first == apps.load(place)
    assert apps.create(place, TASK, {}).token != first.token
    assert Path(place).stat().st_mode & 0o077 == 0
    apps.delete(place)
    apps.delete(place)
    with pytest.raises(DataError, match=r"is no simulation application \(app.json is missing\)"):
        apps.load(place)


def test_a_job_without_a_learner_gives_up(place):
    with pytest.raises(TrainingError, match="no learner came within 1 s"):
        simulate(place, wait_seconds=1.0)
