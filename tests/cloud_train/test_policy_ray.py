"""RLlib trains policies like the engine local: its jobs may die, simulations may run elsewhere, a search tries more."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brokers import until

from cloud_train.__main__ import main
from cloud_train.recordings import DataError
from cloud_train.rl.evaluate import greedy
from cloud_train.rl.export import export
from cloud_train.rl.follow_target import FollowTarget
from cloud_train.rl.object_tracker import ObjectTracker
from cloud_train.rl.rllink import Address
from cloud_train.rl.search import Range, Search, Trial, command, parse
from cloud_train.rl.settings import FAST, Settings
from cloud_train.rl.tasks import TaskError
from cloud_train.rl.train import PolicyRun, Wanted
from edge.check import check

pytest.importorskip("torch", reason="RLlib needs PyTorch: pip install torch (`make test` does)")
TASK = "FollowTarget-v0"
TINY = replace(FAST, rollout=512, minibatch=128, epochs=2, simulations=4)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # RLlib and PyTorch give many


@pytest.fixture(scope="module")
def ray():
    """One cluster for all: it takes longer to start than a test."""
    from cloud_train.parallel import ray_of_our_own

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # the jobs import `traps`
        with ray_of_our_own(processors=3) as found:
            yield found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # Ray leaves its processes to it; not in another test


@pytest.fixture
def ports():
    """The first of two free ports in a row."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port


def updates_of(run):
    return [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("ray")
def test_training_goes_on_when_a_job_is_killed_and_once_more_from_its_checkpoint(tmp_path, monkeypatch):
    from cloud_train.rl import rllib

    monkeypatch.setattr(rllib, "SAVE_SECONDS", 0.0)
    killed = []

    def kill(algorithm):
        runner = algorithm.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)[0]
        os.kill(runner, signal.SIGKILL)
        killed.append(runner)

    wanted = Wanted(TASK, TINY, 300.0, jobs=2)
    progress = rllib.Progress(wanted.identity)
    with rllib._algorithm(wanted, tmp_path, None, 60.0) as algorithm:
        for _ in rllib.updates(wanted, tmp_path, progress, algorithm):
            if progress.updates == 2 and not killed:
                kill(algorithm)
            if progress.restarts == 1 and progress.updates > 4 and progress.episodes > 60:
                break
    assert progress.restarts == 1
    steps = progress.steps
    assert steps >= 5 * 512

    run = rllib.train(replace(wanted, budget_seconds=progress.seconds + 0.5), tmp_path)
    assert run.steps > steps
    assert run == PolicyRun.load(tmp_path)
    assert [point["steps"] for point in updates_of(tmp_path)][-1] == run.steps
    bundle = export(run, tmp_path / "bundle", episodes=5, observations=500)
    assert all(step.ok for step in check(bundle.path))
    assert bundle.manifest.metrics["policy"]["compared"][0]["agreement"] == 1.0


@pytest.mark.parametrize("task", [FollowTarget, ObjectTracker])
def test_the_network_is_rebuilt_as_rllib_has_it(task):
    import torch
    from ray.rllib.core import Columns

    from cloud_train.rl import rllib
    from cloud_train.rl.tasks import TASKS, make

    name = next(name for name, (where, _) in TASKS.items() if where.endswith(task.__name__))
    env = rllib.Scaled(make(name))
    config = rllib.configured(Wanted(name, Settings(), 1.0)).environment(
        observation_space=env.observation_space, action_space=env.action_space
    )
    module = config.get_rl_module_spec().build()
    seen = np.stack([env.reset(seed=k)[0] for k in range(3)]).astype(np.float32)
    theirs = module.forward_inference({Columns.OBS: torch.from_numpy(seen)})[Columns.ACTION_DIST_INPUTS]
    interface = task.interface
    shown = seen * 255 if interface.picture is not None else seen
    ours = rllib.rebuilt(module.get_state(), interface)(shown).numpy()
    assert ours == pytest.approx(theirs.detach().numpy()[:, : ours.shape[1]], abs=1e-4)
    assert greedy(interface, rllib.rebuilt(module.get_state(), interface))(shown[0]) is not None


