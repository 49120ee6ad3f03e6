"""The runtimes that are compared: each function opens a model and gives a call from a look to probabilities.

A look is a uint8 picture `[h, w, 3]`, a log-mel spectrogram `[bands, frames, 1]` or a second of sound `[samples]`.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backbones
import numpy as np

from edge.features import audio_tensor, rgb_tensor
from edge.manifest import Manifest
from edge.quiet import quiet
from edge.tflite import TfliteModel, dequantize, quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

Classify = Callable[["NDArray[Any]"], "NDArray[np.float32]"]
MEDIAPIPE_VERSION_MODULE = "mediapipe.tasks.cc.metadata.python"


class UnavailableError(Exception):
    """A runtime that cannot run a model here; the message says why."""


@dataclass(frozen=True, eq=False)
class Case:
    """One model file with what it looks at; `kind` is of `backbones.KINDS`, or `demo` for the shipped one.

    What a runtime must close goes into `closing`.
    """

    kind: str
    precision: str
    file: Path
    looks: list[NDArray[Any]]
    manifest: Manifest
    threads: int
    closing: ExitStack = field(default_factory=ExitStack)

    @property
    def sound(self) -> bool:
        """Whether looks are seconds of sound and the spectrogram is part of what is timed."""
        return self.kind == "sound"


def ours(case: Case) -> Classify:
    """Give what the pipeline does: features, quantization, invoke, dequantization."""
    if case.sound:
        model = TfliteModel(backbones.model_folder("audio") / "float32.tflite", case.threads)
        return lambda look: model(audio_tensor(look, case.manifest))[0]
    model = TfliteModel(case.file, case.threads)
    if case.kind == "audio":
        return lambda look: model(look)[0]
    return lambda look: model(rgb_tensor(look[None], case.manifest))[0]


def bare(case: Case) -> Classify:
    """Give LiteRT's interpreter with nothing around it; looks are quantized beforehand."""
    from ai_edge_litert.interpreter import Interpreter

    spec = TfliteModel(case.file, 1)
    call = _interpreter(Interpreter, case)
    stored = {id(look): quantize(look[None], spec.input) for look in case.looks}
    return lambda look: dequantize(call(stored[id(look)]), spec.output)


def tensorflow(case: Case) -> Classify:
    """Give TensorFlow's own interpreter."""
    import warnings

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says, at length, that it has moved to LiteRT
        interpreter = _import("tensorflow").lite.Interpreter
        call = _interpreter(interpreter, case)
    spec = TfliteModel(case.file, 1)
    return lambda look: dequantize(call(quantize(look[None], spec.input)), spec.output)


def onnxruntime(case: Case) -> Classify:
    """Give onnxruntime on the model converted to ONNX."""
    ort, file = _import("onnxruntime"), _onnx(case)
    options = ort.SessionOptions()
    options.intra_op_num_threads = case.threads
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda look: session.run(None, {name: look[None].astype(np.float32)})[0][0]


def opencv(case: Case) -> Classify:
    """Give OpenCV's DNN module on ONNX, which it runs faster than TFLite; TFLite where there is no ONNX."""
    import cv2

    cv2.setNumThreads(case.threads)
    if case.sound:
        msg = "has no spectrogram"
        raise UnavailableError(msg)
    try:
        from_onnx = case.precision == "float32"
        with quiet():
            net = cv2.dnn.readNetFromONNX(_onnx(case)) if from_onnx else cv2.dnn.readNetFromTFLite(str(case.file))
    except cv2.error as error:
        msg = f"does not load the int8 file: {error.err.strip()}"
        raise UnavailableError(msg) from None

    def classify(look: NDArray[Any]) -> NDArray[np.float32]:
        net.setInput(look[None].astype(np.float32) if from_onnx else cv2.dnn.blobFromImage(look))
        return net.forward()[0]

    return classify


