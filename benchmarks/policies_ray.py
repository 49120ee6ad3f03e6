"""The engine `ray` beside RLlib's own way on the same task and settings: steps a second, in turn on one cluster."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from measure import machine, machine_line, table, take_turns, write_json

from cloud_train.backend import load_tensorflow

if TYPE_CHECKING:
    from ray.rllib.algorithms import Algorithm

TASK = "FollowTarget-v0"
JOBS, ROUNDS = 2, 10


def own_example() -> Algorithm:
    """Give RLlib's algorithm as its examples make one: a configuration, `build_algo`; our task as it is, unwatched."""
    import gymnasium
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.tune.registry import register_env

    from cloud_train.rl.follow_target import FollowTarget
    from cloud_train.rl.settings import FAST

    register_env("follow", lambda _context: gymnasium.wrappers.TimeLimit(FollowTarget(), 200))
    return (
        PPOConfig()
        .environment("follow")
        .env_runners(num_env_runners=JOBS, num_envs_per_env_runner=FAST.simulations // JOBS)
        .training(
            lr=FAST.learning_rate, gamma=FAST.discount, lambda_=FAST.trace, clip_param=FAST.clip,
            num_epochs=FAST.epochs, minibatch_size=FAST.minibatch, train_batch_size_per_learner=FAST.rollout,
            entropy_coeff=FAST.entropy, vf_loss_coeff=0.5, grad_clip=0.5, use_kl_loss=False, vf_clip_param=1e9,
        )
        .rl_module(
            model_config=DefaultModelConfig(vf_share_layers=False, fcnet_hiddens=[64, 64], fcnet_activation="tanh")
        )
        .debugging(seed=0)
        .build_algo()
    )  # fmt: skip


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: policies_ray.py --json f.json")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"updates of each (default: {ROUNDS})")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    found = machine()
    load_tensorflow()
    from cloud_train.parallel import ray_of_our_own
    from cloud_train.rl import rllib
    from cloud_train.rl.progress import Progress
    from cloud_train.rl.settings import FAST
    from cloud_train.rl.train import Wanted

    wanted = Wanted(TASK, FAST, 1e9, jobs=JOBS)
    with tempfile.TemporaryDirectory() as folder, ray_of_our_own(processors=2 * (JOBS + 1)):
        ours, theirs = rllib.configured(wanted).build_algo(), own_example()
        updates = rllib.updates(wanted, Path(folder), Progress(wanted.identity), ours)
        costs = take_turns({"engine ray": lambda: next(updates), "RLlib alone": theirs.train}, arguments.rounds)
        updates.close()
        theirs.stop()
        ours.stop()
    rates = {name: [1000 * FAST.rollout / cost.wall_ms for cost in each] for name, each in costs.items()}
    ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
    print(table(["", "steps a second"], [[name, f"{statistics.median(each):.0f}"] for name, each in rates.items()]))
    print(f"engine ray / RLlib alone, median of {arguments.rounds} rounds: {ratio:.3f}")
    print(machine_line(found))
    write_json(arguments.json, {"steps_a_second": rates, "ratio": ratio, "machine": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
