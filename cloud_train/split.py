"""80/10/10, stratified by label, by recording: no second of a recording is ever on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .recordings import DataError, Recording

SIDES = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def split(
    recordings: Sequence[Recording], *, seed: int = 0, fractions: tuple[float, float, float] = FRACTIONS
) -> tuple[Recording, ...]:
    """Give each recording a side, each label in about the same shares; every label gets one of each side at least.

    DataError when a label has fewer than three recordings.
    """
    rng = np.random.default_rng(seed)
    side: dict[str, str] = {}
    for label in sorted({r.label for r in recordings}):
        ids = sorted(r.id for r in recordings if r.label == label)
        if len(ids) < len(SIDES):
            msg = f"class {label!r} has {len(ids)} recordings; a split needs at least {len(SIDES)}, one for each side"
            raise DataError(msg)
        rng.shuffle(ids)
        validation, test = (max(1, round(fraction * len(ids))) for fraction in fractions[1:])
        side |= dict.fromkeys(ids[:validation], "validation")
        side |= dict.fromkeys(ids[validation : validation + test], "test")
        side |= dict.fromkeys(ids[validation + test :], "train")
    return tuple(replace(r, side=side[r.id]) for r in recordings)
