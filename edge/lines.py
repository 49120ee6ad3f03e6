"""Messages as lines of a terminal: a bar for each vote, the decision, events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from .clip import MODALITIES, Modality
from .messages import EventMessage, Tick

EIGHTHS = " ▏▎▍▌▋▊▉"
TAKEN = "bold bright_blue"
FAULT = "yellow"


@dataclass(frozen=True)
class Layout:
    """How wide each part of a tick's line is, in cells; `source` is 0 where there is one, `plain` means ASCII only."""

    modalities: tuple[Modality, ...]
    source: int
    bar: int
    label: int
    score: bool
    fused: int
    plain: bool

    @property
    def cell(self) -> int:
        """Width of one modality: mark, bar, label and, where there is room, score."""
        return 1 + self.bar + 1 + self.label + (5 if self.score else 0)


def layout(
    modalities: Sequence[Modality], width: int, *, longest: int = 16, sources: Sequence[str] = (), plain: bool = False
) -> Layout:
    """Fit a line into `width` columns: long bars and scores if 8 letters of a label fit, else short bars.

    Where there are several `sources`, each line names its own, in a sixth of the width at most.
    """
    ordered = tuple(name for name in MODALITIES if name in modalities)
    fused = max(8, min(longest, 16))
    source = min(max(map(len, sources)), width // 6) if len(sources) > 1 else 0
    named = 1 + source if source else 0
    room = (width - len("00:00  ") - named - fused - len(" 0.00 *")) // max(1, len(ordered)) - 1
    score = room - 17 >= min(8, longest)
    label = max(3, min(longest, room - (17 if score else 6)))
    return Layout(ordered, source, 10 if score else 4, label, score, fused, plain)


def header(form: Layout) -> Text:
    """Name the columns and the two marks."""
    names = [f" {name:<{form.cell - 1}}" for name in form.modalities]
    columns = " ".join(["time ", *([f"{'source':<{form.source}}"] if form.source else []), *names, " decision"])
    mark = ">" if form.plain else "▸"
    return Text(f"{columns}\n{mark} the vote that was taken   * a row of the fusion table made it so", style="dim")


def tick_line(tick: Tick, form: Layout) -> Text:
    """Draw one second: media time, each modality's bar and label, the decision; faults go below it."""
    line = Text(clock(tick.media_start))
    if form.source:
        line.append(f" {_fitted(tick.source, form.source, form):<{form.source}}")
    for name in form.modalities:
        line.append(" ")
        line.append_text(_vote(tick, name, form))
    style = "dim italic" if tick.unknown else "bold"
    line.append(f"  {_fitted(tick.label, form.fused, form):<{form.fused}}", style=style)
    line.append(f" {tick.score:.2f}{' *' if tick.fusion.row is not None else ''}")
    for fault in tick.faults:
        line.append(f"\n       ! {fault}", style=FAULT)
    return line


def event_line(event: EventMessage, *, named: bool = False, plain: bool = False) -> Text:
    """Draw a step of an event, such as `■ END  badminton  00:03-00:09 (6 s)  0.81`; `named`: with its source."""
    sign, word, style = {
        "new": ("*" if plain else "●", "NEW", "bold"),
        "update": ("." if plain else "○", "ON ", "dim"),
        "end": ("#" if plain else "■", "END", "bold"),
    }[event.type]
    when = clock(event.media_start)
    if event.media_end is not None:
        when += f"-{clock(event.media_end)} ({event.media_end - event.media_start:g} s)"
    elif event.type == "update":
        when += f" ({event.seconds} s so far)"
    source = f"{event.source}  " if named else ""
    return Text(f"{sign} {word}  {source}{event.label}  {when}  {event.score:.2f}", style=style)


def bar(share: float, cells: int, *, plain: bool = False) -> str:
    """Draw a share of 1 in exactly `cells` columns, to an eighth of one (plain: to a whole one)."""
    share = min(1.0, max(0.0, share))
    if plain:
        return ("#" * round(share * cells)).ljust(cells, ".")
    full, eighths = divmod(round(share * cells * 8), 8)
    return ("█" * full + EIGHTHS[eighths].strip()).ljust(cells)


def clock(seconds: float) -> str:
    """Write media seconds as mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def _vote(tick: Tick, name: Modality, form: Layout) -> Text:
    vote = tick.fusion.votes.get(name)
    if vote is None:
        return Text(f" {'-':<{form.cell - 1}}", style="dim")
    taken = tick.fusion.winner == name or (tick.fusion.winner not in MODALITIES and vote.label == tick.label)
    mark = " " if not taken else ">" if form.plain else "▸"
    score = f" {vote.score:.2f}" if form.score else ""
    drawn = bar(vote.score, form.bar, plain=form.plain)
    return Text(
        f"{mark}{drawn} {_fitted(vote.label, form.label, form):<{form.label}}{score}",
        style=TAKEN if taken else "",
    )


def _fitted(label: str, width: int, form: Layout) -> str:
    return label if len(label) <= width else label[: width - 1] + ("~" if form.plain else "…")
