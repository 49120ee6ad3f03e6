"""The training loop: it goes on at any step, and is the same for one worker and for many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from . import stop
from .args import Args
from .batches import Batches, by_second
from .checkpoint import Epoch, Position, assign, load, save
from .debugger.capture import catching
from .debugger.hook import Hook
from .looks import Looks
from .progress import bar
from .recordings import TrainingError
from .watched import step_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEST = "best.npz"
SAVE_SECONDS = 600.0
"""A training that is killed loses at most this much of its time."""
EPOCHS_APART = 10_000
"""Between the numbers of two phases' epochs, so that no batch comes twice."""
PREDICT_BATCH = 64
READ_AHEAD = 4

Fed = tuple[Any, float, float]
"""A batch for the strategy, the seconds that the model waited for it, and when the waiting began."""


@dataclass(frozen=True)
class Phase:
    """A part of a training: which layers learn, for how long, at what rate."""

    name: str
    head_only: bool
    epochs: int
    learning_rate: float


def phases(args: Args) -> tuple[Phase, ...]:
    """List the reference's two steps, without one of no epochs."""
    both = (
        Phase("the dense layers", head_only=True, epochs=args.head_epochs, learning_rate=args.head_learning_rate),
        Phase("everything", head_only=False, epochs=args.epochs, learning_rate=args.learning_rate),
    )
    return tuple(phase for phase in both if phase.epochs)


@dataclass(frozen=True, eq=False)
class Training:
    """What a training is made of; `identity` is the hash of all that decides its result.

    Only the chief writes; the other workers read its checkpoints from the same `folder`. With a `hook` the debugger
    sees it, and may end it.
    """

    model: keras.Model
    batches: Batches
    validation: Looks
    args: Args
    strategy: tf.distribute.Strategy
    folder: Path
    identity: str
    answer: Callable[[Any], NDArray[np.float32]]
    chief: bool = True
    hook: Hook | None = None


def learn(training: Training) -> list[Epoch]:
    """Train to the end, from where the last checkpoint left it; return the epochs. Stopped on a request to stop.

    When the hook says stop the best epoch so far is taken. TrainingError where there is none, and when the loss is no
    number any more.
    """
    saved = load(training.folder, training.identity)
    position, values = saved or (Position(training.identity), [])
    for number, phase in enumerate(phases(training.args)):
        if number < position.phase:
            continue
        _prepare(training, phase)
        optimizer = _optimizer(training, phase)
        if values:
            assign([*training.model.variables, *optimizer.variables], values)
        if not _run(training, phase, optimizer, position):
            _take_best(training, needed=True)
            break
        if training.args.patience:
            _take_best(training)
        position.phase, position.epoch, position.step = number + 1, 0, 0
        position.best, position.epochs_since_best, values = float("inf"), 0, []
    return position.history


def _prepare(training: Training, phase: Phase) -> None:
    backbone = training.model.get_layer("backbone")
    backbone.trainable = not phase.head_only
    frozen = training.args.batch_norm == "frozen" or (
        training.args.batch_norm == "auto" and training.args.weights != "none"
    )
    several = training.strategy.num_replicas_in_sync > 1
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and not phase.head_only:
            layer.trainable, layer.synchronized = not frozen, several
    training.model.get_layer("centred").synchronized = several


def _schedule(training: Training, phase: Phase) -> Callable[[Any], Any] | None:
    """Give the learning rate of each step; None where it stays."""
    if phase.head_only:
        return None
    rate, steps = phase.learning_rate, phase.epochs * len(training.batches)
    schedule: Callable[[Any], Any] = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps, warmup_target=rate, warmup_steps=min(50, steps // 10)
    )
    return schedule


def _optimizer(training: Training, phase: Phase) -> Any:  # noqa: ANN401 - a Keras optimizer
    with training.strategy.scope():
        optimizer = keras.optimizers.AdamW(phase.learning_rate, weight_decay=training.args.weight_decay)
        if keras.config.dtype_policy().compute_dtype == "float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(training.model.trainable_variables)
    return optimizer


def _run(training: Training, phase: Phase, optimizer: Any, position: Position) -> bool:  # noqa: ANN401
    """Train one phase; say whether it may go on after it."""
    batches = iter(_distributed(training, phase, position))
    step = _step_function(training, optimizer, _schedule(training, phase), batches.element_spec)
    what = f"{training.batches.modality}: {phase.name}"
    with bar(what, phase.epochs, done=position.epoch) as advance:
        patience = training.args.patience or phase.epochs
        fed = feed(batches)
        while position.epoch < phase.epochs and position.epochs_since_best < patience:
            if not _epoch(training, step, fed, optimizer, position):
                return False
            advance(_judge(training, phase, optimizer, position))
            if training.hook is not None and training.hook.stop is not None:
                return False
    return True


