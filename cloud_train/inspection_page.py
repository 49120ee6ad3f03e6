"""An inspection as one page to look at: what to correct first comes first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .dataset import Dataset
from .facts import FEW_RECORDINGS, NOT_SPLIT, side_of
from .inspection import SUSPECTS, Inspection
from .page import Picture, Section, Table, write_page
from .recordings import Recording
from .sheets import Thumbnail, contact_sheet, draw_counts, evenly, look_at
from .suspects import Suspect, Suspicion, instead
from .twins import NEAR_BITS

PAGE = "inspect.html"
NAMES = {"rgb": "a picture", "flow": "motion", "audio": "sound"}
MOST = 40
"""Rows and pictures in each part of the page: the first that one wants to see. The files have all."""


def write_inspection_page(folder: Path, dataset: Dataset, found: Inspection) -> Path:
    """Write inspect.html and figures/; return the page's path."""
    parts = [_summary(dataset, found)]
    if found.suspicion is not None:
        parts += _suspicion(dataset, found.suspicion)
    parts += [_classes(found), _oddities(dataset, found), _twins(dataset, found)]
    parts.append(_sheets(dataset))
    return write_page(folder, f"Inspection of {dataset.path.resolve().name}", parts, name=PAGE)


def _summary(dataset: Dataset, found: Inspection) -> Section:
    rows = [
        ("recordings", f"{found.recordings:,}"),
        *((f"of these with {NAMES[name]}", f"{n:,}") for name, n in found.having.items()),
        ("seconds", f"{found.seconds:,}"),
        ("classes", f"{len(found.classes):,}"),
        ("largest class to smallest, in recordings", _ratio(found.imbalance("recordings"))),
        ("largest class to smallest, in seconds", _ratio(found.imbalance("seconds"))),
        *((kind, f"{n:,}") for kind, n in found.counts().items()),
    ]
    text = [f"Features in {dataset.path}, as the models see them."]
    return Section("Summary", text, [Table(("what", "how many"), rows)])


def _suspicion(dataset: Dataset, found: Suspicion) -> list[Section]:
    return [_suspect_recordings(dataset, found), _suspect_seconds(dataset, found), _suspect_classes(found)]


def _suspect_recordings(dataset: Dataset, found: Suspicion) -> Section:
    recordings = {r.id: r for r in dataset.recordings}
    text = [
        f"A second is suspect if no model of {found.bundle} gives it its label. Found is what the models' fusion says;"
        " unknown, if it is not sure enough: perhaps the second shows none of the labels. The score is the mean"
        " probability of the label found over all models that voted; the odds are how many times more probable that is"
        " than the label given. Recordings are ordered by the share of such seconds, then by their odds: a whole"
        f" mislabelled one comes first. To correct labels, edit {SUSPECTS}.",
        _warning(found),
    ]
    if found.unjudged:
        text.append(f"{found.unjudged} recordings bear a label that the bundle does not know; they were not judged.")
    if not found.recordings:
        return Section("Suspect recordings", [*text, "None."])
    rows = [
        (
            str(i),
            r.recording,
            r.label,
            r.found,
            f"{r.suspects} of {r.seconds}",
            f"{r.score:.2f}",
            f"{r.odds:.1f}",
            r.side,
        )
        for i, r in enumerate(found.recordings[:MOST], 1)
    ]
    cells = [
        Thumbnail(look_at(dataset, recordings[r.recording]), f"{i}. {r.label}\n→ {r.found} {r.score:.2f}", r.side)
        for i, r in enumerate(found.recordings[:MOST], 1)
    ]
    head = ("", "recording", "label", "found", "seconds", "score", "odds", "side")
    caption = "The middle picture of each: its label, then what the models find"
    return Section(
        "Suspect recordings", [*text, *_more(found.recordings)], [Table(head, rows)],
        [Picture("suspect-recordings", caption, contact_sheet("", cells))],
    )  # fmt: skip


def _warning(found: Suspicion) -> str:
    if not found.learnt_here:
        return (
            "The bundle names another data set, or another split of this one, as what it learnt from. Where the two"
            " share recordings, a wrong label may have been learnt by heart and is not found; all others are judged"
            " fairly."
        )
    return (
        "The bundle learnt the labels of the train side, wrong ones too: a mistake that was learnt by heart is not"
        " found there. The validation and test sides are judged fairly. To judge every recording fairly, cross-fit:"
        " split again with another seed, train, and inspect the new validation and test sides, until each recording"
        " has been on one of them."
    )


def _suspect_seconds(dataset: Dataset, found: Suspicion) -> Section:
    if not found.suspects:
        return Section("Suspect seconds", ["None."])
    recordings = {r.id: r for r in dataset.recordings}
    rows = [
        (
            str(i), s.recording, str(s.second), s.label, s.found, f"{s.score:.2f}", f"{s.odds:.1f}",
            f"{s.agreeing} of {s.voting}", _votes(s), s.side,
        )
        for i, s in enumerate(found.suspects[:MOST], 1)
    ]  # fmt: skip
    cells = [
        Thumbnail(
            look_at(dataset, recordings[s.recording], s.second), f"{i}. {s.label}\n→ {s.found} {s.score:.2f}", s.side
        )
        for i, s in enumerate(found.suspects[:MOST], 1)
    ]
    head = ("", "recording", "second", "label", "found", "score", "odds", "agree", "votes", "side")
    return Section(
        "Suspect seconds", ["Those of the highest odds first.", *_more(found.suspects)], [Table(head, rows)],
        [Picture("suspect-seconds", "Each second's middle picture", contact_sheet("", cells))],
    )  # fmt: skip


