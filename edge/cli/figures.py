"""Files that a subcommand writes beside what it prints."""

from __future__ import annotations

import json


def write_json(path: str | None, data: object) -> None:
    """Write JSON to a file, if one is named; SinkError."""
    if path is not None:
        write_text(path, json.dumps(data, indent=2) + "\n")


def write_text(path: str, text: str) -> None:
    """Write a file whole or not at all; SinkError says why it cannot be."""
    from pathlib import Path

    target = Path(path)
    draft = target.with_name(f".{target.name}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        from edge.sinks import SinkError

        msg = f"{path}: cannot be written ({(error.strerror or str(error)).lower()})"
        raise SinkError(msg) from None
