"""Runs into a bundle: full-int8 TFLite with parity after each step, fusion, golden values, written whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from litert_quantizer import quantizer, recipe
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edge.bundle import GOLDEN, Bundle
from edge.clip import Clip
from edge.fusion import write_fusion
from edge.golden import make_golden
from edge.manifest import BundleError, Manifest, ModelSpec, Thresholds
from edge.tflite import TfliteModel

from .dataset import DataError, Dataset, Recording, load_looks, read_clips
from .fusion import fuse
from .progress import track
from .provenance import provenance
from .train import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALIBRATION_LOOKS = 64
PARITY_LOOKS = 400
FLOAT_TOLERANCE = 1e-4
"""Largest difference allowed between Keras and the float TFLite file; measured ones are a few 1e-6."""
GOLDEN_CLIPS = 3
SIGNATURE, INPUT = "serving_default", "features"


class ExportError(BundleError):
    """A model that did not survive a conversion; the message names the step and by how much it differs."""


@dataclass(frozen=True)
class Parity:
    """How far the files are from the trained model, over `looks` held-out ones.

    `float_difference` is the largest difference of a probability between Keras and float TFLite; `int8_agreement`
    the share of looks with the same top label in float and int8, `int8_difference` their mean difference.
    """

    looks: int
    float_difference: float
    int8_agreement: float
    int8_difference: float


def export(runs: Sequence[Run], out: str | Path, *, name: str, version: str, report: bytes | None = None) -> Bundle:
    """Quantize the runs, estimate the fusion, compute golden values and write the bundle, whole or not at all."""
    _refuse_mixed(runs)
    table, unknown = fuse(runs)
    dataset = Dataset.load(runs[0].data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        parity = {run.modality: convert(run, folder) for run in track(runs, "exporting to int8", len(runs))}
        models = {run.modality: TfliteModel(folder / _file(run), threads=1) for run in runs}
        files = {_file(run): (folder / _file(run)).read_bytes() for run in runs}
    judged = {run.modality: getattr(runs[0].manifest.features, run.modality) for run in runs}
    manifest = replace(
        runs[0].manifest,
        name=name,
        version=version,
        features=replace(type(runs[0].manifest.features)(), **judged),
        models={run.modality: _spec(run, models[run.modality]) for run in runs},
        thresholds=Thresholds(unknown=unknown),
        metrics={run.modality: {**run.metrics, **vars(parity[run.modality])} for run in runs},
        provenance=provenance(runs),
    )
    golden = make_golden(_golden_clips(dataset, manifest), manifest, models, table)
    files |= {manifest.fusion: write_fusion(table), GOLDEN: golden.to_npz()}
    return Bundle.save(out, manifest, files if report is None else {**files, "report.html": report})


def convert(run: Run, folder: Path) -> Parity:
    """Write a run's int8 model into `folder`; ExportError if a step changes what it answers."""
    model = run.model()
    dataset = Dataset.load(run.data)
    looks = load_looks(dataset, run.modality, "test").x[:PARITY_LOOKS]
    expected = model.predict(looks, batch_size=64, verbose=0)
    float_file = folder / f"{run.modality}-float.tflite"
    float_file.write_bytes(float_tflite(model))
    from_float = TfliteModel(float_file, threads=2)(looks.astype(np.float32))
    float_difference = float(np.abs(from_float - expected).max())
    if not float_difference <= FLOAT_TOLERANCE:
        msg = (
            f"{run.modality}: float TFLite differs from Keras by {float_difference:.2g}; allowed is {FLOAT_TOLERANCE:g}"
        )
        raise ExportError(msg)
    calibration = load_looks(dataset, run.modality, "train").x
    chosen = np.random.default_rng(0).choice(len(calibration), min(CALIBRATION_LOOKS, len(calibration)), replace=False)
    quantize_file(float_file, calibration[np.sort(chosen)], folder / _file(run), pixels=run.modality != "audio")
    from_int8 = TfliteModel(folder / _file(run), threads=2)(looks)
    agreement = float((from_int8.argmax(axis=1) == expected.argmax(axis=1)).mean())
    return Parity(len(looks), float_difference, agreement, float(np.abs(from_int8 - expected).mean()))


def float_tflite(model: keras.Model) -> bytes:
    """Convert a Keras model to float TFLite: frozen first, since an unfrozen Keras 3 model converts without weights."""
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)]
    function = tf.function(lambda x: model(x, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(*signature))
    classes = model.output_shape[-1]
    module = tf.Module()

    def serve(features: Any) -> dict[str, Any]:  # noqa: ANN401 - a symbolic tensor
        result = frozen(features)
        return {"probabilities": tf.reshape(result[0] if isinstance(result, list) else result, (-1, classes))}

    module.serve = tf.function(serve, input_signature=signature)
    with tempfile.TemporaryDirectory() as saved, quiet():
        tf.saved_model.save(module, saved, signatures={SIGNATURE: module.serve})
        data: bytes = tf.lite.TFLiteConverter.from_saved_model(saved).convert()
    return data


def quantize_file(float_file: Path, looks: NDArray[Any], out: Path, *, pixels: bool) -> None:
    """Write a full-int8 file, input and output included, calibrated on `looks`.

    For `pixels` two corner values of every sample hold the input range at 0..255 (the calibration averages over
    samples), so that scale 1 and zero point -128 store a pixel as it is.
    """
    looks = looks.astype(np.float32)
    if pixels:
        looks[:, 0, :2] = np.array([0, 255])[:, None]
    samples = [{INPUT: look[None]} for look in looks]
    with quiet():
        q = quantizer.Quantizer(str(float_file))
        q.load_quantization_recipe(recipe.static_wi8_ai8())
        q.quantize(q.calibrate({SIGNATURE: samples})).export_model(str(out), overwrite=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Send what the converters print to nowhere: bars of their own and the notes of their C++ parts.

    Errors come as exceptions, which pass. The file descriptors are turned, since C++ knows nothing of sys.stderr.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for target, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, target)
            os.close(copy)
        os.close(nowhere)


def _refuse_mixed(runs: Sequence[Run]) -> None:
    for run in runs[1:]:
        if (run.data, run.data_sha256) != (runs[0].data, runs[0].data_sha256):
            msg = f"{run.path}: was trained on other features than {runs[0].path}; a bundle needs one data set"
            raise DataError(msg)
    modalities = [run.modality for run in runs]
    if len(set(modalities)) != len(modalities):
        msg = f"two runs of the same modality ({', '.join(modalities)}); a bundle holds one of each"
        raise DataError(msg)


def _golden_clips(dataset: Dataset, manifest: Manifest) -> list[Clip]:
    """Take the first second of a few test recordings, spread over the labels."""
    tests: list[Recording] = [r for r in dataset.recordings if r.side == "test"]
    chosen = tests[:: max(1, len(tests) // GOLDEN_CLIPS)][:GOLDEN_CLIPS]
    return [next(read_clips(r.uri, manifest)) for r in chosen]


def _file(run: Run) -> str:
    return f"{run.modality}.tflite"


def _spec(run: Run, model: TfliteModel) -> ModelSpec:
    alpha = run.args.alpha if run.args.backbone == "mobilenet_v2" else 1.0
    return ModelSpec(_file(run), run.args.backbone, alpha, model.input, model.output)