def mediapipe(case: Case) -> Classify:
    """Give MediaPipe's classifier tasks; they run one thread and offer no other number."""
    if case.kind in ("audio", "demo"):
        reason = "wants sound, not a spectrogram (see sound)" if case.kind == "audio" else "refuses int8 tensors"
        raise UnavailableError(reason)
    if case.threads > 1:
        msg = "runs one thread; compare with --threads 1"
        raise UnavailableError(msg)
    mp, content = _import("mediapipe"), with_metadata(case)
    from mediapipe.tasks import python as tasks

    base = tasks.BaseOptions(model_asset_buffer=content)
    count = len(case.manifest.labels)
    if case.sound:
        listener = tasks.audio.AudioClassifier.create_from_options(tasks.audio.AudioClassifierOptions(base))
        case.closing.enter_context(listener)
        wrap, rate = tasks.components.containers.AudioData.create_from_array, case.manifest.clip.sample_rate_hz
        return lambda look: _scores(listener.classify(wrap(look, rate))[0], count)
    watcher = tasks.vision.ImageClassifier.create_from_options(tasks.vision.ImageClassifierOptions(base))
    case.closing.enter_context(watcher)
    return lambda look: _scores(watcher.classify(mp.Image(mp.ImageFormat.SRGB, look)), count)


def with_metadata(case: Case) -> bytes:
    """Add the metadata without which MediaPipe opens no model."""
    # Version 1.2 imports a C++ module that its wheel lacks; it would only say which reader the metadata needs.
    stand_in = types.ModuleType(MEDIAPIPE_VERSION_MODULE)
    stand_in._pywrap_metadata_version = types.SimpleNamespace(GetMinimumMetadataParserVersion=lambda _: "1.0.0")  # noqa: SLF001
    parts = MEDIAPIPE_VERSION_MODULE.split(".")
    for i in range(3, len(parts)):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    sys.modules.setdefault(MEDIAPIPE_VERSION_MODULE, stand_in)
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    from mediapipe.tasks.python.metadata.metadata_writers import metadata_info, metadata_writer

    file = case.file if case.precision == "float32" else case.file.with_name("uint8.tflite")
    writer = metadata_writer.MetadataWriter.create(bytearray(file.read_bytes()))
    writer.add_general_info("classifier")
    if case.sound:
        sound = metadata_info.TensorMd(name="audio", content_type=schema.ContentProperties.AudioProperties)
        made = sound.create_metadata()
        made.content.contentProperties.sampleRate = case.manifest.clip.sample_rate_hz
        made.content.contentProperties.channels = 1
        sound.create_metadata = lambda: made
        writer._input_mds.append(sound)  # noqa: SLF001 - the writer has no method for sound
    else:
        writer.add_image_input([0.0], [1.0])
    writer.add_classification_output(metadata_writer.Labels().add(list(case.manifest.labels)))
    return bytes(writer.populate()[0])


def _scores(result: Any, count: int) -> NDArray[np.float32]:  # noqa: ANN401 - MediaPipe's ClassificationResult
    scores = np.zeros(count, np.float32)
    for category in result.classifications[0].categories:
        scores[category.index] = category.score
    return scores


def _interpreter(make: Any, case: Case) -> Classify:  # noqa: ANN401 - two classes of one shape, without types
    with quiet():
        interpreter = make(model_path=str(case.file), num_threads=case.threads)
        interpreter.allocate_tensors()
    given, found = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call(stored: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(given, stored)
        interpreter.invoke()
        return interpreter.get_tensor(found)[0]

    return call


def _onnx(case: Case) -> str:
    if case.kind in ("demo", "sound"):
        msg = "no ONNX of it: only its int8 TFLite is shipped" if case.kind == "demo" else "its ONNX has no spectrogram"
        raise UnavailableError(msg)
    _import("tf2onnx")
    try:
        return str(backbones.onnx_folder(case.kind) / f"{case.precision}.onnx")
    except RuntimeError as error:
        raise UnavailableError(str(error)) from None


def _import(name: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        msg = f"not installed ({error.name})"
        raise UnavailableError(msg) from None


RUNTIMES: dict[str, Callable[[Case], Classify]] = {
    "Touchline": ours,
    "LiteRT, bare": bare,
    "TensorFlow Interpreter": tensorflow,
    "onnxruntime": onnxruntime,
    "OpenCV DNN": opencv,
    "MediaPipe task": mediapipe,
}
