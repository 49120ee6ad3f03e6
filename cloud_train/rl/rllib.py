"""Train a policy by RLlib's PPO: simulation jobs are its environment runners, on this machine or on a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cloud_train import stop
from cloud_train.atomic import write_atomically
from cloud_train.parallel import ray_cluster
from cloud_train.progress import console
from cloud_train.provenance import git_commit
from cloud_train.recordings import DataError, TrainingError

from .interface import Interface
from .networks import HIDDEN, policy_network
from .progress import Progress, write_curve
from .tasks import Watched, make
from .train import SAVE_SECONDS, PolicyRun, Wanted, best_so_far, keep_policy, levels, note, said

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ray.rllib.algorithms import Algorithm
    from ray.rllib.algorithms.ppo import PPOConfig

STATE, PROGRESS = "rllib", "progress.json"
CONVOLUTIONS = [[16, [8, 8], 4], [32, [4, 4], 2], [32, [3, 3], 2]]
"""Those of `networks`, as RLlib writes them: filters, size, stride."""
JOBS = 2


class Scaled:
    """Gives RLlib pictures of 0 to 1, as its networks have no first layer that does it."""

    def __new__(cls, env: Watched) -> Any:  # noqa: ANN401 - a wrapper of gymnasium's
        """Wrap an environment that sees pictures; any other stays as it is."""
        import gymnasium

        if env.interface.picture is None:
            return env
        space = gymnasium.spaces.Box(0.0, 1.0, env.interface.observation_shape)
        return gymnasium.wrappers.TransformObservation(env, lambda seen: np.minimum(seen / 255, 1.0), space)


def train(wanted: Wanted, folder: Path) -> PolicyRun:
    """Train until the budget is spent; the files of the run are those of the engine `local`.

    A simulation job that dies is restarted by RLlib, and counted. Stopped where a stop was asked for; run again, it
    goes on from its checkpoint.
    """
    progress = _progress(wanted, folder)
    with _algorithm(wanted, folder) as algorithm:
        _learn(wanted, folder, progress, algorithm)
    run = PolicyRun(
        folder, wanted.task, "ray", wanted.settings, progress.steps, progress.seconds, progress.episodes,
        progress.best, dict(wanted.options), progress.restarts, progress.dropped, git_commit(),
    )  # fmt: skip
    run.save()
    return run


def configured(wanted: Wanted) -> PPOConfig:
    """Say to RLlib what `Settings` say."""
    try:
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
        from ray.tune.registry import register_env
    except ImportError as error:
        msg = f"--engine ray needs RLlib and PyTorch ({error}): pip install 'touchline[rllib]' torch"
        raise DataError(msg) from None
    settings, options = wanted.settings, dict(wanted.options)
    register_env(wanted.task, lambda _context: Scaled(make(wanted.task, **options)))
    network: dict[str, Any] = {"fcnet_hiddens": [HIDDEN, HIDDEN], "fcnet_activation": "tanh"}
    if _interface(wanted).picture is not None:
        network = {"conv_filters": CONVOLUTIONS, "head_fcnet_hiddens": [HIDDEN], "head_fcnet_activation": "relu"}
    jobs = wanted.jobs or JOBS
    config: PPOConfig = (
        PPOConfig()
        .environment(wanted.task)
        .env_runners(num_env_runners=jobs, num_envs_per_env_runner=max(1, settings.simulations // jobs))
        .learners(num_learners=0)
        .training(
            lr=settings.learning_rate, gamma=settings.discount, lambda_=settings.trace, clip_param=settings.clip,
            num_epochs=settings.epochs, minibatch_size=settings.minibatch, entropy_coeff=settings.entropy,
            train_batch_size_per_learner=settings.rollout, vf_loss_coeff=0.5, grad_clip=0.5,
            use_kl_loss=False, vf_clip_param=1e9,
        )
        .rl_module(model_config=DefaultModelConfig(vf_share_layers=False, **network))
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=settings.seed, log_level="ERROR")
    )  # fmt: skip
    return config


def rebuilt(state: Mapping[str, NDArray[np.float32]], interface: Interface) -> keras.Model:
    """Make the Keras network of an RLlib module's weights, so that it is exported like any other."""
    network = policy_network(interface, 0)
    kept = [name for name in state if name.startswith(("encoder.actor_encoder.", "pi.net."))]
    weights = [np.asarray(state[name]) for name in kept if name.endswith("weight")]
    biases = [np.asarray(state[name]) for name in kept if name.endswith("bias")]
    layers = [layer for layer in network.layers if layer.weights]
    before = None
    for layer, torch_weight, torch_bias in zip(layers, weights, biases, strict=True):
        weight, bias = torch_weight, torch_bias
        if weight.ndim == 4:
            weight = weight.transpose(2, 3, 1, 0)
        else:
            if before is not None and before.ndim == 4:  # PyTorch flattens channels first, Keras last
                height, width, channels = _flattened(network, before.shape[-1])
                weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weight), -1)
            # Without a table of actions RLlib's last layer gives the deviations too, after the means.
            weight, bias = weight.T[:, : layer.units], bias[: layer.units]
        layer.set_weights([weight, bias])
        before = weight
    return network


