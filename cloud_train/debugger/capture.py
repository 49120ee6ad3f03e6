"""A Keras training step that also gives what flows through it, used for those steps alone that are to be saved.

`fit` asks the model for its `train_function` at every step. At a step that is to be saved it gets the function made
here instead, which calls the model's own `train_step`; the other steps are not touched and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Collection as Names
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import tensorflow as tf

from .reductions import reduced
from .saved import Collection, Layer

Caught = dict[str, dict[str, Any]]
CAPTURED = ("inputs", "layer_outputs", "gradients", "predictions", "labels")
"""What exists only inside a step; all else can be read after it."""


def leaves(model: keras.Model, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Give the layers of a model and of the models in it, by their path, such as `backbone/conv1`."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer, f"{path}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield f"{path}{layer.name}", layer


def described(model: keras.Model) -> tuple[Layer, ...]:
    """Describe the layers of a model for its run."""
    return tuple(Layer(name, type(layer).__name__, activation(layer)) for name, layer in leaves(model))


def activation(layer: keras.layers.Layer) -> str:
    """Give the name of a layer's activation, "" where it has none."""
    if isinstance(layer, keras.layers.ReLU):
        return "relu"
    return str(getattr(getattr(layer, "activation", None), "__name__", ""))


def stepper(
    model: keras.Model, wanted: Names[str], save: Mapping[str, Collection], *, training: bool = True
) -> Callable[[Any], tuple[Any, Caught]]:
    """Give a function from a `fit` iterator to the step's logs and what was caught of the collections in `wanted`.

    With several replicas it is the first's.
    """
    strategy = model.distribute_strategy

    def step(data: Any) -> tuple[Any, Caught]:  # noqa: ANN401 - a batch
        with catching(model, getattr(model, "optimizer", None), wanted, save) as caught:
            logs = model.train_step(data) if training else model.test_step(data)
        return logs, caught

    @tf.function(reduce_retracing=True, autograph=False)
    def traced(data: Any) -> tuple[Any, Caught]:  # noqa: ANN401
        return strategy.run(step, (data,))

    def function(iterator: Any) -> tuple[Any, Caught]:  # noqa: ANN401 - of tf.data
        steps = int(model.steps_per_execution)
        logs, caught = traced(_filled(next(iterator)))
        for _, data in zip(range(steps - 1), iterator, strict=False):  # in this order: nothing is read and left
            logs, caught = traced(_filled(data))
        if strategy.num_replicas_in_sync > 1:
            logs = tf.nest.map_structure(lambda each: strategy.reduce("MEAN", each, axis=None), logs)
            caught = tf.nest.map_structure(lambda each: strategy.experimental_local_results(each)[0], caught)
        return logs, caught

    return function


def _filled(data: Any) -> Any:  # noqa: ANN401 - a batch
    """Give a batch as a step takes it: None for what `fit` leaves out, such as sample weights."""
    return tf.nest.map_structure(lambda each: None if isinstance(each, tf.experimental.Optional) else each, data)


@contextmanager
def catching(
    model: keras.Model,
    optimizer: Any,  # noqa: ANN401 - of Keras
    wanted: Names[str],
    save: Mapping[str, Collection],
) -> Iterator[Caught]:
    """Put what flows through model and optimizer into the dictionary, for as long as a step is traced."""
    caught: Caught = {name: {} for name in CAPTURED if name in wanted}
    with ExitStack() as stack:
        stack.enter_context(_replaced(model, "compute_loss", lambda inner: _losses(inner, caught)))
        if "gradients" in wanted:
            kept = save["gradients"].reductions
            stack.enter_context(_replaced(optimizer, "apply", lambda inner: _gradients(inner, optimizer, caught, kept)))
        stack.enter_context(_outputs(model, caught, save))
        yield caught


def _losses(inner: Callable[..., Any], caught: Caught) -> Callable[..., Any]:
    def compute_loss(x: Any = None, y: Any = None, y_pred: Any = None, *more: Any, **named: Any) -> Any:  # noqa: ANN401
        for collection, name, value in (
            ("inputs", "inputs", x),
            ("labels", "labels", y),
            ("predictions",) * 2 + (y_pred,),
        ):
            if collection in caught:
                caught[collection] |= _flat(name, value)
        return inner(x, y, y_pred, *more, **named)

    return compute_loss


def _flat(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - a tensor, or a structure of them
    parts = [part for part in tf.nest.flatten(value) if part is not None]
    return {name if len(parts) == 1 else f"{name}/{i}": tf.identity(part) for i, part in enumerate(parts)}


def _gradients(inner: Callable[..., Any], optimizer: Any, caught: Caught, kept: Any) -> Callable[..., Any]:  # noqa: ANN401
    def apply(grads: Any, trainable_variables: Any = None) -> Any:  # noqa: ANN401
        grads = list(grads)
        scale = getattr(optimizer, "dynamic_scale", 1.0)  # of a LossScaleOptimizer, which divides by it later
        for gradient, variable in zip(grads, trainable_variables or (), strict=False):
            if gradient is not None:
                dense = tf.cast(tf.convert_to_tensor(gradient), tf.float32) / tf.cast(scale, tf.float32)
                caught["gradients"][f"gradient/{variable.path}"] = _left(dense, kept)
        return inner(grads, trainable_variables)

    return apply


@contextmanager
def _outputs(model: keras.Model, caught: Caught, save: Mapping[str, Collection]) -> Iterator[None]:
    """Have each layer's output put by while the block runs."""
    layers = dict(leaves(model)) if "layer_outputs" in caught else {}

    def noting(name: str, layer: keras.layers.Layer) -> Callable[..., Any]:
        inner, kept, kind = layer.call, save["layer_outputs"].reductions, activation(layer)

        def call(*inputs: Any, **named: Any) -> Any:  # noqa: ANN401
            output = inner(*inputs, **named)
            if tf.is_tensor(output) and output.dtype.is_floating and name not in caught["layer_outputs"]:
                caught["layer_outputs"][name] = _left(tf.cast(output, tf.float32), kept, kind)
            return output

        return call

    for name, layer in layers.items():
        vars(layer)["call"] = noting(name, layer)
    try:
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("call", None)


def _left(tensor: Any, kept: Any, kind: str = "") -> Any:  # noqa: ANN401
    """Reduce within the step, so that little leaves it; a histogram needs the whole."""
    if not kept or "histogram" in kept:
        return tensor
    return reduced(tensor, kept, activation=kind, xp=keras.ops)


@contextmanager
def _replaced(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:  # noqa: ANN401
    vars(owner)[name] = make(getattr(owner, name))
    try:
        yield
    finally:
        vars(owner).pop(name, None)
