"""Figures and tables as one HTML page that needs nothing else, and as files."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from .atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-top: 1px solid var(--line);
padding-top: .8rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; display: block;
overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number { text-align: right; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem 2rem;
align-items: start; }
figure { margin: 1rem 0; overflow-x: auto; } figure img, figure svg { max-width: 100%; height: auto; }
figure img { background: #fff; } figure svg { min-width: 22rem; } figure svg text { font-family: inherit !important; }
figure svg text:not([style*="fill"]) { fill: currentColor; }
figcaption { font-size: .95rem; position: sticky; left: 0; }
nav a { margin-right: 1rem; display: inline-block; }
@media print {
:root { color-scheme: light; } body { font-size: 11px; max-width: none; margin: 0; } nav { display: none; }
figure, tr, li { break-inside: avoid; } h2 { break-after: avoid; } table { display: table; }
.figures { grid-template-columns: 1fr 1fr; } figure svg { min-width: 0; }
}
"""


@dataclass(frozen=True, eq=False)
class Picture:
    """One drawing: its file name without ending, what it shows in words, and a Matplotlib figure or JPEG bytes."""

    name: str
    caption: str
    drawing: Figure | bytes


@dataclass(frozen=True)
class Table:
    """A table: column heads and rows of cells, as they are to be read."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, paragraphs, points of a list, pictures and tables, in this order."""

    heading: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    points: Sequence[str] = ()


def page(title: str, sections: Sequence[Section]) -> str:
    """Lay sections out as one self-contained HTML page: no script, no font, no file from elsewhere."""
    links = "".join(f'<a href="#{_anchor(s.heading)}">{escape(s.heading)}</a>' for s in sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<nav>{links}</nav>\n"
        + "".join(map(_section, sections))
        + "</body>\n</html>\n"
    )


def write_page(folder: Path, title: str, sections: Sequence[Section], *, name: str = "report.html") -> Path:
    """Write the page and, in `figures/` beside it, every drawing as SVG and PNG, or as JPEG; return the page's path."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in (p for section in sections for p in section.pictures):
        if isinstance(picture.drawing, bytes):
            write_atomically(figures / f"{picture.name}.jpg", picture.drawing)
            continue
        for kind in ("svg", "png"):
            write_atomically(figures / f"{picture.name}.{kind}", drawn(picture.drawing, kind))
    write_atomically(folder / name, page(title, sections).encode())
    return folder / name


def drawn(figure: Figure, kind: str, *, transparent: bool = False) -> bytes:
    """Give a Matplotlib figure as the bytes of an `svg` or `png` file; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "touchline"}):
        figure.savefig(buffer, format=kind, bbox_inches="tight", dpi=120, metadata=metadata, transparent=transparent)
    return buffer.getvalue()


def _inline(picture: Picture, figure: Figure) -> str:
    """Give a drawing as SVG for a page's own text: what is black takes the page's colour, names are its own."""
    svg = drawn(figure, "svg", transparent=True).decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg).replace("#000000", "currentColor")
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{picture.name}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(picture.caption)}" ', 1)


def _section(section: Section) -> str:
    paragraphs = "".join(f"<p>{escape(text)}</p>\n" for text in section.text)
    points = "".join(f"<li>{escape(point)}</li>\n" for point in section.points)
    tables = "".join(map(_table, section.tables))
    pictures = "".join(map(_picture, section.pictures))
    heading = f'<h2 id="{_anchor(section.heading)}">{escape(section.heading)}</h2>\n'
    listed = f"<ul>\n{points}</ul>\n" if points else ""
    figures = f'<div class="figures">\n{pictures}</div>\n' if pictures else ""
    return f"<section>\n{heading}{paragraphs}{listed}{figures}{tables}</section>\n"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in table.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _cell(text: str) -> str:
    number = text.lstrip("+-")[:1].isdigit()
    return f'<td class="number">{escape(text)}</td>' if number else f"<td>{escape(text)}</td>"


def _picture(picture: Picture) -> str:
    caption = escape(picture.caption)
    if isinstance(picture.drawing, bytes):
        data = b64encode(picture.drawing).decode()
        image = f'<img src="data:image/jpeg;base64,{data}" alt="{caption}">'
    else:
        image = _inline(picture, picture.drawing)
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>\n"


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