def _votes(suspect: Suspect) -> str:
    return ", ".join(f"{name} {label} {score:.2f}" for name, (label, score) in suspect.votes.items())


def _suspect_classes(found: Suspicion) -> Section:
    seconds: Counter[str] = Counter()
    sides: Counter[str] = Counter()
    for each in found.judged:
        seconds[each.label] += each.seconds
        sides[each.side] += each.seconds
    suspects = Counter(s.side for s in found.suspects)
    by_side = [(s, f"{n:,}", f"{suspects[s]:,}", f"{suspects[s] / max(1, n):.1%}") for s, n in sides.items()]
    said = sorted(instead(found).items(), key=lambda item: -item[1].total() / seconds[item[0]])
    rows = [
        (
            label, f"{seconds[label]:,}", f"{other.total():,}", f"{other.total() / seconds[label]:.1%}",
            ", ".join(f"{name} {n}" for name, n in other.most_common(5)),
        )
        for label, other in said
    ]  # fmt: skip
    head = ("seconds", "suspect", "share")
    tables = [Table(("side", *head), by_side)]
    tables += [Table(("label", *head, "what the models say instead"), rows)] if rows else []
    return Section("Suspect classes", tables=tables)


def _classes(found: Inspection) -> Section:
    few = [c.label for c in found.classes if sum(c.recordings.values()) < FEW_RECORDINGS]
    lacking = [(c.label, side) for c in found.classes for side, n in c.recordings.items() if not n]
    text = []
    if few:
        text.append(f"Fewer than {FEW_RECORDINGS} recordings, too few for 80/10/10: {', '.join(few)}.")
    text += [f"No recording of {label} is on the {side} side." for label, side in lacking if side != NOT_SPLIT]
    if any(NOT_SPLIT in c.recordings for c in found.classes):
        text.append("Recordings without a side get one from `touchline-train split`.")
    pictures = [
        Picture(f"classes-{what}", f"{what.capitalize()} of each class", draw_counts(found.classes, what))
        for what in ("recordings", "seconds")
    ]
    return Section("Classes", text, pictures=pictures)


def _oddities(dataset: Dataset, found: Inspection) -> Section:
    if not found.oddities:
        return Section("Odd recordings", ["None."])
    rows = [(o.kind, o.recording, o.label, o.side, o.detail) for o in found.oddities[:MOST]]
    text = ["For seconds that could not be read, faults.csv beside the features tells why."]
    recordings = {r.id: r for r in dataset.recordings}
    cells = [
        Thumbnail(look_at(dataset, recordings[o.recording]), f"{o.kind}\n{o.recording}", o.side)
        for o in found.oddities[:MOST]
    ]
    return Section(
        "Odd recordings", [*text, *_more(found.oddities)],
        [Table(("what", "recording", "label", "side", "where"), rows)],
        [Picture("odd", "What can be seen or heard of them", contact_sheet("", cells))],
    )  # fmt: skip


def _twins(dataset: Dataset, found: Inspection) -> Section:
    text = [
        "What lies on two sides of a split makes scores look better than they are. Identical recordings have the same"
        " SHA-256. Near-duplicates are found by a perceptual hash of the middle picture (dHash, 16 x 16 bits: where it"
        f" gets brighter to the right): two on different sides that differ in at most {NEAR_BITS} of 256 bits, for each"
        " recording the nearest; where nothing is split, any two. It finds what was compressed again, scaled or cropped"
        " a little; other cuts of one match, and sound without picture, it does not find.",
    ]
    if not found.copies and not found.near:
        return Section("Duplicates", [*text, "None."])
    groups = [
        (
            ", ".join(r.id for r in g), ", ".join(sorted({r.label for r in g})),
            ", ".join(sorted({side_of(r) for r in g})),
        )
        for g in found.copies[:MOST]
    ]  # fmt: skip
    pairs = [
        (p.one.id, p.other.id, f"{p.one.label}, {p.other.label}", f"{side_of(p.one)}, {side_of(p.other)}", str(p.bits))
        for p in found.near[:MOST]
    ]
    tables = [Table(("identical recordings", "labels", "sides"), groups)] if groups else []
    tables += [Table(("near-duplicates", "", "labels", "sides", "bits"), pairs)] if pairs else []
    both = [r for g in found.copies for r in g] + [r for p in found.near for r in (p.one, p.other)]
    cells = [_named(dataset, r) for r in both[:MOST]]
    picture = Picture("duplicates", "In the order of the tables", contact_sheet("", cells))
    return Section("Duplicates", [*text, *_more(found.copies), *_more(found.near)], tables, [picture])


def _sheets(dataset: Dataset) -> Section:
    labels: dict[str, list[Recording]] = {}
    for r in dataset.recordings:
        labels.setdefault(r.label, []).append(r)
    pictures = []
    for i, (label, own) in enumerate(sorted(labels.items())):
        chosen = evenly(own)
        name = f"class-{i:03d}-{re.sub(r'[^A-Za-z0-9-]', '_', label)}"
        sheet = contact_sheet(f"{label}, {len(chosen)} of {len(own)}", [_named(dataset, r) for r in chosen])
        pictures.append(Picture(name, f"{len(chosen)} of {len(own)} recordings of {label}", sheet))
    text = "The middle picture of each recording; without pictures, the spectrogram of its middle second."
    return Section("What classes show", [text], pictures=pictures)


def _named(dataset: Dataset, recording: Recording) -> Thumbnail:
    name = recording.id.removeprefix(f"{recording.label}--")
    return Thumbnail(look_at(dataset, recording), name, side_of(recording))


def _more(rows: Sequence[object]) -> list[str]:
    return [f"The first {MOST} of {len(rows):,} are shown here."] if len(rows) > MOST else []


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