@pytest.mark.usefixtures("ray")
def test_what_is_wrong_with_an_environment_is_said(tmp_path):
    from cloud_train.rl import rllib

    with pytest.raises(TaskError, match=r"Unfit-v0: the reward is nan, in step 3 of an episode"):
        rllib.train(Wanted("traps:Unfit-v0", TINY, 60.0, jobs=1), tmp_path)


@pytest.fixture
def place(ports):
    """A place with the learner's side in our hands, and what a simulation says to it."""
    from ray.rllib.env.external.rllink import RLlink, get_rllink_message, send_rllink_message

    from cloud_train.rl import rllib
    from cloud_train.rl.runners import Place

    wanted = Wanted(TASK, TINY, 1.0, jobs=2)
    made = Place(config=rllib.configured(wanted, Address("127.0.0.1", ports), hang_seconds=1.0), worker_index=1)
    connections = []

    def simulation():
        assert until(lambda: made.server_socket, 5)
        connections.append(socket.create_connection(("127.0.0.1", ports), 5))
        assert until(lambda: made._connected, 5)

        def say(kind, *, answered=True, **body):
            send_rllink_message(connections[-1], {"type": kind, **body})
            return get_rllink_message(connections[-1])[1] if answered else None

        assert say(RLlink.PING.name) == {}
        return say

    yield made, simulation
    for connection in connections:
        connection.close()
    made.stop()


def test_a_place_is_well_while_a_simulation_is_connected(place):
    made, simulation = place
    with pytest.raises(ConnectionError, match="no simulation is connected"):
        made.ping()
    with pytest.raises(ConnectionError, match="has no weights yet"):
        made.sample()
    simulation()
    assert made.ping() == "pong"


def test_a_simulation_gets_weights_once_the_learner_has_given_them(place):
    made, simulation = place
    say, answers = simulation(), []
    asking = threading.Thread(target=lambda: answers.append(say("GET_STATE")))
    asking.start()
    assert until(lambda: made._blocked_on_state, 5)
    assert answers == []
    made.set_state({"rl_module": made.module.get_state()})
    asking.join(5)
    assert sorted(answers[0]["state"]["rl_module"]) == sorted(made.module.get_state())


@pytest.mark.parametrize("how", ["hangs", "nonsense"])
def test_a_simulation_that_does_not_do_its_part_loses_its_place(place, how):
    made, simulation = place
    say = simulation()
    made.set_state({"rl_module": made.module.get_state()})
    if how == "nonsense":
        say("EPISODES", answered=False, episodes=[{"observations": "none"}])
    with pytest.raises(ConnectionError):
        made.sample()
    assert until(lambda: made.report().lost == 1, 5)
    simulation()
    assert made.ping() == "pong"


