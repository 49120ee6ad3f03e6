"""What people note about events, kept in files for retraining; no ROS."""

from __future__ import annotations

import json
from pathlib import Path

from edge.contract import Feedback
from edge.feedback import FeedbackFile
from edge.remote import IDENTIFIER

VERDICTS = ("ack", "wrong", "label")


def mark(folder: Path, source: str, label: str, note: str, at: str) -> str:
    """Add a line to `marks.jsonl`; tell what is wrong, in words, or nothing."""
    if not label:
        return "label: say what happens"
    line = json.dumps({"schema": "mark/1", "source": source, "label": label, "note": note, "time": at})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "marks.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        return f"{folder / 'marks.jsonl'}: cannot be written ({(error.strerror or str(error)).lower()})"
    return ""


def feed_back(folder: Path, event: str, verdict: str, label: str, at: str) -> str:
    """Add a line to `feedback.jsonl`; tell what is wrong, in words, or nothing."""
    if not IDENTIFIER.fullmatch(event):
        return "id: must be that of an event, 1 to 64 letters, digits, - or _"
    if verdict not in VERDICTS:
        return f"verdict: is {verdict!r}; it must be one of {', '.join(VERDICTS)}"
    if (verdict == "label") != bool(label):
        return "label: belongs to the verdict `label`, and only to it"
    file = FeedbackFile(folder / "feedback.jsonl")
    try:
        file.add(Feedback(id=event, verdict=verdict, label=label or None), at)  # type: ignore[arg-type]
    except OSError as error:
        return f"{folder / 'feedback.jsonl'}: cannot be written ({(error.strerror or str(error)).lower()})"
    finally:
        file.close()
    return ""


def as_json(tree: object) -> bytes:
    """Write what was read from YAML as the JSON that a fusion is read from."""
    return json.dumps(tree).encode()