def _epoch(
    training: Training,
    step: Callable[..., Any],
    fed: Iterator[Fed],
    optimizer: Any,  # noqa: ANN401 - a Keras optimizer
    position: Position,
) -> bool:
    """Train to the end of an epoch; False where the hook says stop."""
    saved = time.monotonic()
    while position.step < len(training.batches):
        element, waited, began = next(fed)
        number = steps_done(training, position)
        due = set() if training.hook is None else training.hook.due(number)
        loss, hits, caught = step(element, bool(due & {"gradients", "layer_outputs"}))
        position.loss += float(loss)
        position.hits += float(hits)
        position.step += 1
        position.waited += waited
        position.seconds += time.monotonic() - began
        if training.hook is not None:
            _show(training, position, due, caught, number=number, took=time.monotonic() - began, waited=waited)
        if stop.requested() or time.monotonic() - saved > SAVE_SECONDS:
            _save(training, optimizer, position)
            saved = time.monotonic()
        if stop.requested():
            msg = f"{training.folder}: stopped as asked, saved at step {position.step} of epoch {position.epoch + 1}"
            raise stop.Stopped(msg)
        if training.hook is not None and training.hook.stop is not None:
            return False
    return True


def steps_done(training: Training, position: Position) -> int:
    """Count the steps before a position, over all phases."""
    epochs = sum(phase.epochs for phase in phases(training.args)[: position.phase]) + position.epoch
    return epochs * len(training.batches) + position.step


def _show(
    training: Training, position: Position, due: set[str], caught: Any, *, number: int, took: float, waited: float,  # noqa: ANN401
) -> None:  # fmt: skip
    """Have the hook save what is due after a step."""
    assert training.hook is not None
    training.hook.sampler.step("train", number, took - waited)
    training.hook.sampler.spend("data", waited)
    numbers = {
        "loss": position.loss / position.step,
        "accuracy": position.hits / (position.step * training.args.batch),
    }
    training.hook.save(number, "train", step_tensors(due, training.model, numbers, caught))


def feed(batches: Iterator[Any]) -> Iterator[Fed]:
    """Give batches with how long each was waited for, and since when."""
    began = time.monotonic()
    for element in batches:
        yield element, time.monotonic() - began, began
        began = time.monotonic()


def _distributed(training: Training, phase: Phase, position: Position) -> Any:  # noqa: ANN401 - a distributed dataset
    """Give a phase's batches from a position on, one epoch after the other, read ahead."""
    batches, first_epoch = training.batches, position.phase * EPOCHS_APART
    begin, end = position.epoch * len(batches) + position.step, phase.epochs * len(batches)

    def dataset(context: Any) -> Any:  # noqa: ANN401 - tf.distribute.InputContext -> tf.data.Dataset
        parts = context.num_replicas_in_sync
        mine = parts // context.num_input_pipelines
        first = context.input_pipeline_id * mine

        def read(i: NDArray[np.int64]) -> Any:  # noqa: ANN401 - a Batch
            number, part = divmod(int(i), mine)
            epoch, step = divmod(number, len(batches))
            return batches(first_epoch + epoch, step, first + part, parts)

        numbers = tf.data.Dataset.range(begin * mine, end * mine)
        read_all = numbers.map(
            lambda i: tf.numpy_function(read, [i], (tf.float32, tf.float32, tf.float32)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return read_all.map(shaped).prefetch(READ_AHEAD * mine)

    def shaped(*tensors: Any) -> Any:  # noqa: ANN401 - tensors that lost their shapes on the way
        for tensor, shape in zip(
            tensors, (training.model.input_shape, training.model.output_shape, (None,)), strict=True
        ):
            tensor.set_shape(shape)
        return tensors

    return training.strategy.distribute_datasets_from_function(dataset)


def _step_function(
    training: Training,
    optimizer: Any,  # noqa: ANN401 - a Keras optimizer
    schedule: Callable[[Any], Any] | None,
    spec: Any,  # noqa: ANN401 - of a batch
) -> Callable[..., Any]:
    """Give the function of a batch, and of whether gradients and layers are to be caught, which is traced once more."""
    model, strategy = training.model, training.strategy

    def watched(x: Any, target: Any, weight: Any) -> Any:  # noqa: ANN401 - tensors
        assert training.hook is not None
        with catching(model, optimizer, {"gradients", "layer_outputs"}, training.hook.save_what) as caught:
            return *one(x, target, weight), caught

    def one(x: Any, target: Any, weight: Any) -> Any:  # noqa: ANN401 - tensors
        if schedule is not None:  # once a step: an optimizer with a schedule works it out anew for each variable
            optimizer.learning_rate = schedule(optimizer.iterations)
        with tf.GradientTape() as tape:
            answer = keras.ops.clip(keras.ops.cast(model(x, training=True), "float32"), 1e-7, 1.0)
            loss = keras.ops.sum(weight * -keras.ops.sum(target * keras.ops.log(answer), axis=1))
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, model.trainable_variables), model.trainable_variables)
        hits = keras.ops.argmax(answer, axis=1) == keras.ops.argmax(target, axis=1)
        return loss, keras.ops.sum(keras.ops.cast(hits, "float32"))

    def step(element: Any, catch: bool) -> Any:  # noqa: ANN401, FBT001
        loss, hits, *more = strategy.run(watched if catch else one, args=element)
        caught = (
            tf.nest.map_structure(lambda each: strategy.experimental_local_results(each)[0], more[0]) if more else {}
        )
        return strategy.reduce("SUM", loss, axis=None), strategy.reduce("SUM", hits, axis=None), caught

    # A last batch may be smaller: with its signature a step is traced once for batches of any length.
    traced = {catch: tf.function(partial(step, catch=catch), input_signature=[spec]) for catch in (False, True)}
    return lambda element, catch: traced[catch](element)


