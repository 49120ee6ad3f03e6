"""A finished training, on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.clip import Modality
from edge.manifest import Manifest

from .args import Args
from .atomic import write_atomically
from .checkpoint import Epoch
from .looks import Looks
from .recordings import DataError

RUN = "run.json"


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, the modality, the settings, and the manifest draft of its features.

    `identity` is the hash of settings and data, `commit` the code's, `history` what each epoch brought.
    """

    path: Path
    modality: Modality
    args: Args
    manifest: Manifest
    data: str
    data_sha256: str
    metrics: dict[str, float]
    seconds: float
    identity: str = ""
    commit: str = "unknown"
    history: tuple[Epoch, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read a run's folder."""
        path = Path(path)
        if not (path / RUN).is_file():
            msg = f"{path}: is not a finished run ({RUN} is missing); make one with `touchline-train fit`"
            raise DataError(msg)
        return msgspec.convert({**msgspec.json.decode((path / RUN).read_bytes()), "path": path}, cls)

    def save(self) -> None:
        """Write the run's record, which makes it finished."""
        raw = {**msgspec.to_builtins(replace(self, path=Path()), enc_hook=str), "path": ""}
        write_atomically(self.path / RUN, msgspec.json.format(msgspec.json.encode(raw), indent=2))

    def model(self) -> Any:  # noqa: ANN401 - a keras.Model, and Keras is loaded only here
        """Load the trained float model."""
        import keras

        return keras.saving.load_model(self.path / "model.keras", compile=False)

    def predictions(self, side: str) -> Looks:
        """Give the float model's probabilities for every look at the validation or test side."""
        with np.load(self.path / f"{side}.npz") as arrays:
            ids = tuple(map(str, arrays["ids"]))
            return Looks(arrays["x"], arrays["y"], arrays["recording"], arrays["second"], ids)
