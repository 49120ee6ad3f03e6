"""80/10/10, stratified by label, by recording: no second of a recording is ever on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.clip import UNKNOWN

from .recordings import DataError, Recording

SIDES = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def split(
    recordings: Sequence[Recording], *, seed: int = 0, fractions: tuple[float, float, float] = FRACTIONS
) -> tuple[Recording, ...]:
    """Give each recording a side, each label in about the same shares; every label gets one of each side at least.

    Recordings of the same content go to the same side. DataError when a label has fewer than three that differ;
    `unknown`, which is no class, may have any number.
    """
    _refuse(fractions)
    rng = np.random.default_rng(seed)
    side: dict[str, str] = {}
    for label in sorted({r.label for r in recordings}):
        groups = _groups([r for r in recordings if r.label == label])
        if len(groups) < len(SIDES) and label != UNKNOWN:
            copies = "" if len(groups) == sum(map(len, groups)) else " that differ"
            msg = (
                f"class {label!r} has {len(groups)} recordings{copies}; a split needs at least {len(SIDES)}, one a side"
            )
            raise DataError(msg)
        order = rng.permutation(len(groups))
        validation, test = (max(1, round(fraction * len(groups))) for fraction in fractions[1:])
        for place, i in enumerate(order):
            name = SIDES[1] if place < validation else SIDES[2] if place < validation + test else SIDES[0]
            side |= dict.fromkeys(groups[i], name)
    return tuple(replace(r, side=side[r.id]) for r in recordings)


def _refuse(fractions: tuple[float, float, float]) -> None:
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        msg = f"fractions {' '.join(f'{f:g}' for f in fractions)}: give three positive numbers whose sum is 1"
        raise DataError(msg)


def _groups(recordings: Sequence[Recording]) -> list[list[str]]:
    """Put the ids of recordings with the same content together; in an order of their own, whatever was given."""
    groups: dict[str, list[str]] = {}
    for r in sorted(recordings, key=lambda r: r.id):
        groups.setdefault(r.sha256 or r.id, []).append(r.id)
    return list(groups.values())


def duplicates(recordings: Sequence[Recording]) -> list[tuple[Recording, ...]]:
    """Give the groups of recordings that have the same content under several names."""
    groups: dict[str, list[Recording]] = {}
    for r in recordings:
        if r.sha256:
            groups.setdefault(r.sha256, []).append(r)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def counts(recordings: Sequence[Recording]) -> list[tuple[str, ...]]:
    """Lay out how many recordings and seconds each label has on each side: a head, a row a label, a sum."""
    labels = sorted({r.label for r in recordings})

    def row(name: str, own: Sequence[Recording]) -> tuple[str, ...]:
        sides = [[r for r in own if r.side == side] for side in SIDES]
        return (name, *(f"{len(side)} ({sum(r.seconds for r in side)} s)" for side in sides))

    rows = [row(label, [r for r in recordings if r.label == label]) for label in labels]
    return [("label", *SIDES), *rows, row("all", recordings)]
