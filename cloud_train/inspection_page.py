"""An inspection as a page to look at, a list to edit, and data."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import write_atomically
from .dataset import Dataset
from .figures import figure
from .inspection import SHOWN, Inspection
from .page import Picture, Section, Table, write_page
from .sheets import Thumbnail, sheet
from .split import SIDES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, LIST = "inspect.html", "suspects.csv"
LISTED = 200
COLOURS = ("#777777", "#e69f00", "#0072b2")


def write_inspection(dataset: Dataset, found: Inspection, folder: Path, *, judged: bool) -> Path:
    """Write inspect.html, figures/ and, where a bundle judged, suspects.csv; return the page's path."""
    parts = [_counts(dataset), _oddities(found), *([_suspects(found)] if judged else []), *_sheets(found)]
    folder.mkdir(parents=True, exist_ok=True)
    if judged:
        write_atomically(folder / LIST, _list(found))
    return write_page(folder, f"What is in {dataset.path}", parts, name=PAGE)


def to_data(dataset: Dataset, found: Inspection) -> dict[str, Any]:
    """Give all that was found as plain data."""
    return {
        "labels": {
            label: {side or "unsplit": count for side, count in sorted(sides.items())}
            for label, sides in _by_label(dataset).items()
        },
        "odd": [{"recording": o.recording, "uri": o.uri, "what": o.what} for o in found.odd],
        "suspects": [
            {"recording": s.recording.id, "second": s.second, "label": s.recording.label, "found": s.found,
             "score": round(s.score, 4), "side": s.recording.side}
            for s in found.suspects
        ],
        "shares": found.shares(),
    }  # fmt: skip


def _by_label(dataset: Dataset) -> dict[str, Counter[str]]:
    labels: dict[str, Counter[str]] = {}
    for r in dataset.recordings:
        labels.setdefault(r.label, Counter())[r.side] += 1
    return dict(sorted(labels.items()))


def _counts(dataset: Dataset) -> Section:
    labels = _by_label(dataset)
    sizes = {label: sum(sides.values()) for label, sides in labels.items()}
    seconds = sum(r.seconds for r in dataset.recordings)
    text = [
        f"{len(dataset.recordings)} recordings, {seconds} seconds, {len(labels)} labels. The largest has"
        f" {max(sizes.values()) / min(sizes.values()):.1f} times the recordings of the smallest.",
    ]
    small = [label for label, size in sizes.items() if size < len(SIDES)]
    if small:
        text.append(f"Too few to be split, which takes three: {', '.join(small)}.")
    picture = Picture("labels", "Recordings and seconds of every label, by side", _draw_counts(dataset, list(labels)))
    return Section("Labels", text, pictures=[picture])


def _draw_counts(dataset: Dataset, labels: Sequence[str]) -> Figure:
    drawing, axes = figure(11, 4)
    at = {label: i for i, label in enumerate(labels)}
    bottom = [[0.0] * len(labels) for _ in range(2)]
    twin = axes.twinx()
    twin.spines["top"].set_visible(b=False)
    for side, colour in zip(SIDES, COLOURS, strict=True):
        own = [r for r in dataset.recordings if (r.side or SIDES[0]) == side]
        counts, seconds = [0.0] * len(labels), [0.0] * len(labels)
        for r in own:
            counts[at[r.label]] += 1
            seconds[at[r.label]] += r.seconds
        for k, (panel, values) in enumerate(((axes, counts), (twin, seconds))):
            x = [i + (0.2 if k else -0.2) for i in range(len(labels))]
            panel.bar(x, values, 0.38, bottom[k], color=colour, alpha=0.55 if k else 1, label="" if k else side)
            bottom[k] = [a + b for a, b in zip(bottom[k], values, strict=True)]
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_ylabel("recordings (left bars)")
    twin.set_ylabel("seconds (right bars)")
    axes.legend(ncols=3, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return drawing


def _oddities(found: Inspection) -> Section:
    text = [
        "Black or still pictures, silence, what most recordings have and one lacks, faults of single seconds, copies."
        " Two recordings look alike when the difference hashes of their middle pictures differ in at most 4 of 64 bits:"
        " across sides that inflates scores, across labels one label is wrong."
    ]
    rows = [(o.recording, o.what, o.uri) for o in found.odd[:LISTED]]
    if len(found.odd) > LISTED:
        text.append(f"The first {LISTED} of {len(found.odd)}.")
    tables = [Table(("recording", "what", "where"), rows)] if rows else []
    return Section("Odd recordings", text if rows else [*text, "None."], tables)


def _suspects(found: Inspection) -> Section:
    text = [
        "Seconds in which all models that judge them, at least two, agree on another label: worst recordings first."
        f" {LIST} lists all of them.",
        "Seconds of the train side were learnt with their label: a model may have learnt the mistake by heart, and what"
        " it doubts even so is doubtful indeed, but what it does not doubt is not proven. Validation and test are"
        " judged fairly. To judge the train side as fairly, split with another seed, train and inspect again.",
    ]
    by_recording = {s.recording.id: s.recording for s in found.suspects}
    shares = [
        (name, by_recording[name].label, by_recording[name].side, f"{s:.0%}") for name, s in found.shares().items()
    ]
    pairs = Counter((s.recording.label, s.found) for s in found.suspects)
    taken = [(label, other, str(count)) for (label, other), count in pairs.most_common(30)]
    tiles = [
        Thumbnail(s.picture, (f"{s.recording.label}?", f"{s.found} {s.score:.2f}"), s.recording.side)
        for s in found.suspects[:SHOWN]
    ]
    if not tiles:
        return Section("Doubtful labels", [*text, "None."])
    tables = [
        Table(("recording", "label", "side", "doubtful seconds"), shares[:LISTED]),
        Table(("label", "the models say", "seconds"), taken),
    ]
    return Section(
        "Doubtful labels", text, tables, [Picture("suspects", "Label given? and what the models say", sheet(tiles))]
    )


def _sheets(found: Inspection) -> list[Section]:
    return [
        Section(
            label,
            pictures=[
                Picture(
                    f"sheet-{_file(label)}", f"{label}; the bar: grey train, orange validation, blue test", sheet(tiles)
                )
            ],
        )
        for label, tiles in sorted(found.thumbnails.items())
    ]


def _file(label: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in label)


def _list(found: Inspection) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("uri", "label", "recording", "second", "found", "score", "side"))
    rows.writerows(
        (s.recording.uri, s.recording.label, s.recording.id, s.second, s.found, f"{s.score:.4f}", s.recording.side)
        for s in found.suspects
    )
    return text.getvalue().encode()
