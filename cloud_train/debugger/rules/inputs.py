"""Rules about what a model is fed."""

from __future__ import annotations

import re

import numpy as np

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.trial import Trial
from cloud_train.recordings import DataError

from .tensors import selected


def check_input_images(
    trial: Trial,
    *,
    threshold_mean: float = 0.2,
    threshold_samples: int = 500,
    regex: str = "",
    channel: int | None = None,
) -> Finding | None:
    """A colour's mean over `threshold_samples` images is further from 0 than `threshold_mean`.

    `channel` is the axis of the colours: if none is given the last in Keras, and 1, the original's, elsewhere.
    """
    axis = channel if channel is not None else -1 if trial.run.framework == "keras" else 1
    images, sums = 0, np.zeros(0)
    for name, step, mode in selected(trial, "inputs", regex):
        batch = trial.tensor(name, step, mode)
        if batch.ndim != 4:
            continue
        means = batch.mean(axis=tuple(i for i in range(4) if i != axis % 4))
        sums = sums + len(batch) * means if sums.size else len(batch) * means
        images += len(batch)
        worst = float(np.abs(sums / images).max())
        if images >= threshold_samples and worst > threshold_mean:
            return Finding(
                "CheckInputImages", step,
                f"the mean of a colour is {worst:.3g} over {images} images, further from 0 than {threshold_mean:g}",
                "Subtract the mean of the training images, as the network's own preprocessing does.", name,
            )  # fmt: skip
    return None


def nlp_sequence_ratio(
    trial: Trial,
    *,
    tensor_regex: str = "",
    token_values: str = "0",  # noqa: S107 - tokens of a text
    token_thresholds_percentage: str = "50,50",  # noqa: S107
) -> Finding | None:
    """A token, such as the padding 0, makes up more than its threshold, in per cent, of a batch of sequences.

    Both lists are separated by commas, on the command line by semicolons.
    """
    tokens, most = _numbers(token_values), _numbers(token_thresholds_percentage)
    if len(most) < len(tokens):
        msg = f"NLPSequenceRatio: {len(tokens)} tokens need as many thresholds, and there are {len(most)}"
        raise DataError(msg)
    for name, step, mode in selected(trial, "inputs", tensor_regex):
        batch = trial.tensor(name, step, mode)
        for token, threshold in zip(tokens, most, strict=False):
            share = 100 * float(np.mean(batch == token))
            if share > threshold:
                return Finding(
                    "NLPSequenceRatio", step,
                    f"{share:.1f} % of {name} are the token {token:g} at step {step}; {threshold:g} % are allowed",
                    "Put sequences of like length into a batch, or cut the longest.", name,
                )  # fmt: skip
    return None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in re.split(r"[,;\s]+", text.strip()) if part]
    except ValueError:
        msg = f"NLPSequenceRatio: {text!r} is no list of numbers"
        raise DataError(msg) from None
