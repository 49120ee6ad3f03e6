"""Two-step fine-tuning of one modality's classifier."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edge.clip import Modality

from .args import Args
from .dataset import Dataset, load_looks
from .fusion import join_votes
from .looks import Looks
from .models import build, input_shape
from .progress import bar
from .runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Batches(keras.utils.PyDataset):
    """One random look of every second an epoch, augmented: mirrored pictures, louder or softer sound."""

    def __init__(self, looks: Looks, modality: Modality, batch: int, seed: int) -> None:
        super().__init__()
        self._looks, self.modality, self._batch = looks, modality, batch
        self._rng = np.random.default_rng(seed)
        keys = looks.recording * (looks.second.max() + 1) + looks.second
        order = np.argsort(keys, kind="stable")
        self._groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._groups) / self._batch)

    def __getitem__(self, i: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        chosen = self._order[i * self._batch : (i + 1) * self._batch]
        x = self._looks.x[chosen].astype(np.float32)
        return augment(x, self.modality, self._rng), self._looks.y[chosen]

    def on_epoch_end(self) -> None:
        """Choose the looks and the order of the next epoch."""
        self._order = np.array([self._rng.choice(group) for group in self._groups])
        self._rng.shuffle(self._order)


def augment(x: NDArray[np.float32], modality: Modality, rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary a batch of looks in place, without changing what they show."""
    if modality == "audio":
        x += rng.uniform(-6, 6, (len(x), 1, 1, 1)).astype(np.float32)  # dB
        return x
    mirrored = rng.random(len(x)) < 0.5
    x[mirrored] = x[mirrored, :, ::-1]
    if modality == "flow":
        x[mirrored, :, :, 0] = 256 - x[mirrored, :, :, 0]  # what moved left now moves right
        return np.clip(x, 0, 255, out=x)
    x *= rng.uniform(0.8, 1.2, (len(x), 1, 1, 3)).astype(np.float32)
    x += rng.uniform(-15, 15, (len(x), 1, 1, 1)).astype(np.float32)
    return np.clip(x, 0, 255, out=x)


def fit(dataset: Dataset, modality: Modality, args: Args, out: str | Path) -> Run:
    """Train one modality in two steps and write the run: model, per-look predictions, record."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    began = time.monotonic()
    train = load_looks(dataset, modality, "train")
    model = build(
        modality, input_shape(dataset.manifest, modality), len(dataset.manifest.labels),
        backbone=args.backbone, alpha=args.alpha, weights=args.weights,
        dense_units=args.dense_units, dropout=args.dropout,
    )  # fmt: skip
    batches = Batches(train, modality, args.batch, args.seed)
    _step(model, batches, args, head_only=True)
    _step(model, batches, args, head_only=False)
    metrics = {}
    for side in ("validation", "test"):
        looks = load_looks(dataset, modality, side)
        probabilities = model.predict(looks.x, batch_size=64, verbose=0)
        np.savez(out / f"{side}.npz", **{**vars(looks), "x": probabilities})
        metrics[f"{side}_accuracy"] = second_accuracy(
            modality, replace(looks, x=probabilities), dataset.manifest.labels
        )
    model.save(out / "model.keras")
    run = Run(
        out,
        modality,
        args,
        dataset.manifest,
        str(dataset.path),
        dataset.sha256(),
        metrics,
        time.monotonic() - began,
    )
    run.save()
    return run


def _step(model: keras.Model, batches: Batches, args: Args, *, head_only: bool) -> None:
    epochs = args.head_epochs if head_only else args.epochs
    if epochs == 0:
        return
    model.get_layer("backbone").trainable = not head_only
    rate = args.head_learning_rate
    if not head_only:
        steps = epochs * len(batches)
        rate = keras.optimizers.schedules.CosineDecay(
            args.learning_rate / 10,
            steps,
            warmup_target=args.learning_rate,
            warmup_steps=min(50, steps // 10),
        )
    model.compile(keras.optimizers.Adam(rate), _smoothed_loss(args.label_smoothing), metrics=["accuracy"])
    what = "step 1, the dense layers" if head_only else "step 2, everything"
    with bar(f"{batches.modality}: {what}", epochs) as advance:
        show = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: advance(_in_words(logs or {})))
        model.fit(batches, epochs=epochs, verbose=0, callbacks=[show])


def _in_words(logs: dict[str, float]) -> str:
    return f"loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.3f}"


def _smoothed_loss(smoothing: float) -> Any:  # noqa: ANN401 - a Keras loss function
    def loss(y: Any, p: Any) -> Any:  # noqa: ANN401 - Keras tensors
        target = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32"), p.shape[-1])
        return keras.losses.categorical_crossentropy(target, p, label_smoothing=smoothing)

    return loss


def second_accuracy(modality: Modality, predictions: Looks, labels: tuple[str, ...]) -> float:
    """Give the share of seconds whose vote, the majority of their looks, is right."""
    votes = join_votes({modality: predictions}, labels).values()
    return float(np.mean([labels[truth] == cast[0].label for truth, cast in votes]))
