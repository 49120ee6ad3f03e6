"""Which features the trees use, by weight, gain and cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.page import Picture, Section, Table

from .part import TRAIN, Part, counted, listed, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

KINDS = {
    "gain": "how much a split on it lowers the loss, on average",
    "weight": "how often a feature splits",
    "cover": "how many rows, by their Hessian, a split on it decides on average",
}
MOST_BARS, MOST_ROWS = 20, 15
BULK, LITTLE = 0.8, 0.001
"""The share of the gain that a handful may bring; and the share below which a feature brings nothing."""


def importance(kinds: Mapping[str, NDArray[np.float64]], features: Sequence[str]) -> Part:
    """Show features by each kind of importance; `kinds` has one value for each feature, and total_gain if saved.

    The bulk is told by total_gain: by the average gain one lucky split would make a feature look important.
    """
    shares = {kind: _share(values) for kind, values in kinds.items()}
    by = "total_gain" if "total_gain" in shares else "gain" if "gain" in shares else next(iter(shares))
    order = np.argsort(-shares[by], kind="stable")
    used = shares[by] > 0
    bulk = int((np.cumsum(shares[by][order]) >= BULK).argmax()) + 1
    little = [features[i] for i in order if used[i] and shares[by][i] < LITTLE]
    unused = [features[i] for i in range(len(features)) if not used[i]]
    pictures = [
        Picture(f"importance-{kind}", _sentence(kind, shares[kind], features), _draw(shares[kind], features, kind))
        for kind in KINDS
        if kind in shares
    ]
    text = [
        f"{counted(bulk, 'feature')} of {len(features)} bring {share(float(shares[by][order[:bulk]].sum()))} of the"
        f" {_words(by)}; {len(little)} bring less than {share(LITTLE)} each, {len(unused)} are never used"
        + (f": {listed(unused, 40)}." if unused else ".")
    ]
    shown = [kind for kind in (*KINDS, "total_gain") if kind in shares]
    head = ("feature", *map(_words, shown))
    rows = [(features[i], *(f"{shares[kind][i]:.4f}" for kind in shown)) for i in order[:MOST_ROWS]]
    section = Section("Feature importance", text, [Table(head, rows)], pictures)
    facts = {"shares": {kind: dict(zip(features, s.tolist(), strict=True)) for kind, s in shares.items()},
             "bulk": [features[i] for i in order[:bulk]], "little": little, "unused": unused}  # fmt: skip
    return Part(section, _advice(little, unused, len(features)), facts)


def _advice(little: list[str], unused: list[str], count: int) -> tuple[str, ...]:
    weak = unused + little
    if not weak or len(weak) == count:
        return ()
    verb, them = ("brings", "it") if len(weak) == 1 else ("bring", "them")
    return (
        f"{counted(len(weak), 'feature')} of {count} {verb} next to nothing ({listed(weak)}): train without, and keep"
        f" {them} out where validation does not get worse.",
    )


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return values / (values.sum() or 1.0)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _sentence(kind: str, shares: NDArray[np.float64], features: Sequence[str]) -> str:
    if not shares.any():
        return f"By {kind}, {KINDS[kind]}: no feature was used."
    order = np.argsort(-shares, kind="stable")[:3]
    named = [f"{features[i]} ({share(float(shares[i]))})" for i in order if shares[i] > 0]
    return f"By {kind}, {KINDS[kind]}: {', '.join(named)} {'lead' if len(named) > 1 else 'leads'}."


def _draw(shares: NDArray[np.float64], features: Sequence[str], kind: str) -> Figure:
    from cloud_train.figures import figure

    order = np.argsort(-shares, kind="stable")[:MOST_BARS]
    drawing, axes = figure(5.6, 0.9 + 0.21 * len(order))
    axes.barh(range(len(order)), shares[order], 0.75, color=TRAIN)
    axes.set_yticks(range(len(order)), [short(features[i]) for i in order], fontsize=8)
    more = f" ({len(order)} of {len(features)})" if len(order) < len(features) else ""
    axes.set(xlabel=f"share of {kind}{more}", ylim=(len(order) - 0.4, -0.6))
    return drawing


def short(name: Any, most: int = 28) -> str:  # noqa: ANN401 - a name of any kind
    """Cut a name for an axis."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"
