"""80/10/10, stratified by label, by content: no second of a recording, or of its copy, is ever on two sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.clip import UNKNOWN

from .recordings import DataError, Recording

SIDES = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)
Group = tuple[Recording, ...]


def split(
    recordings: Sequence[Recording], *, seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> tuple[Recording, ...]:
    """Give each recording a side, each label in about the same shares; every label gets one of each side at least.

    Recordings of the same content count as one and go to the same side; should their labels differ, they count for
    the first of these. DataError when a label has fewer than three that differ; `unknown`, which is no class, may
    have any number.
    """
    _refuse(fractions)
    rng = np.random.default_rng(seed)
    groups: dict[str, list[Group]] = {}
    for group in _groups(recordings):
        groups.setdefault(_label(group), []).append(group)
    side: dict[str, str] = {}
    given = dict.fromkeys(SIDES, 0)
    for label in sorted({r.label for r in recordings}):
        own = groups.get(label, [])
        if len(own) < len(SIDES) and label != UNKNOWN:
            copies = "" if len(own) == sum(r.label == label for r in recordings) else " that differ"
            msg = f"class {label!r} has {len(own)} recordings{copies}; a split needs at least {len(SIDES)}, one a side"
            raise DataError(msg)
        shares = _shares(len(own), fractions, given)
        given = {name: given[name] + shares[name] for name in SIDES}
        names = [name for name in ("validation", "test", "train") for _ in range(shares[name])]
        for name, i in zip(names, rng.permutation(len(own)), strict=True):
            side |= {r.id: name for r in own[i]}
    return tuple(replace(r, side=side[r.id]) for r in recordings)


def _refuse(fractions: Sequence[float]) -> None:
    above = len(fractions) == len(SIDES) and all(fraction > 0 for fraction in fractions)
    if not (above and math.isclose(sum(fractions), 1, abs_tol=1e-6)):
        msg = f"fractions {' '.join(f'{f:g}' for f in fractions)}: give three positive numbers whose sum is 1"
        raise DataError(msg)


def _groups(recordings: Sequence[Recording]) -> list[Group]:
    """Put recordings with the same content together; in an order of their own, whatever was given."""
    groups: dict[str, list[Recording]] = {}
    for r in sorted(recordings, key=lambda r: r.id):
        groups.setdefault(r.sha256 or f"only {r.id}", []).append(r)
    return [tuple(group) for group in groups.values()]


def _label(group: Group) -> str:
    return min((r.label for r in group), key=lambda label: (label == UNKNOWN, label))


def _shares(count: int, fractions: Sequence[float], given: dict[str, int]) -> dict[str, int]:
    """Deal `count` recordings: one to each side, then each where its label lacks most.

    `given` is what the sides have of other labels; it decides between sides that lack the same. One or two (of
    `unknown`) go where its threshold is set, then where it is learnt.
    """
    first = SIDES if count >= len(SIDES) else ("validation", "train")[:count]
    shares = {name: int(name in first) for name in SIDES}
    ideal = dict(zip(SIDES, fractions, strict=True))
    total = sum(given.values()) + count

    def lacking(name: str) -> tuple[float, float]:
        own = round(ideal[name] * count - shares[name], 9)  # 0.1 * 15 is to be 1.5
        return own, ideal[name] * total - given[name] - shares[name]

    for _ in range(count - sum(shares.values())):
        shares[max(SIDES, key=lacking)] += 1
    return shares


def duplicates(recordings: Sequence[Recording]) -> list[Group]:
    """Give the groups of recordings that have the same content under several names."""
    return [group for group in _groups(recordings) if len(group) > 1]


def counts(recordings: Sequence[Recording]) -> list[tuple[str, ...]]:
    """Lay out how many recordings and seconds each label has on each side: a head, a row a label, a sum."""
    labels = sorted({r.label for r in recordings})

    def row(name: str, own: Sequence[Recording]) -> tuple[str, ...]:
        sides = [[r for r in own if r.side == side] for side in SIDES]
        return (name, *(f"{len(side)} ({sum(r.seconds for r in side)} s)" for side in sides))

    rows = [row(label, [r for r in recordings if r.label == label]) for label in labels]
    return [("label", *SIDES), *rows, row("all", recordings)]
