"""A trained policy into a bundle: float32 or int8, by what is measured of both, with golden observations."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from cloud_train.convert import ExportError, float_tflite, int8_tflite, save_frozen
from cloud_train.progress import console, track
from cloud_train.provenance import made_by
from edge.bundle import GOLDEN, Bundle
from edge.fusion import Majority, write_fusion
from edge.golden import TOLERANCES, Golden
from edge.manifest import BundleError, ClipSpec, Features, Manifest, PolicySpec
from edge.tflite import TfliteModel

from .baselines import Act
from .evaluate import Score, greedy, judge
from .interface import Interface
from .tasks import Watched, maker
from .train import PolicyRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "policy.tflite"
OBSERVATIONS, CALIBRATION, GOLDEN_OBSERVATIONS = 10_000, 500, 8
RANDOM_SHARE = 0.2
"""Of the actions while observations are gathered, so that the policy is also compared where it seldom comes."""
AGREEMENT, RETURN_LOSS = 0.99, 0.02
"""What int8 must reach to be chosen: the same action in 99 % of observations, and 98 % of the return."""
FLOAT_TOLERANCE = 1e-4

Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class Compared:
    """What a TFLite file of a policy is, beside the network that it was made of.

    `agreement` is the share of observations with the same action (of two numbers: within 5 % of full speed), `most` the
    largest difference of an output, `score` the closed-loop return, `microseconds` the time of one call.
    """

    precision: Precision
    agreement: float
    most: float
    score: Score
    size: int
    microseconds: float


@dataclass(frozen=True, eq=False)
class Original:
    """The network of a run as the robot needs it: its `outputs` for the observations `seen`, and its `score`."""

    run: PolicyRun
    make: Callable[[], Watched]
    interface: Interface
    seen: NDArray[np.float32]
    outputs: NDArray[np.float32]
    score: Score


def export(
    run: PolicyRun,
    out: str | Path,
    *,
    precision: Precision | Literal["auto"] = "auto",
    episodes: int = 100,
    observations: int = OBSERVATIONS,
    join: str | Path | None = None,
    version: str = "1.0.0",
) -> Bundle:
    """Convert a policy both ways, compare both with the original in the simulator, and write the bundle.

    `auto` takes int8 only where it loses nothing that counts. `join` names a bundle whose classifiers go in as well.
    ExportError if the float file does not do what the network does.
    """
    network, original = _original(run, observations, episodes)
    with tempfile.TemporaryDirectory() as name:
        files = _convert(network, original.seen, Path(name))
        compared = {kind: _compare(kind, file, original) for kind, file in files.items()}
        chosen = _choose(compared, original.score) if precision == "auto" else precision
        for one in compared.values():
            console.print(_line(one, chosen=one.precision == chosen), highlight=False, soft_wrap=True)
        return _write(original, out, files[chosen], compared, join=join, version=version)


def on_robot(network: keras.Model, interface: Interface) -> keras.Model:
    """Give the network as the robot needs it: as it is with a table of actions, else in m/s and rad/s in its limits."""
    if interface.actions:
        return network
    scale = np.array(interface.velocity_scale, np.float32)
    low = np.array([interface.limits.linear_least_mps, -interface.limits.angular_most_radps], np.float32)
    bounded = keras.ops.minimum(keras.ops.maximum(network.output * scale, low), scale)
    return keras.Model(network.input, bounded)


def as_trained(run: PolicyRun) -> Act:
    """Give what acts by a run's network, as the robot would."""
    make = maker(run.task, **run.options)
    env = make()
    interface = env.interface
    env.close()
    return _act(on_robot(run.policy(), interface), interface)


def _act(network: keras.Model, interface: Interface) -> Act:
    call = tf.function(network)
    return greedy(interface, lambda one: _normal(call(tf.constant(one)).numpy(), interface))


def gather(make: Callable[[], Watched], act: Any, count: int) -> NDArray[np.float32]:  # noqa: ANN401 - an Act
    """Collect observations `[count, ...]` where a policy leads, and a little beside."""
    env, random = make(), np.random.default_rng(1)
    env.action_space.seed(1)
    seen = []
    observation, _ = env.reset(seed=1)
    for _ in track(range(count), "observations", count):
        seen.append(observation)
        action = env.action_space.sample() if random.random() < RANDOM_SHARE else act(observation)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
    env.close()
    return np.stack(seen)


def agreement(found: NDArray[np.float32], expected: NDArray[np.float32], interface: Interface) -> float:
    """Give the share of observations in which two outputs `[n, outputs]` mean the same action."""
    if interface.actions:
        return float((found.argmax(-1) == expected.argmax(-1)).mean())
    return float((np.abs(found - expected) <= 0.05 * np.array(interface.velocity_scale)).all(-1).mean())


def _original(run: PolicyRun, observations: int, episodes: int) -> tuple[keras.Model, Original]:
    make = maker(run.task, **run.options)
    env = make()
    interface = env.interface
    env.close()
    network = on_robot(run.policy(), interface)
    act = _act(network, interface)
    seen = gather(make, act, observations)
    outputs = network.predict(seen, batch_size=256, verbose=0)
    score = judge(make, lambda _: act, episodes, "the network")
    return network, Original(run, make, interface, seen, outputs, score)


