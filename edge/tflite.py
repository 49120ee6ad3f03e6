"""A TFLite file as a function: array in, probabilities out."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .manifest import BundleError, TensorSpec
from .quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite")
"""Where an Interpreter may come from, best first: tflite-runtime 2.14 was measured 2 to 14 times slower."""
PROBE_SECONDS = 60
LOOKS_AT_ONCE = 8
"""Looks in one invocation: a second's are a tenth faster together than one by one, and memory stays small."""
SMALL_MODEL_BYTES = 4_000_000


class TfliteModel:
    """A classifier read from a .tflite file; call it with a feature tensor `[n, ...]` for probabilities `[n, classes]`.

    Quantization is read from the file: `input` and `output` are its tensors' specs. BundleError if the file is no
    model with one input and one output. Load files of unknown origin with `probe` first. `delegate` is the path of a
    library that runs what it can of the model; BundleError too if it cannot be loaded.
    """

    def __init__(self, path: Path, threads: int | None = None, delegate: str = "") -> None:
        runtime = tflite_runtime()
        self.threads = threads or default_threads(path)
        try:
            with quiet():
                delegates = [_load(runtime, delegate)] if delegate else None
                self._interpreter = runtime.Interpreter(
                    str(path), num_threads=self.threads, experimental_delegates=delegates
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            msg = f"{path.name}: not a usable TFLite model ({str(error).splitlines()[0]})"
            raise BundleError(msg) from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            msg = f"{path.name}: has {len(inputs)} inputs and {len(outputs)} outputs; a classifier has one of each"
            raise BundleError(msg)
        self.input, self._input_index = _spec(inputs[0]), int(inputs[0]["index"])
        self.output, self._output_index = _spec(outputs[0]), int(outputs[0]["index"])
        self._batch, self._resizable = self.input.shape[0], True

    def __call__(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Classify each look of `tensor`."""
        return dequantize(self.invoke(quantize(tensor.reshape(-1, *self.input.shape[1:]), self.input)), self.output)

    def invoke(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Run the bare interpreter on stored (quantized) looks `[n, ...]`, several at once; give stored answers."""
        answers, done = [], 0
        while done < len(stored):
            room = self._make_room(min(len(stored) - done, LOOKS_AT_ONCE))
            self._interpreter.set_tensor(self._input_index, stored[done : done + room])
            self._interpreter.invoke()
            answers.append(self._interpreter.get_tensor(self._output_index))
            done += room
        return np.concatenate(answers)

    def _make_room(self, looks: int) -> int:
        """Resize the model for so many looks; return how many there is room for: 1 if its graph cannot be resized."""
        if looks != self._batch and self._resizable:
            try:
                self._resize(looks)
            except RuntimeError:
                self._resizable = False
                self._resize(1)
        return self._batch

    def _resize(self, looks: int) -> None:
        self._interpreter.resize_tensor_input(self._input_index, [looks, *self.input.shape[1:]])
        self._interpreter.allocate_tensors()
        self._batch = looks
        if self._interpreter.get_output_details()[0]["shape"][0] != looks:
            msg = "the graph holds its batch fixed"
            raise RuntimeError(msg)


def quantize(real: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Turn real values into what the tensor stores: round(real / scale) + zero_point, clipped to its dtype."""
    if spec.dtype == "float32":
        return real.astype(np.float32, copy=False)
    if real.dtype == np.uint8 and (spec.dtype, spec.scale, spec.zero_point) == ("int8", 1.0, -128):
        return (real ^ np.uint8(0x80)).view(np.int8)  # the same arithmetic for pixels 0..255, 20 times faster
    limits = np.iinfo(spec.dtype)
    stored = np.round(real.astype(np.float32) / spec.scale) + spec.zero_point
    clipped: NDArray[Any] = np.clip(stored, limits.min, limits.max).astype(spec.dtype)
    return clipped


def dequantize(stored: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """Turn stored values into real ones: scale * (stored - zero_point)."""
    if spec.dtype == "float32":
        return stored
    real: NDArray[np.float32] = (stored.astype(np.float32) - spec.zero_point) * np.float32(spec.scale)
    return real


def tflite_runtime() -> Any:  # noqa: ANN401 - three packages share the shape of this module, and no type
    """Import the best TFLite runtime that is installed."""
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    msg = f"no TFLite runtime is installed; one of {', '.join(RUNTIMES)} is needed: pip install ai-edge-litert"
    raise BundleError(msg)


def _load(runtime: Any, library: str) -> Any:  # noqa: ANN401 - as above
    load = runtime.load_delegate if hasattr(runtime, "load_delegate") else runtime.experimental.load_delegate
    try:
        return load(library)
    except (OSError, AttributeError, ValueError) as error:  # no library, no delegate, or one without its device
        raise BundleError(" ".join(str(error).split())) from None


def default_threads(path: Path) -> int:
    """Threads for one interpreter when nobody says: one for a small model, else the cores at hand, at most 4.

    Below SMALL_MODEL_BYTES waking the other threads costs more than they bring.
    """
    return 1 if path.stat().st_size < SMALL_MODEL_BYTES else cores()


def cores() -> int:
    """How many cores this process may use, at most 4."""
    return min(4, len(os.sched_getaffinity(0)))


def probe(paths: Sequence[Path]) -> None:
    """Load and run each model once in a child process, since a malformed file can kill its interpreter by a signal.

    BundleError names the file that did not survive.
    """
    command = [sys.executable, "-m", "edge.tflite", *map(str, paths)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        loaded = (error.stdout or b"").decode().split()
        msg = f"{paths[len(loaded)].name}: loading it did not end within {PROBE_SECONDS} s; the file is malformed"
        raise BundleError(msg) from None
    if child.returncode == 0:
        return
    loaded = child.stdout.split()
    file = paths[len(loaded)].name if len(loaded) < len(paths) else "the models"
    if child.returncode < 0:
        msg = f"{file}: malformed: loading it killed the interpreter with signal {-child.returncode}"
    else:
        msg = child.stderr.strip().splitlines()[-1] if child.stderr.strip() else f"{file}: cannot be loaded"
    raise BundleError(msg)


def _probe_here(paths: Sequence[str]) -> int:
    """Be the child of `probe`: print each file's name once it has been loaded and run."""
    for path in paths:
        try:
            model = TfliteModel(Path(path), threads=1)
            model.invoke(np.zeros(model.input.shape, model.input.dtype))
        except (BundleError, ValueError, RuntimeError) as error:
            message = str(error).splitlines()[0]
            sys.stderr.write(f"{message if isinstance(error, BundleError) else f'{Path(path).name}: {message}'}\n")
            return 1
        sys.stdout.write(f"{Path(path).name}\n")
        sys.stdout.flush()
    return 0


def _spec(details: dict[str, Any]) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    return TensorSpec(shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))


if __name__ == "__main__":
    sys.exit(_probe_here(sys.argv[1:]))
