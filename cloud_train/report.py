"""What was measured of a bundle as one page to read, as drawings and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.clip import Modality

from .atomic import write_atomically
from .figures import draw_classes, draw_confusion, draw_history, draw_levels, draw_reliability
from .judgement import BINS, FUSED, Judgement
from .page import Picture, Section, Table, page, write_page

if TYPE_CHECKING:
    from .runs import Run

REPORT, METRICS = "report.html", "metrics.json"


def write_report(folder: Path, title: str, judgement: Judgement) -> Path:
    """Write report.html, figures/ and metrics.json; return the page's path."""
    file = write_page(folder, title, sections(judgement), name=REPORT)
    write_atomically(folder / METRICS, to_json(judgement))
    return file


def bundle_files(
    title: str, judgement: Judgement, runs: Sequence[Run], compared: Mapping[str, Mapping[str, Any]]
) -> dict[str, bytes]:
    """Give report.html and metrics.json for a bundle; `compared` tells how far int8 is from float."""
    parts = [*sections(judgement), _int8(compared), *(_training(run) for run in runs)]
    return {REPORT: page(title, parts).encode(), METRICS: to_json(judgement)}


def to_json(judgement: Judgement) -> bytes:
    """Give all figures as JSON: one key for each judge, as in the table, and `judgement` with the rest."""
    raw = msgspec.to_builtins(judgement)
    judges = raw.pop("judges")
    return msgspec.json.format(msgspec.json.encode({**judges, "judgement": raw}), indent=2) + b"\n"


def sections(judgement: Judgement) -> list[Section]:
    """Lay a judgement out for reading, the answer first."""
    return [_summary(judgement), _labels(judgement), _confusion(judgement), _certainty(judgement), _mistakes(judgement)]


def _summary(judgement: Judgement) -> Section:
    fused = judgement.judges[FUSED]
    sets = "one test set" if judgement.test_sets == 1 else f"{judgement.test_sets} test sets"
    text = [
        f"Of {fused.seconds} seconds in {fused.recordings} recordings ({sets}), {fused.accuracy:.1%} are given their"
        f" right label, and {fused.recording_accuracy:.1%} of the recordings.",
        f"By F1 over recordings, fused, against F1 over seconds of one alone, as the reference compares, that is"
        f" {_gains(judgement, 'over_seconds')}. With F1 over recordings on both sides it is"
        f" {_gains(judgement, 'over_recordings')}.",
    ]
    head = ("judge", "looks", "accuracy", "F1", "seconds", "accuracy", "F1", "recordings", "accuracy", "F1")
    rows = [
        (
            name, _count(j.looks), _share(j.look_accuracy), _share(j.look_f1), _count(j.seconds), _share(j.accuracy),
            _share(j.f1), _count(j.recordings), _share(j.recording_accuracy), _share(j.recording_f1),
        )
        for name, j in judgement.judges.items()
    ]  # fmt: skip
    pictures = [Picture("levels", "F1 over looks, seconds and whole recordings", draw_levels(judgement))]
    return Section("Summary", text, [Table(head, rows)], pictures)


def _labels(judgement: Judgement) -> Section:
    names = list(judgement.judges)
    own = {name: {c.label: c for c in judgement.judges[name].classes} for name in names}
    rows = [
        (
            label,
            *(_spread(own[n][label].f1, own[n][label].f1_deviation) if label in own[n] else "" for n in names),
            _spread(own[FUSED][label].recording_f1, own[FUSED][label].recording_f1_deviation),
        )
        for label in own[FUSED]
    ]
    text = (
        "F1 over seconds of every label, mean and standard deviation over the test sets; last, fused over recordings."
    )
    picture = Picture("classes", "F1 of every label; error bars: deviation over test sets", draw_classes(judgement))
    return Section("Labels", [text], [Table(("label", *names, "fused, recordings"), rows)], [picture])


def _confusion(judgement: Judgement) -> Section:
    text = [f"{count} seconds of {true} were taken for {given}." for true, given, count in judgement.confused]
    pictures = [
        Picture(
            f"confusion-{name}",
            f"{name}: recordings by true label and label given",
            draw_confusion(j, judgement.labels),
        )
        for name, j in reversed(judgement.judges.items())
    ]
    return Section("Confusion", text or ["No second was given a wrong label."], pictures=pictures)


def _certainty(judgement: Judgement) -> Section:
    unknown = judgement.unknown
    text = [
        f"The calibration error is the mean distance between score and share of right seconds, over {BINS} bins of the"
        " score weighed by their seconds: 0 where a score means what it says.",
        f"Below a score of {unknown.threshold:.3f} a second is called unknown. That keeps {unknown.right_kept:.1%} of"
        " the right decisions"
        + (f" and refuses {unknown.refused:.1%} of {unknown.seconds} unknown seconds." if unknown.refused is not None
           else "; no unknown seconds were among these."),
    ]  # fmt: skip
    picture = Picture(
        "reliability", "Share of right seconds by score; areas are shares of seconds", draw_reliability(judgement)
    )
    return Section("Certainty", text, pictures=[picture])


def _mistakes(judgement: Judgement) -> Section:
    rows = [
        (a.recording, str(a.second), judgement.labels[a.truth], judgement.labels[a.label], f"{a.score:.3f}")
        for a in judgement.mistakes
    ]
    text = "The surest mistakes first: often the label is what is wrong." if rows else "None."
    return Section(
        "Mistakes", [text], [Table(("recording", "second", "label", "given", "score"), rows)] if rows else ()
    )


def _int8(compared: Mapping[str, Mapping[str, Any]]) -> Section:
    head = ("judge", "seconds", "float accuracy", "int8 accuracy", "same label", "same where float is decided")
    keys = ("float_accuracy", "int8_accuracy", "int8_agreement", "int8_agreement_decided")
    rows = [(name, _count(c["test_seconds"]), *(_share(c[key]) for key in keys)) for name, c in compared.items()]
    loss = compared[FUSED]["int8_loss"]
    labels = [(label, *(f"{compared[name]['int8_loss'].get(label, 0):+.3f}" for name in compared)) for label in loss]
    text = (
        "Decided are seconds whose best two labels are further apart than 0.1 in float. The second table: what int8"
        " costs each label, F1 in float less F1 in int8."
    )
    return Section("Int8 against float", [text], [Table(head, rows), Table(("label", *compared), labels)])


def _training(run: Run) -> Section:
    modality: Modality = run.modality
    args = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in msgspec.to_builtins(run.args).items())
    waited = sum(e.waited * e.seconds for e in run.history) / max(1e-9, sum(e.seconds for e in run.history))
    text = [
        f"{len(run.history)} epochs in {run.seconds:.0f} s, {waited:.1%} of it waiting for input. Settings: {args}."
    ]
    picture = Picture(f"history-{modality}", f"{modality}: loss by epoch", draw_history(run.history))
    return Section(f"Training of {modality}", text, pictures=[picture] if run.history else ())


def _gains(judgement: Judgement, level: str) -> str:
    return ", ".join(f"{getattr(gain, level):+.1f} % over {name}" for name, gain in judgement.gains.items())


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:.3f} ± {deviation:.3f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _count(value: int | None) -> str:
    return "" if value is None else str(value)
