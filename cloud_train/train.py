"""Two-step fine-tuning of one modality's classifier."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import keras
import msgspec
import numpy as np
import tensorflow as tf

from edge.clip import Modality

from . import cluster
from .args import Args
from .atomic import write_atomically
from .batches import Batches
from .checkpoint import Epoch, load
from .dataset import Dataset, load_looks
from .fusion import join_votes
from .looks import Looks
from .loop import BEST, Training, learn, predictor, steps_done
from .models import build, input_shape
from .provenance import git_commit
from .recordings import DataError, TrainingError
from .runs import RUN, Run
from .stop import Stopped
from .watched import Watched, hook_for
from .workers import record

CHECKPOINTS = "checkpoints"


def fit(
    dataset: Dataset, modality: Modality, args: Args, out: str | Path, *, watched: Watched | None = None
) -> Run | None:
    """Train one modality in two steps and write the run: model, per-look predictions, record.

    What was begun in `out` with the same settings and data goes on; what is finished there is returned. With several
    workers the chief writes; None on the others. `watched` is for one worker: rules judge it while it trains, and one
    that it is stopped by leaves a run of its best epoch.
    """
    out = Path(out)
    identity = _identity(dataset, modality, args)
    if (out / RUN).is_file():
        return _finished(out, identity)
    strategy = cluster.strategy()
    sharing = strategy.num_replicas_in_sync
    if args.batch < 2 * sharing:  # what is normalised over a batch of one is nothing
        msg = f"batch {args.batch}: {2 * sharing} or more is right, two for each of {sharing} that share it"
        raise DataError(msg)
    keras.utils.set_random_seed(args.seed)
    tf.config.experimental.enable_op_determinism()
    # It sums otherwise in a step that is watched than in one alone, and what is last in a sum decides what is learnt.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    keras.config.set_dtype_policy(_policy(args))
    with strategy.scope():
        model = _model(dataset, modality, args)
    classes = len(dataset.manifest.labels)
    sound = dataset.manifest.features.audio
    cepstral = modality == "audio" and sound is not None and sound.kind == "mfcc"
    batches = Batches(load_looks(dataset, modality, "train"), modality, classes, args, cepstral=cepstral)
    validation = load_looks(dataset, modality, "validation")
    training = Training(
        model, batches, validation, args, strategy, out / CHECKPOINTS, identity, predictor(model), cluster.index() == 0
    )
    if watched is not None:
        load(training.folder, identity)  # refuses what is another training's before anything is written beside it
        hook = hook_for(
            out, watched, model, args, labels=dataset.manifest.labels, modality=modality, steps_per_epoch=len(batches)
        )
        training = replace(training, hook=hook)
    try:
        history = _learnt(training)
        if cluster.workers():
            record(out, _weights_sha256(model))
        if not training.chief:
            return None
        keras.config.set_dtype_policy("float32")
        whole = _model(dataset, modality, replace(args, weights="none"))
        whole.set_weights(model.get_weights())
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        msg = f"{out}: another worker is gone ({error.message.splitlines()[0][:80]}); start all again to go on"
        raise TrainingError(msg) from None
    finally:
        keras.config.set_dtype_policy("float32")
    metrics = _predict(dataset, modality, whole, out)
    _save_model(whole, out / "model.keras")
    run = Run(
        out, modality, args, dataset.manifest, str(dataset.path), dataset.sha256(), metrics,
        sum(epoch.seconds for epoch in history), identity, git_commit(), tuple(history),
    )  # fmt: skip
    run.save()
    return run


def _learnt(training: Training) -> list[Epoch]:
    """Train, and have the hook say how it ended; a training that goes on later has not."""
    if training.hook is None:
        return learn(training)
    try:
        history = learn(training)
    except TrainingError as error:
        training.hook.end("stopped" if training.hook.stop else "failed", str(error))
        raise
    except Stopped:
        training.hook.sampler.stop()
        raise
    kept = load(training.folder, training.identity, BEST)
    training.hook.end(best_step=None if kept is None else steps_done(training, kept[0]) - 1)
    return history


def _identity(dataset: Dataset, modality: Modality, args: Args) -> str:
    return hashlib.sha256(msgspec.json.encode((modality, args, dataset.sha256()))).hexdigest()


def _finished(out: Path, identity: str) -> Run:
    run = Run.load(out)
    if run.identity != identity:
        msg = f"{out}: holds a run of other settings or data; name another folder, or remove this one"
        raise DataError(msg)
    return run


def _policy(args: Args) -> str:
    if args.precision != "auto":
        return args.precision
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "float32"


def _model(dataset: Dataset, modality: Modality, args: Args) -> keras.Model:
    return build(
        modality, input_shape(dataset.manifest, modality), len(dataset.manifest.labels),
        backbone=args.backbone, alpha=args.alpha, weights=args.weights,
        dense_units=args.dense_units, dropout=args.dropout,
    )  # fmt: skip


def _predict(dataset: Dataset, modality: Modality, model: keras.Model, out: Path) -> dict[str, float]:
    """Write the probabilities of every look at the validation and test sides; return the accuracies."""
    answer = predictor(model)
    metrics = {}
    for side in ("validation", "test"):
        looks = load_looks(dataset, modality, side)
        predictions = replace(looks, x=answer(looks.x))
        buffer = io.BytesIO()
        np.savez(buffer, **vars(predictions))
        write_atomically(out / f"{side}.npz", buffer.getvalue())
        metrics[f"{side}_accuracy"] = second_accuracy(modality, predictions, dataset.manifest.labels)
    return metrics


def _weights_sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(value.tobytes())
    return digest.hexdigest()


def _save_model(model: keras.Model, file: Path) -> None:
    scratch = file.with_name(f".tmp-{file.name}")
    model.save(scratch)
    scratch.replace(file)


def second_accuracy(modality: Modality, predictions: Looks, labels: tuple[str, ...]) -> float:
    """Give the share of seconds whose vote, the majority of their looks, is right."""
    votes = join_votes({modality: predictions}, labels).values()
    return float(np.mean([labels[truth] == cast[0].label for truth, cast in votes if truth >= 0]))
