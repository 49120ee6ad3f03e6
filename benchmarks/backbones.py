"""Full-size models with random weights, made once by the training half in a process of its own, and kept.

Speed does not depend on what a model has learnt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import media

from edge.bundle import Bundle
from edge.clip import Modality
from edge.fusion import Majority, write_fusion
from edge.manifest import AudioFeatures, ClipSpec, Features, FlowFeatures, Manifest, ModelSpec, RgbFeatures
from edge.tflite import TfliteModel

CLASSES = 25
PIXELS = 224
SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class Kind:
    """A network to make: for which modality, on which backbone, how wide."""

    modality: Modality
    backbone: str
    alpha: float = 1.0


KINDS = {
    "resnet50": Kind("rgb", "resnet50"),
    "mobilenet_v2": Kind("rgb", "mobilenet_v2"),
    "mobilenet_v2_075": Kind("rgb", "mobilenet_v2", 0.75),
    "mobilenet_v2_050": Kind("rgb", "mobilenet_v2", 0.5),
    "audio": Kind("audio", "mobilenet_v2"),
    "tiny": Kind("rgb", "mobilenet_v2", 0.35),
    "tiny_audio": Kind("audio", "mobilenet_v2", 0.35),
}


def manifest(pixels: int = PIXELS) -> Manifest:
    """Say what a second is: five pictures, one flow field, log-mel of 128 bands."""
    features = Features(
        RgbFeatures(pixels, pixels), FlowFeatures(pixels, pixels, fields=1, bound_pixels=0.15 * pixels), AudioFeatures()
    )
    labels = tuple(f"label {i:02}" for i in range(CLASSES))
    return Manifest(labels, ClipSpec(5, pixels, pixels, SAMPLE_RATE_HZ), features, name="benchmark", version="1")


def full_bundle() -> Path:
    """Give the full bundle: ResNet50 at 224 pixels for picture and for motion, MobileNetV2 1.0 for sound, all int8."""
    return media.cached("full-bundle", lambda path: _bundle(path, "resnet50", "audio", PIXELS))


def tiny_bundle() -> Path:
    """Give a bundle as the full one, but of small networks at 64 pixels."""
    return media.cached("tiny-bundle", lambda path: _bundle(path, "tiny", "tiny_audio", 64))


def model_folder(kind: str, pixels: int = PIXELS) -> Path:
    """Give the folder of one of KINDS: `float32.tflite`, `int8.tflite` and `uint8.tflite` (int8 but for its ends).

    The one for sound has `waveform.tflite` too: float32, with the log-mel spectrogram as part of the model.
    """
    return media.cached(f"{kind}-{pixels}", lambda path: _in_child("tflite", kind, pixels, path))


def onnx_folder(kind: str, pixels: int = PIXELS) -> Path:
    """Give the folder with the same model as `float32.onnx` and, quantized by onnxruntime's own tool, `int8.onnx`."""
    model_folder(kind, pixels)
    return media.cached(f"{kind}-{pixels}-onnx", lambda path: _in_child("onnx", kind, pixels, path))


def _bundle(path: Path, picture: str, sound: str, pixels: int) -> None:
    chosen = {"rgb": picture, "flow": picture, "audio": sound}
    files = {name: model_folder(kind, pixels) / "int8.tflite" for name, kind in chosen.items()}
    models = {}
    for name, kind in chosen.items():
        opened = TfliteModel(files[name], threads=1)
        models[name] = ModelSpec(f"{name}.tflite", KINDS[kind].backbone, KINDS[kind].alpha, opened.input, opened.output)
    contents = {f"{name}.tflite": file.read_bytes() for name, file in files.items()}
    spec = replace(manifest(pixels), models=models)
    Bundle.save(path, spec, {**contents, spec.fusion: write_fusion(Majority())})


def _in_child(form: str, kind: str, pixels: int, path: Path) -> None:
    """Keep TensorFlow, its threads and its memory out of the process that measures."""
    print(f"making {kind} at {pixels} pixels as {form} (once; up to a minute)", file=sys.stderr, flush=True)
    here = Path(__file__).resolve().parent
    search = os.pathsep.join([str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.run(
        [sys.executable, str(here / "conversions.py"), form, kind, str(pixels), str(path)],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if child.returncode:
        msg = f"{kind} could not be made as {form}: {(child.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        raise RuntimeError(msg)
