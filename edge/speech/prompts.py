"""A table of prompts: which texts, by which voices."""

from __future__ import annotations

import csv
import difflib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

from .voices import ENGINES, Voice

COLUMNS = ("id", "text", "voice", "engine", "language", "lexicons", "ssml")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ANSWERS = {"": None, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class PromptsError(Exception):
    """A table that cannot be read; the message names the file."""


@dataclass(frozen=True)
class Prompt:
    """A row: what is said under which name, by whom; `ssml` None means: as it looks."""

    line: int
    id: str
    text: str
    voice: Voice
    ssml: bool | None = None


@dataclass(frozen=True)
class Failure:
    """A row that cannot be said, and why."""

    line: int
    id: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}, id {self.id!r}: {self.why}"


def read_prompts(path: str | Path, voice: Voice) -> tuple[list[Prompt], list[Failure]]:
    """Read a CSV of `id,text`, with more of COLUMNS where rows differ from `voice`; bad rows come apart."""
    rows = _rows(Path(path))
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    if header[:2] != ["id", "text"] and not {"id", "text"} <= set(header):
        if not rows or any(len(cells) != 2 for _, cells in rows):
            msg = f"{path}: the first line must name the columns: id,text and, if wanted, {', '.join(COLUMNS[2:])}"
            raise PromptsError(msg)
        header = ["id", "text"]
    else:
        rows = rows[1:]
    _check_columns(path, header)
    prompts: dict[str, Prompt] = {}
    failures = []
    for line, cells in rows:
        given = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        try:
            prompt = _prompt(line, given, voice)
            if len(cells) > len(header):
                msg = f"has {len(cells)} cells for {len(header)} columns; a text with commas stands in quotes"
                raise ValueError(msg)  # noqa: TRY301 - named below like the others
            if prompt.id in prompts:
                msg = f"is also the id of line {prompts[prompt.id].line}"
                raise ValueError(msg)  # noqa: TRY301 - named below like the others
        except ValueError as error:
            failures.append(Failure(line, given.get("id", ""), str(error)))
        else:
            prompts[prompt.id] = prompt
    return list(prompts.values()), failures


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path}: cannot be read ({(error.strerror or str(error)).lower()})"
        raise PromptsError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8 (byte {error.start}); save it as CSV UTF-8"
        raise PromptsError(msg) from None
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",")
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        msg = f"{path}: line {reader.line_num}: {error}"
        raise PromptsError(msg) from None


def _check_columns(path: str | Path, header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COLUMNS)}"
            msg = f"{path}: unknown column {name!r}; {advice}"
            raise PromptsError(msg)


def _prompt(line: int, given: dict[str, str], voice: Voice) -> Prompt:
    if not _ID.fullmatch(given.get("id", "")):
        msg = "the id names the file: must be 1 to 100 letters, digits, ., - or _, a letter or digit first"
        raise ValueError(msg)
    if given.get("engine", "") not in ("", *ENGINES):
        msg = f"engine {given['engine']!r}: must be one of {', '.join(ENGINES)}"
        raise ValueError(msg)
    if given.get("ssml", "").lower() not in _ANSWERS:
        msg = f"ssml {given['ssml']!r}: must be yes, no or empty"
        raise ValueError(msg)
    own = replace(
        voice,
        name=given.get("voice") or voice.name,
        engine=next((engine for engine in ENGINES if engine == given.get("engine")), voice.engine),
        language=given.get("language") or voice.language,
        lexicons=tuple(given.get("lexicons", "").split()) or voice.lexicons,
    )
    return Prompt(line, given["id"], given.get("text", ""), own, _ANSWERS[given.get("ssml", "").lower()])
