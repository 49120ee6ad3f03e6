"""Train a policy by RLlib's PPO: simulation jobs are its environment runners, on this machine or on a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cloud_train import stop
from cloud_train.atomic import write_atomically
from cloud_train.parallel import ray_of_our_own
from cloud_train.progress import console
from cloud_train.provenance import git_commit
from cloud_train.recordings import DataError, TrainingError

from .interface import Interface
from .networks import HIDDEN, policy_network
from .progress import WINDOW, Progress, write_curve
from .rllink import Address, Scaled, needed
from .tasks import TaskError, make
from .train import POLICY, SAVE_SECONDS, PolicyRun, Wanted, best_so_far, keep_policy, levels, note, said

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ray.rllib.algorithms import Algorithm
    from ray.rllib.algorithms.ppo import PPOConfig

    from .runners import Report

STATE, PROGRESS = "rllib", "progress.json"
CONVOLUTIONS = [[16, [8, 8], 4], [32, [4, 4], 2], [32, [3, 3], 2]]
"""Those of `networks`, as RLlib writes them: filters, size, stride."""
JOBS = 2
HANG_SECONDS = 60.0
"""A job that gives no steps for so long hangs."""
PATIENCE_SECONDS = 300.0
"""How long the learner waits where no job at all gives steps."""


def train(
    wanted: Wanted, folder: Path, *, external: Address | None = None, hang_seconds: float = HANG_SECONDS
) -> PolicyRun:
    """Train until the budget is spent; the files of the run are those of the engine `local`.

    A simulation job that dies or hangs is started anew by RLlib, and counted. With `external` the jobs are started by
    somebody else and connect to that address, each to a port of its own: the given one and those after it.

    Stopped where a stop was asked for; run again, it goes on from its checkpoint.
    """
    progress = _progress(wanted, folder)
    with _algorithm(wanted, folder, external, hang_seconds) as algorithm:
        if external is not None:
            last = external.port + (wanted.jobs or JOBS) - 1
            console.print(f"simulation jobs connect to {external} up to port {last}", highlight=False)
        for _ in updates(wanted, folder, progress, algorithm):
            pass
    run = PolicyRun(
        folder, wanted.task, "ray", wanted.settings, progress.steps, progress.seconds, progress.episodes,
        progress.best, dict(wanted.options), progress.restarts, progress.dropped, git_commit(),
    )  # fmt: skip
    run.save()
    return run


def configured(wanted: Wanted, external: Address | None = None, hang_seconds: float = HANG_SECONDS) -> PPOConfig:
    """Say to RLlib what `Settings` say; its clip stays as it is, and rewards are not scaled."""
    with needed():
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
        from ray.tune.registry import register_env

        from .runners import Runner
    settings, options, jobs = wanted.settings, dict(wanted.options), wanted.jobs or JOBS
    if settings.simulations % jobs:
        msg = f"{settings.simulations} simulations cannot be shared by {jobs} jobs; make their number a multiple"
        raise DataError(msg)
    register_env(wanted.task, lambda _context: Scaled(make(wanted.task, **options)))
    network: dict[str, Any] = {"fcnet_hiddens": [HIDDEN, HIDDEN], "fcnet_activation": "tanh"}
    if _interface(wanted).picture is not None:
        network = {"conv_filters": CONVOLUTIONS, "head_fcnet_hiddens": [HIDDEN], "head_fcnet_activation": "relu"}
    config: PPOConfig = (
        PPOConfig()
        .environment(wanted.task)
        .env_runners(
            env_runner_cls=Runner, num_env_runners=jobs, num_envs_per_env_runner=settings.simulations // jobs,
            sample_timeout_s=hang_seconds,
        )
        .learners(num_learners=0)
        .training(
            lr=settings.learning_rate, gamma=settings.discount, lambda_=settings.trace, clip_param=settings.clip,
            num_epochs=settings.epochs, minibatch_size=settings.minibatch, entropy_coeff=settings.entropy,
            train_batch_size_per_learner=settings.rollout, vf_loss_coeff=0.5, grad_clip=0.5,
            use_kl_loss=False, vf_clip_param=1e9,
        )
        .rl_module(model_config=DefaultModelConfig(vf_share_layers=False, **network))
        .fault_tolerance(restart_failed_env_runners=True, delay_between_env_runner_restarts_s=1)
        .reporting(metrics_num_episodes_for_smoothing=WINDOW)
        .debugging(seed=settings.seed, log_level="ERROR")
    )  # fmt: skip
    return config if external is None else _served(config, wanted, external, hang_seconds)


def _served(config: PPOConfig, wanted: Wanted, external: Address, hang_seconds: float) -> PPOConfig:
    """Let simulations connect instead; each sends its share of a rollout, and whoever is there is learnt from."""
    from .runners import Place

    steps = wanted.settings.rollout // config.num_env_runners
    if wanted.settings.minibatch > steps:
        msg = f"minibatch: is {wanted.settings.minibatch}, more than the {steps} steps that one of the jobs gathers"
        raise DataError(msg)
    env = Scaled(make(wanted.task, **wanted.options))
    served: PPOConfig = (
        config.environment(
            observation_space=env.observation_space,
            action_space=env.action_space,
            env_config={**external._asdict(), "steps": steps, "hang_seconds": hang_seconds},
        )
        # RLlib samples until the batch is full: one job's share is enough, where the others are gone.
        .training(train_batch_size_per_learner=steps)
        .env_runners(
            env_runner_cls=Place,
            create_local_env_runner=False,
            sample_timeout_s=2 * hang_seconds,
            merge_env_runner_states=False,
            broadcast_env_runner_states=False,
        )
    )
    return served


def rebuilt(state: Mapping[str, NDArray[np.float32]], interface: Interface) -> keras.Model:
    """Make the Keras network of an RLlib module's weights, so that it is exported like any other."""
    network = policy_network(interface, 0)
    kept = [name for name in state if name.startswith(("encoder.actor_encoder.", "pi.net."))]
    weights = [np.asarray(state[name]) for name in kept if name.endswith("weight")]
    biases = [np.asarray(state[name]) for name in kept if name.endswith("bias")]
    layers = [layer for layer in network.layers if layer.weights]
    for layer, weight, bias in zip(layers, weights, biases, strict=True):
        if weight.ndim == 4:
            layer.set_weights([weight.transpose(2, 3, 1, 0), bias])
        else:  # without a table of actions RLlib's last layer gives the deviations too, after the means
            layer.set_weights([weight.T[:, : layer.units], bias[: layer.units]])
    return network


