"""Policies: our PPO beside Stable-Baselines3's, the camera's pictures a second, and what a decision takes."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, machine_line, median, table, take_turns, write_json

from cloud_train.backend import load_tensorflow

TASK = "FollowTarget-v0"


def ours(updates: int) -> Callable[[], None]:
    """Give a function that gathers and updates `updates` times."""
    from cloud_train.rl.gather import Gatherer, RewardScale
    from cloud_train.rl.ppo import Learner
    from cloud_train.rl.settings import FAST
    from cloud_train.rl.simulations import Simulations
    from cloud_train.rl.tasks import maker

    make = maker(TASK)
    learner = Learner(make().interface, FAST)
    gatherer = Gatherer(Simulations(make, FAST.simulations, 0), learner, RewardScale())

    def work() -> None:
        for _ in range(updates):
            batch, _ = gatherer.gather(FAST.rollout // FAST.simulations)
            learner.update(batch, FAST.clip)

    return work


def baselines3(updates: int) -> Callable[[], None]:
    """Give one that does the same by Stable-Baselines3's PPO: same environments, network and settings."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from cloud_train.rl.settings import FAST
    from cloud_train.rl.tasks import maker

    torch.set_num_threads(2)
    model = PPO(
        "MlpPolicy", DummyVecEnv([maker(TASK)] * FAST.simulations), n_steps=FAST.rollout // FAST.simulations,
        batch_size=FAST.minibatch, n_epochs=FAST.epochs, learning_rate=FAST.learning_rate, gamma=FAST.discount,
        gae_lambda=FAST.trace, clip_range=FAST.clip, max_grad_norm=0.5, device="cpu", seed=0,
    )  # fmt: skip

    def work() -> None:
        model.learn(updates * FAST.rollout, reset_num_timesteps=False)

    return work


def camera(count: int) -> dict[str, float]:
    """Draw pictures, and make observations of them; each a second of processor time, by one thread."""
    import cv2

    from cloud_train.rl.drive import Pose
    from cloud_train.rl.object_tracker import ObjectTracker
    from cloud_train.rl.scene import camera_picture

    cv2.setNumThreads(1)
    see = ObjectTracker.interface.see

    def drawn(k: int) -> Any:  # noqa: ANN401 - an array
        return camera_picture(Pose(3 * k / count, 0.0, 0.001 * k), Pose(4.0, 0.3, 0.01 * k))

    drawing = seeing = 0.0
    for k in range(count):
        began = time.process_time()
        picture = drawn(k)
        done = time.process_time()
        see(picture)
        drawing, seeing = drawing + done - began, seeing + time.process_time() - done
    return {"pictures a second": round(count / drawing), "observations a second": round(count / (drawing + seeing))}


def decisions(count: int) -> dict[str, float]:
    """Decide as the device does, through `edge.policy`, with networks of untrained weights; µs a call, one thread."""
    from cloud_train.convert import float_tflite, save_frozen
    from cloud_train.rl.export import on_robot
    from cloud_train.rl.networks import policy_network
    from cloud_train.rl.tasks import make
    from edge.manifest import PolicySpec
    from edge.policy import action
    from edge.tflite import TfliteModel

    found = {}
    for task in (TASK, "ObjectTracker-v0"):
        env = make(task)
        interface, (observation, _) = env.interface, env.reset(seed=0)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "policy.tflite"
            save_frozen(on_robot(policy_network(interface, 0), interface), Path(folder) / "saved")
            file.write_bytes(float_tflite(Path(folder) / "saved"))
            model = TfliteModel(file, threads=1)
        spec = PolicySpec(
            file.name, model.input, model.output, interface.actions, interface.picture, interface.vector,
            interface.limits,
        )  # fmt: skip
        took = []
        for _ in range(count):
            began = time.perf_counter()
            action(model(observation[None])[0], spec)
            took.append(time.perf_counter() - began)
        found[task] = round(1e6 * float(np.median(took)), 1)
    return found


def minute(seconds: float, episodes: int) -> dict[str, Any]:
    """Train the vector policy for so long; its return, and the controller's, over the same episodes."""
    import keras

    from cloud_train.rl.baselines import CONTROLLERS
    from cloud_train.rl.evaluate import greedy, judge
    from cloud_train.rl.settings import FAST
    from cloud_train.rl.tasks import maker
    from cloud_train.rl.train import Wanted, train

    make = maker(TASK)
    with tempfile.TemporaryDirectory() as folder:
        run = train(Wanted(TASK, FAST, seconds), Path(folder))
        network: keras.Model = run.policy()
        act = greedy(make().interface, lambda one: network(one).numpy())
        policy = judge(make, lambda _seed: act, episodes)
    controller = judge(make, lambda _seed: CONTROLLERS[TASK](), episodes)
    return {
        "seconds": seconds, "steps": run.steps, "policy": policy.mean, "policy_ci95": policy.ci95,
        "controller": controller.mean, "controller_ci95": controller.ci95,
    }  # fmt: skip


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python benchmarks/policies.py --rounds 5")
    parser.add_argument("--rounds", type=int, default=5, help="that the two engines take turns (default: 5)")
    parser.add_argument("--updates", type=int, default=5, help="a round, of 2,048 steps each (default: 5)")
    parser.add_argument("--alone", action="store_true", help="without Stable-Baselines3, where it is not installed")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training before it is judged (default: 60)")
    parser.add_argument("--episodes", type=int, default=100, help="to judge on (default: 100)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    where = machine()
    load_tensorflow()
    from cloud_train.rl.settings import FAST

    contestants = {"ours": ours(arguments.updates)}
    if not arguments.alone:
        contestants["Stable-Baselines3"] = baselines3(arguments.updates)
    turns = take_turns(contestants, arguments.rounds)
    steps = arguments.updates * FAST.rollout
    speed = {name: round(1000 * steps / median(costs).wall_ms) for name, costs in turns.items()}
    found: dict[str, Any] = {"steps_a_second": speed, **camera(3000), "decision_us": decisions(2000)}
    found["trained"] = minute(arguments.seconds, arguments.episodes)
    print(f"{machine_line(where)}\n")
    rows = [*((f"{name}: steps a second, {TASK}", rate) for name, rate in speed.items())]
    rows += [(f"camera: {what}", found[what]) for what in ("pictures a second", "observations a second")]
    rows += [(f"decision: µs, {task}", took) for task, took in found["decision_us"].items()]
    rows += [
        (f"return after {arguments.seconds:.0f} s of training", f"{found['trained']['policy']:.1f}"),
        ("return of the controller made by hand", f"{found['trained']['controller']:.1f}"),
    ]
    print(table(["what", "figure"], rows))
    write_json(arguments.json, {"machine": where, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