def _judge(training: Training, phase: Phase, optimizer: Any, position: Position) -> str:  # noqa: ANN401
    """Close an epoch: validate, keep the best, save; return it in words."""
    batches = training.batches
    began = time.monotonic()
    y, probabilities = answers(training.answer, training.validation)
    loss, accuracy = scores(y, probabilities)
    if training.hook is not None:
        training.hook.sampler.spend("validation", time.monotonic() - began)
        tensors: dict[str, dict[str, Any]] = {
            "losses": {"loss": loss}, "metrics": {"loss": loss, "accuracy": accuracy},
            "predictions": {"predictions": probabilities}, "labels": {"labels": y},
        }  # fmt: skip
        training.hook.save(steps_done(training, position) - 1, "eval", tensors)
    if not math.isfinite(loss + position.loss):
        msg = f"{training.folder}: the loss of epoch {position.epoch + 1} is not a number; lower the learning rate"
        raise TrainingError(msg)
    rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    epoch = Epoch(
        phase.name, position.epoch + 1, position.loss / len(batches), position.hits / batches.seconds, loss, accuracy,
        rate, position.seconds, position.waited / max(position.seconds, 1e-9),
    )  # fmt: skip
    position.history.append(epoch)
    position.epoch, position.step, position.epochs_since_best = position.epoch + 1, 0, position.epochs_since_best + 1
    position.loss = position.hits = position.seconds = position.waited = 0.0
    if loss < position.best:
        position.best, position.epochs_since_best = loss, 0
        if training.chief:
            save(training.folder, position, training.model.variables, BEST)
    _save(training, optimizer, position)
    return f"loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.3f}, validation {loss:.3f}, {accuracy:.3f}"


def _save(training: Training, optimizer: Any, position: Position) -> None:  # noqa: ANN401
    if training.chief:
        save(training.folder, position, [*training.model.variables, *optimizer.variables])


def _take_best(training: Training, *, needed: bool = False) -> None:
    best = load(training.folder, training.identity, BEST)
    if best is not None:
        assign(training.model.variables, best[1])
    elif needed and training.hook is not None:
        msg = f"{training.folder.parent}: stopped by {training.hook.stop}; no epoch had ended, so there is no model"
        raise TrainingError(msg)


def predictor(model: keras.Model) -> Callable[[Any], NDArray[np.float32]]:
    """Give a function from looks, an array or Rows, to probabilities `[n, classes]`, read batch by batch."""
    signature = [tf.TensorSpec(model.input_shape, tf.float32)]
    answer = tf.function(lambda x: model(x, training=False), input_signature=signature)

    def predict(looks: Any) -> NDArray[np.float32]:  # noqa: ANN401
        starts = range(0, len(looks), PREDICT_BATCH)
        batches = [answer(looks[i : i + PREDICT_BATCH].astype(np.float32)) for i in starts]
        return np.concatenate([np.asarray(batch, np.float32) for batch in batches])

    return predict


def answers(
    answer: Callable[[Any], NDArray[np.float32]], looks: Looks
) -> tuple[NDArray[np.integer[Any]], NDArray[np.float32]]:
    """Give the truth and the probabilities of one look of every known second, the middle one."""
    order, starts, sizes = by_second(looks)
    chosen = np.sort(order[starts + sizes // 2])
    chosen = chosen[looks.y[chosen] >= 0]
    parts = np.array_split(chosen, -(-len(chosen) // 1024))
    return looks.y[chosen], np.concatenate([answer(looks.x[part]) for part in parts])


def scores(y: NDArray[np.integer[Any]], probabilities: NDArray[np.float32]) -> tuple[float, float]:
    """Give the mean negative log-likelihood and the accuracy."""
    likelihood = np.clip(probabilities[np.arange(len(y)), y], 1e-7, 1)
    return float(-np.log(likelihood).mean()), float((probabilities.argmax(axis=1) == y).mean())