def _interface(wanted: Wanted) -> Interface:
    env = make(wanted.task, **wanted.options)
    env.close()
    return env.interface


def _progress(wanted: Wanted, folder: Path) -> Progress:
    import msgspec

    if not (folder / PROGRESS).is_file():
        if (folder / "checkpoint.npz").is_file():
            msg = f"{folder}: holds a training by the engine local; name another folder, or remove this one"
            raise DataError(msg)
        return Progress(wanted.identity)
    progress = msgspec.json.decode((folder / PROGRESS).read_bytes(), type=Progress)
    if progress.identity != wanted.identity:
        msg = f"{folder}: holds a training begun with other settings or data; name another folder, or remove this one"
        raise DataError(msg)
    return progress


@contextlib.contextmanager
def _algorithm(wanted: Wanted, folder: Path, external: Address | None, hang_seconds: float) -> Iterator[Algorithm]:
    config = configured(wanted, external, hang_seconds)
    folder.mkdir(parents=True, exist_ok=True)
    with ray_of_our_own(processors=(wanted.jobs or JOBS) + 1):
        if external is not None:
            _look_for_room(external, config.num_env_runners)
        logging.getLogger("ray.rllib").setLevel(logging.CRITICAL)  # what befalls jobs is said by us
        algorithm = config.build_algo()
        try:
            if (folder / STATE).is_dir():
                algorithm.restore_from_path(str((folder / STATE).resolve()))
            yield algorithm
        finally:
            algorithm.stop()


def _look_for_room(external: Address, jobs: int) -> None:
    """Refuse ports that are taken; those of a learner that was just killed become free in a moment."""
    for port in range(external.port, external.port + jobs):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_server((external.host, port)).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    msg = f"--external {external}: port {port} cannot be had ({str(error.strerror).lower()})"
                    raise DataError(msg) from None
                time.sleep(0.5)


def updates(wanted: Wanted, folder: Path, progress: Progress, algorithm: Algorithm) -> Iterator[None]:
    """Update the policy until the budget is spent; before each yield, `progress` and the folder say how far it is."""
    interface, shown, jobs = _interface(wanted), levels(wanted), Watch(algorithm, progress, wanted.restart_budget)
    kept = learnt = time.monotonic()
    with console.status("") as line:
        while progress.seconds < wanted.budget_seconds:
            began = time.monotonic()
            found = algorithm.train()
            jobs.look()
            if found.get("learners"):
                learnt = time.monotonic()
                _note(progress, found, learnt - began)
                line.update(said(progress, wanted.budget_seconds))
                if progress.episodes >= WINDOW and best_so_far(progress, least=1):
                    keep_policy(folder, rebuilt(_weights(algorithm), interface))
            elif time.monotonic() - learnt > PATIENCE_SECONDS:
                msg = f"no simulation job gave a step in {PATIENCE_SECONDS:.0f} s"
                raise TrainingError(msg)
            else:
                line.update("waits for simulation jobs")
                time.sleep(0.2)
            over = progress.seconds >= wanted.budget_seconds or stop.requested()
            if progress.updates and (over or time.monotonic() - kept > SAVE_SECONDS):
                kept = time.monotonic()
                _save(folder, progress, algorithm)
                write_curve(folder, progress.curve, shown, wanted.task)
            if stop.requested():
                msg = f"{folder}: stopped after {progress.steps} steps and saved; run again, it goes on"
                raise stop.Stopped(msg)
            yield
    if not (folder / POLICY).is_file():  # too few episodes to tell the best
        keep_policy(folder, rebuilt(_weights(algorithm), interface))
    console.print(said(progress, wanted.budget_seconds), highlight=False)


