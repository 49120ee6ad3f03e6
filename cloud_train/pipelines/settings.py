"""What may be set on a pipeline, read and checked before anything starts and once more in each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloud_train.args import Args
from cloud_train.cli.hyperparameters import args_of, checked, defaults
from cloud_train.presets import PRESETS, manifest_draft, preset_args
from cloud_train.recordings import DataError
from edge.clip import Modality
from edge.manifest import Manifest

REFERENCE = "reference"
"""The preset that is none: the defaults of `touchline-train fit`."""
PRESET_NAMES = (*PRESETS, REFERENCE)


def training_args(preset: str, settings: Mapping[str, str], modality: Modality) -> Args:
    """Give one modality's training settings: what was set, else the preset's."""
    known = require_preset(preset)
    base = preset_args(PRESETS[known], modality) if known in PRESETS else None
    return args_of(checked(settings), modality, base)


def draft(preset: str, settings: Mapping[str, str]) -> Manifest:
    """Say how features are made: as was set, else as the preset does."""
    known = require_preset(preset)
    base: dict[str, Any] = {"pixels": PRESETS[known].pixels} if known in PRESETS else {}
    names = ("pixels", "frames_per_second", "flow_fields", "sound")
    chosen = {**{name: defaults()[name] for name in names}, **base}
    chosen |= {name: value for name, value in checked(settings).items() if name in names}
    return manifest_draft(chosen.pop("pixels"), **chosen)


def require_preset(preset: str) -> str:
    """Give the preset's name back; DataError where there is none."""
    if preset not in PRESET_NAMES:
        msg = f"preset {preset!r} is not known; known are {', '.join(PRESET_NAMES)}"
        raise DataError(msg)
    return preset