def _normal(outputs: NDArray[np.float32], interface: Interface) -> NDArray[np.float32]:
    """Turn velocities back into the task's numbers of -1 to 1."""
    if interface.actions:
        return outputs
    shares: NDArray[np.float32] = np.divide(outputs, interface.velocity_scale, dtype=np.float32)
    return shares


def _convert(network: keras.Model, seen: NDArray[np.float32], folder: Path) -> dict[Precision, Path]:
    saved, files = folder / "saved", {kind: folder / f"{kind}.tflite" for kind in ("float32", "int8")}
    save_frozen(network, saved)
    files["float32"].write_bytes(float_tflite(saved))
    few = seen[:: max(1, len(seen) // CALIBRATION)][:CALIBRATION]
    files["int8"].write_bytes(int8_tflite(saved, few, pixels=False))
    return files  # type: ignore[return-value] # the keys are the two words


def _compare(kind: Precision, file: Path, original: Original) -> Compared:
    interface, expected, model = original.interface, original.outputs, TfliteModel(file, threads=1)
    began = time.perf_counter()
    found = np.concatenate([model(one[None]) for one in original.seen])
    each = (time.perf_counter() - began) / len(found)
    most = float(np.abs(found - expected).max())
    if kind == "float32" and most > FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        msg = f"{FILE}: float TFLite differs from the network by {most:.2g}"
        raise ExportError(msg)
    act = greedy(interface, lambda one: _normal(model(one), interface))
    score = judge(original.make, lambda _: act, original.score.episodes, kind)
    return Compared(kind, agreement(found, expected, interface), most, score, file.stat().st_size, 1e6 * each)


def _choose(compared: dict[Precision, Compared], original: Score) -> Precision:
    """Take int8 where it acts alike, returns as much, and is faster; else float32."""
    small, full = compared["int8"], compared["float32"]
    returns = small.score.mean >= original.mean - RETURN_LOSS * abs(original.mean)
    good = small.agreement >= AGREEMENT and returns
    return "int8" if good and small.microseconds < full.microseconds else "float32"


def _line(one: Compared, *, chosen: bool) -> str:
    return (
        f"{one.precision}: {one.size / 1000:.0f} kB, {one.microseconds:.0f} µs, same action {one.agreement:.4f},"
        f" {one.score}{' (chosen)' if chosen else ''}"
    )


def _write(
    original: Original,
    out: str | Path,
    file: Path,
    compared: dict[Precision, Compared],
    *,
    join: str | Path | None,
    version: str,
) -> Bundle:
    run, interface, seen = original.run, original.interface, original.seen
    chosen: Precision = "int8" if file.stem == "int8" else "float32"
    model = TfliteModel(file, threads=1)
    spec = PolicySpec(
        FILE, model.input, model.output, interface.actions, interface.picture, interface.vector, interface.limits
    )
    few = seen[:: max(1, len(seen) // GOLDEN_OBSERVATIONS)][:GOLDEN_OBSERVATIONS]
    scores = np.concatenate([model(one[None]) for one in few])
    before = original.score.mean
    lost = 1 - compared[chosen].score.mean / before if before else 0.0
    metrics = {
        "policy": {
            "task": run.task,
            "precision": chosen,
            "network": asdict(original.score),
            "return_lost": lost,
            "compared": [asdict(one) for one in compared.values()],
        }
    }
    made = {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **made_by(),
        "policy": {
            "task": run.task, "engine": run.engine, "options": run.options, "settings": asdict(run.settings),
            "steps": run.steps, "training_seconds": round(run.seconds, 1), "commit": run.commit,
            "identity": run.identity,
        },
        "libraries": {name: version_of(name) for name in ("keras", "numpy", "gymnasium")},
    }  # fmt: skip
    manifest, files, golden = _base(join, Path(out).name, version)
    manifest = replace(
        manifest, policy=spec, metrics={**manifest.metrics, **metrics},
        provenance={**manifest.provenance, **made},
    )  # fmt: skip
    tolerances = {**golden.tolerances, "policy": TOLERANCES["policy"]}
    golden = replace(golden, tolerances=tolerances, observations=few, policy_scores=scores)
    return Bundle.save(out, manifest, {**files, FILE: file.read_bytes(), GOLDEN: golden.to_npz()})


def _base(join: str | Path | None, name: str, version: str) -> tuple[Manifest, dict[str, bytes], Golden]:
    """Give what a policy is added to: the bundle to join, or one without classifiers."""
    if join is None:
        clip = replace(ClipSpec(), frames_per_second=0)
        manifest = Manifest((), clip, Features(), name=name, version=version)
        return manifest, {manifest.fusion: write_fusion(Majority())}, Golden((), TOLERANCES)
    bundle = Bundle.load(join)
    files = {file: (bundle.path / file).read_bytes() for file in bundle.manifest.files}
    if GOLDEN not in files:
        msg = f"{join}: has no {GOLDEN}; export it anew"
        raise BundleError(msg)
    golden = Golden.from_npz(files[GOLDEN], GOLDEN)
    return replace(bundle.manifest, name=name, version=version), files, golden