class Watch:
    """Looks after the simulation jobs of an algorithm, and counts in `progress` those that were lost."""

    def __init__(self, algorithm: Algorithm, progress: Progress, budget: int) -> None:
        assert algorithm.env_runner_group is not None
        assert algorithm.config is not None
        self._group, self._progress, self._budget = algorithm.env_runner_group, progress, budget
        self._restarts, self._dropped = progress.restarts, progress.dropped
        self._external = not algorithm.config.create_local_env_runner
        self._timed_out, self._healthy = 0, self._group.num_remote_workers()

    def look(self) -> None:
        """Raise TaskError where an environment is unfit, TrainingError where jobs die too often; end what hangs."""
        group, progress, before = self._group, self._progress, self._progress.restarts
        healthy, self._healthy = self._healthy, group.num_healthy_remote_workers()
        if self._external or self._healthy < healthy:  # one that is being started anew answers late: ask once
            reports: list[Report] = group.foreach_env_runner(
                "report", local_env_runner=False, healthy_only=False, timeout_seconds=5
            )
            for report in reports:
                if report.wrong:
                    raise TaskError(report.wrong)
            if self._external:
                progress.restarts = max(before, self._restarts + sum(report.lost for report in reports))
                progress.dropped = max(progress.dropped, self._dropped + sum(report.dropped for report in reports))
        if not self._external:
            self._end_what_hangs()
            progress.restarts = self._restarts + group.num_remote_worker_restarts()
            if progress.restarts > self._budget:
                msg = f"simulation jobs died {progress.restarts} times, {self._budget} are allowed"
                raise TrainingError(msg)
        if progress.restarts > before:
            news = "left; the others go on, and it may come back" if self._external else "was gone, and is started anew"
            console.print(f"a simulation job {news}", highlight=False)

    def _end_what_hangs(self) -> None:
        """End the process of a job that gave nothing in time, so that RLlib starts another."""
        import ray

        if self._group.num_env_runners_dropped_lifetime() == self._timed_out:
            return
        self._timed_out = self._group.num_env_runners_dropped_lifetime()
        manager = self._group._worker_manager  # noqa: SLF001 - RLlib has no public way to one of its jobs
        asked = {k: manager.actors()[k].ping.remote() for k in manager.healthy_actor_ids()}
        answered, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=2)
        for k, question in asked.items():
            if question not in answered:
                ray.kill(manager.actors()[k], no_restart=False)


def _note(progress: Progress, found: dict[str, Any], seconds: float) -> None:
    runners, learnt = found["env_runners"], found["learners"]["default_policy"]
    progress.updates += 1
    progress.steps += int(runners["num_env_steps_sampled"])
    progress.episodes += int(runners.get("num_episodes", 0))
    progress.seconds += seconds
    mean = runners.get("episode_return_mean")
    progress.recent = [(float(mean), None)] if mean is not None and np.isfinite(mean) else []
    measured = {name: float(learnt[key]) for name, key in MEASURED.items()}
    if not all(map(np.isfinite, measured.values())):
        msg = f"the training's losses are no numbers any more ({measured}); try a smaller learning rate"
        raise TrainingError(msg)
    note(progress, measured)


MEASURED = {"policy loss": "policy_loss", "value loss": "vf_loss", "entropy": "entropy"}


def _weights(algorithm: Algorithm) -> dict[str, NDArray[np.float32]]:
    assert algorithm.learner_group is not None
    state = algorithm.learner_group.get_state(components="learner/rl_module")
    found: dict[str, NDArray[np.float32]] = state["learner"]["rl_module"]["default_policy"]
    return found


def _save(folder: Path, progress: Progress, algorithm: Algorithm) -> None:
    """Write RLlib's state beside the old one, then put it in its place; last, how far it is."""
    import msgspec

    scratch = folder / f".{STATE}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    algorithm.save_to_path(str(scratch.resolve()))
    shutil.rmtree(folder / STATE, ignore_errors=True)
    scratch.rename(folder / STATE)
    write_atomically(folder / PROGRESS, msgspec.json.encode(progress))
