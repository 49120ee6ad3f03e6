"""The page and the table of `touchline diff`."""

from __future__ import annotations

import base64
import html
import io

from rich.console import Console
from rich.table import Table

from .diff import Change, Difference, Watched

SIGNS = {"gained": "+", "lost": "-", "moved": "~", "same": "="}
STYLE = """
:root { color-scheme: light dark; --edge: #8884; --a: #4a7ebb; --b: #c06b2c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid var(--edge); padding: .35rem .5rem; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } img { display: block; border-radius: 3px; }
.gained b { color: #2a8a3e; } .lost b { color: #c23b3b; } .moved b { color: #b8860b; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
"""


def summary(difference: Difference) -> str:
    """Say in a line how much differs."""
    counts = {kind: sum(change.kind == kind for change in difference.changes) for kind in SIGNS}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"events: {said}; seconds: {difference.agreement:.1%} of {difference.common_seconds} the same"


def table(difference: Difference) -> str:
    """Lay out the events for a terminal."""
    rows = Table("", "label", "A", "B", "moved by", box=None)
    for change in difference.changes:
        rows.add_row(SIGNS[change.kind], change.label, _span(change, "a"), _span(change, "b"), _shift(change))
    buffer = io.StringIO()
    Console(file=buffer, width=100).print(rows)
    return (
        f"A: {_title(difference.before)}\nB: {_title(difference.after)}\n\n{buffer.getvalue()}\n{summary(difference)}\n"
    )


def page(difference: Difference, url: str) -> str:
    """Make a page that needs nothing beside itself."""
    rows = "".join(_row(difference, change) for change in difference.changes)
    seconds = "".join(
        f"<tr><td class=number>{_clock(a.start)}</td><td>{_picture(difference, a.start)}</td>"
        f"<td>{html.escape(a.label)} {a.score:.2f}</td><td>{html.escape(b.label)} {b.score:.2f}</td></tr>"
        for a, b in difference.differing
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>touchline diff</title><style>{STYLE}</style>"
        f"<h1>Two bundles on {html.escape(url.rsplit('/', 1)[-1])}</h1>"
        f"<p>A: {html.escape(_title(difference.before))}<br>B: {html.escape(_title(difference.after))}</p>"
        f"<p>{html.escape(summary(difference))}</p>{_timeline(difference)}"
        f"<h2>Events</h2><table><tr><th><th>label<th>A<th>B<th>moved by<th></tr>{rows}</table>"
        f"<h2>Seconds that differ</h2><table><tr><th>at<th><th>A<th>B</tr>{seconds}</table></html>\n"
    )


def _row(difference: Difference, change: Change) -> str:
    return (
        f"<tr class={change.kind}><td><b>{change.kind}</b></td><td>{html.escape(change.label)}</td>"
        f"<td>{_span(change, 'a')}</td><td>{_span(change, 'b')}</td><td>{_shift(change)}</td>"
        f"<td>{_picture(difference, change.start)}</td></tr>"
    )


def _timeline(difference: Difference) -> str:
    """Draw the events of both as bars, one row each, on one axis."""
    end = max((second.start + 1 for side in _sides(difference) for second in side.seconds), default=1.0)
    bars = []
    for row, side in enumerate(_sides(difference)):
        top = 8 + 40 * row
        bars.append(f"<text x=0 y={top + 16}>{'AB'[row]}</text>")
        for event in side.events:
            left, width = 20 + 960 * event.start / end, 960 * ((event.end or end) - event.start) / end
            title = html.escape(f"{event.label}, {_clock(event.start)} to {_clock(event.end or end)}")
            bars.append(
                f"<g><title>{title}</title><rect x={left:.1f} y={top} width={max(2.0, width - 1):.1f} height=24 rx=3"
                f" fill='var(--{'ab'[row]})' opacity=.5 /><text x={left + 4:.1f} y={top + 16}>"
                f"{html.escape(event.label) if width > 60 else ''}</text></g>"
            )
    anchors = ("start", *["middle"] * 5, "end")
    ticks = "".join(
        f"<text x={20 + 160 * k} y=96 text-anchor={anchor}>{_clock(end * k / 6)}</text>"
        for k, anchor in enumerate(anchors)
    )
    return f"<svg viewBox='0 0 980 100' role=img aria-label='events of both bundles'>{''.join(bars)}{ticks}</svg>"


def _sides(difference: Difference) -> tuple[Watched, Watched]:
    return difference.before, difference.after


def _title(side: Watched) -> str:
    manifest = side.bundle.manifest
    return f"{manifest.name} {manifest.version} ({side.bundle.sha256[:12]})"


def _span(change: Change, side: str) -> str:
    event = change.before if side == "a" else change.after
    return "" if event is None else f"{_clock(event.start)} to {_clock(event.end or 0)}, {event.score:.2f}"


def _shift(change: Change) -> str:
    return "" if change.kind != "moved" else "start {:+.0f} s, end {:+.0f} s".format(*change.shift)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"


def _picture(difference: Difference, start: float) -> str:
    data = difference.before.thumbnails.get(int(start))
    if data is None:
        return ""
    return f"<img alt='' width=160 loading=lazy src='data:image/jpeg;base64,{base64.b64encode(data).decode()}'>"