def rl(*arguments):
    command = [sys.executable, "-m", "cloud_train", "rl", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.by_hand  # five processes that load PyTorch or TensorFlow, three times over: minutes, on two cores many
@pytest.mark.timeout(900)
def test_simulations_elsewhere_may_leave_and_so_may_the_learner(ports, tmp_path):
    tiny = ["--rollout", 512, "--minibatch", 128, "--epochs", 2, "--simulations", 4, "--jobs", 2]
    out = tmp_path / "run"

    def learner(budget):
        return rl(
            "train", "--env", TASK, "--engine", "ray", "--external", ports, *tiny, "--budget", budget, "--out", out
        )

    def simulator(k):
        return rl("simulate", "--env", TASK, "--learner", f"127.0.0.1:{ports + k}", "--seed", k, "--patience", 90)

    def progress():
        return json.loads((out / "progress.json").read_text()) if (out / "progress.json").exists() else {}

    with contextlib.ExitStack() as ended:

        def start(process):
            ended.callback(process.wait)
            ended.callback(process.kill)
            return process

        first, there, stays = start(learner(600)), start(simulator(0)), start(simulator(1))
        assert until(lambda: progress().get("steps", 0) >= 512, 200), progress()
        there.kill()
        assert until(lambda: progress()["restarts"] == 1, 100), progress()
        alone = progress()["steps"]
        assert until(lambda: progress()["steps"] > alone, 100), "the other goes on"
        back = start(simulator(0))
        assert until(lambda: progress()["steps"] > alone + 1024, 100)
        first.kill()
        killed_at = progress()
        second = start(learner(killed_at["seconds"] + 3))
        assert second.wait(200) == 0, second.stdout.read()
        run = PolicyRun.load(out)
        assert run.steps > killed_at["steps"]
        assert run.restarts >= 1
        assert (stays.poll(), back.poll()) == (None, None)
        served = 0
        for simulation in (stays, back):
            simulation.send_signal(signal.SIGTERM)
            told, _ = simulation.communicate(timeout=30)
            assert simulation.returncode == 0, told
            served += told.count("simulates for it")
        assert served >= 3, "both the first learner, one of them at least the second"


def test_a_simulator_says_that_there_is_no_learner(ports, capsys):
    assert main(["rl", "simulate", "--env", TASK, "--learner", f"127.0.0.1:{ports}", "--patience", "0.5"]) == 1
    assert f"no learner answered at 127.0.0.1:{ports} in 0 s" in capsys.readouterr().err


@pytest.mark.usefixtures("ray")
def test_a_search_tries_the_defaults_and_more_and_goes_on(tmp_path, capsys):
    out = tmp_path / "search"
    arguments = ["rl", "search", "--env", TASK, "--trials", "2", "--budget", "1.5", "--episodes", "3", "--jobs", "2"]
    arguments += ["--param", "learning_rate=1e-4..1e-2", "--param", "minibatch=64,256", "--out", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    found = json.loads((out / "search.json").read_text())["trials"]
    assert len(found) == 2
    assert {"learning_rate": 1e-3, "minibatch": 256} in [trial["settings"] for trial in found]
    assert found[0]["mean"] > found[1]["mean"]
    best = found[0]["settings"]
    assert f"--learning-rate {best['learning_rate']} --minibatch {best['minibatch']}" in said.splitlines()[-1]
    assert main(arguments) == 0  # nothing is tried again
    assert json.loads((out / "search.json").read_text())["trials"] == found
    assert main([*arguments, "--seed", "5"]) == 2
    assert "holds another search" in capsys.readouterr().err


def test_ranges_of_hyperparameters_are_read():
    assert parse("learning_rate=1e-4..1e-2") == ("learning_rate", Range(1e-4, 1e-2))
    assert parse("learning_rate=1e-4..1e-2")[1].logarithmic
    assert not parse("entropy=0..0.1")[1].logarithmic
    assert parse("minibatch=64,256") == ("minibatch", [64, 256])
    for wrong in ("speed=1..2", "epochs=2..1", "epochs=1..2..3", "epochs=", "epochs=a,b"):
        with pytest.raises(DataError):
            parse(wrong)
    wanted = Search("FollowEvent-v0", {}, 1, 20.0, options={"hard": True})
    assert command(wanted, Trial({"learning_rate": 2e-05, "minibatch": 64}), "run") == (
        "touchline-train rl train --env FollowEvent-v0 --option hard=true --learning-rate 2e-05 --minibatch 64"
        " --budget 20 --out run"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--external", "5555"], "--external: simulation jobs connect to the engine ray; add --engine ray"),
        (["--external", "nowhere"], "'nowhere' is not HOST:PORT"),
        (["--engine", "ray", "--jobs", "3"], "8 simulations cannot be shared by 3 jobs"),
        (["--engine", "ray", "--external", "5555", "--jobs", "8", "--minibatch", "512"], "more than the 256 steps"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, capsys, arguments, said):
    with contextlib.suppress(SystemExit):
        assert main(["rl", "train", "--env", TASK, "--out", str(tmp_path), *arguments]) == 2
    assert said in capsys.readouterr().err