def _flattened(network: keras.Model, channels: int) -> tuple[int, int, int]:
    flatten = next(layer for layer in network.layers if isinstance(layer, keras.layers.Flatten))
    _, height, width, _ = flatten.input.shape
    return height, width, channels


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
def _algorithm(wanted: Wanted, folder: Path) -> Iterator[Algorithm]:

    folder.mkdir(parents=True, exist_ok=True)
    ray = ray_cluster(processors=(wanted.jobs or JOBS) + 1)
    logging.getLogger("ray").setLevel(logging.ERROR)
    algorithm = configured(wanted).build_algo()
    if (folder / STATE).is_dir():
        algorithm.restore_from_path(str((folder / STATE).resolve()))
    try:
        yield algorithm
    finally:
        algorithm.stop()
        ray.shutdown()


def _learn(wanted: Wanted, folder: Path, progress: Progress, algorithm: Algorithm) -> None:
    interface, shown = _interface(wanted), levels(wanted)
    restarts = progress.restarts
    began = kept = time.monotonic()
    before = progress.seconds
    with console.status("") as line:
        while progress.seconds < wanted.budget_seconds:
            found = algorithm.train()
            runners = found["env_runners"]
            progress.updates += 1
            progress.steps += int(runners.get("num_env_steps_sampled", wanted.settings.rollout))
            progress.episodes += int(runners.get("num_episodes", 0))
            progress.seconds = before + time.monotonic() - began
            assert algorithm.env_runner_group is not None
            progress.restarts = restarts + algorithm.env_runner_group.num_remote_worker_restarts()
            if progress.restarts > wanted.restart_budget:
                msg = f"simulation jobs died {progress.restarts} times, {wanted.restart_budget} are allowed"
                raise TrainingError(msg)
            mean = runners.get("episode_return_mean")
            progress.recent = [(float(mean), None)] if mean is not None and np.isfinite(mean) else []
            learnt = found["learners"]["default_policy"]
            note(progress, {name: float(learnt[key]) for name, key in MEASURED.items()})
            line.update(said(progress, wanted.budget_seconds))
            if best_so_far(progress, least=1):
                keep_policy(folder, rebuilt(_weights(algorithm), interface))
            over = progress.seconds >= wanted.budget_seconds or stop.requested()
            if over or time.monotonic() - kept > SAVE_SECONDS:
                kept = time.monotonic()
                _save(folder, progress, algorithm)
                write_curve(folder, progress.curve, shown, wanted.task)
            if stop.requested():
                msg = f"{folder}: stopped after {progress.steps} steps and saved; run again, it goes on"
                raise stop.Stopped(msg)
    console.print(said(progress, wanted.budget_seconds), highlight=False)


MEASURED = {"policy loss": "policy_loss", "value loss": "vf_loss", "entropy": "entropy", "divergence": "mean_kl_loss"}


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
