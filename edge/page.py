"""The page for people, made from the AsyncAPI document and a template whose lines `{{part argument}}` are replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("page.md")
PART = re.compile(r"^\{\{(\w+)(?: (\w+))?\}\}$", re.MULTILINE)
WIDTH = 110
IN_SHORT = ("schema", "type", "id", "boot", "seq", "offset", "label")
Document = dict[str, Any]


def page(document: Document) -> str:
    """Write the page; a part that the template names and nobody makes is a KeyError."""
    parts: dict[str, Callable[..., str]] = {
        "topics": lambda action: _topics(document, action),
        "levels": lambda _: _levels(document),
        "fields": lambda name: _fields(document, document["components"]["schemas"][name]),
        "example": lambda name: _example(document, name),
        "messages": lambda _: _messages(document),
    }
    template = TEMPLATE.read_text(encoding="utf-8")
    return PART.sub(lambda match: parts[match[1]](match[2]), template)


def _topics(document: Document, action: str) -> str:
    rows = ["| topic | QoS | retained | payload | what |", "|---|---|---|---|---|"]
    for name, operation in document["operations"].items():
        if operation["action"] == action:
            mqtt, message = operation["bindings"]["mqtt"], document["components"]["messages"][name]
            expiry = f", {mqtt['messageExpiryInterval']} s" if "messageExpiryInterval" in mqtt else ""
            retained = f"yes{expiry}" if mqtt["retain"] else "no"
            address = document["channels"][name]["address"]
            rows.append(
                f"| `{address}` | {mqtt['qos']} | {retained} | {_payload(document, message)} | {operation['summary']} |"
            )
    return "\n".join(rows)


def _payload(document: Document, message: Document) -> str:
    reference = message["payload"].get("$ref")
    if reference is None:
        return ", ".join(f"`{value}`" for value in message["payload"].get("enum", ())) or message["title"]
    return _link(document, reference)


def _levels(document: Document) -> str:
    found: dict[str, Document] = {}
    for channel in document["channels"].values():
        found.update(channel.get("parameters", {}))
    rows = ["| level | what | for example |", "|---|---|---|"]
    for name, parameter in found.items():
        values = ", ".join(f"`{value}`" for value in parameter.get("enum", ()))
        what = f"{parameter['description']}: {values}" if values else parameter["description"]
        rows.append(f"| `{name}` | {what} | `{parameter['examples'][0]}` |")
    return "\n".join(rows)


def _fields(document: Document, schema: Document) -> str:
    rows = ["| key | type | what |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        optional = "" if name in schema["required"] else f"; default `{json.dumps(field.get('default'))}`"
        rows.append(f"| `{name}` | {_type(document, field)} | {field['description']}{optional} |")
    return "\n".join(rows)


def _type(document: Document, schema: Document) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(document, one) for one in schema["anyOf"])
    if "$ref" in schema:
        return _link(document, schema["$ref"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(document, schema['items'])}"
    if schema["type"] == "object":
        return f"object of {_type(document, schema['additionalProperties'])}"
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _link(document: Document, reference: str) -> str:
    """Link to the heading of a schema in the page."""
    title = document["components"]["schemas"][reference.rpartition("/")[2]]["title"]
    anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return f"[{title}](#{anchor})"


def _example(document: Document, name: str) -> str:
    payload = document["components"]["messages"][name]["examples"][0]["payload"]
    if isinstance(payload, str):
        return f"```\n{payload}\n```"
    inner = {key: _shortened(value) for key, value in payload.items()}
    return f"```json\n{_json(inner, whole=False)}\n```"


def _shortened(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can be
    """Leave out what an event inside of another message repeats from the page's first example."""
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    if isinstance(value, dict) and value.get("schema") == "event/1":
        return {key: value[key] for key in IN_SHORT} | {"...": "and so on"}
    return value


def _json(value: Any, indent: int = 0, *, whole: bool = True) -> str:  # noqa: ANN401 - whatever JSON can be
    """Write JSON that people read: on one line what is short, else each part on its own."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or (whole and indent + len(line) <= WIDTH):
        return line
    margin, deeper = " " * indent, indent + 2
    if isinstance(value, list):
        parts = [_json(one, deeper) for one in value]
        return "[\n" + ",\n".join(f"{margin}  {part}" for part in parts) + f"\n{margin}]"
    parts = [f"{json.dumps(key)}: {_json(one, deeper)}" for key, one in value.items()]
    return "{\n" + ",\n".join(f"{margin}  {part}" for part in parts) + f"\n{margin}}}"


def _messages(document: Document) -> str:
    """Describe every schema: messages with an example, then what they are made of."""
    schemas = document["components"]["schemas"]
    examples: dict[str, str] = {}
    for name, message in document["components"]["messages"].items():
        examples.setdefault(message["payload"].get("$ref", "").rpartition("/")[2], name)
    messages = {name: schema for name, schema in schemas.items() if "schema" in schema["properties"]}
    parts = []
    for name, schema in {**messages, **schemas}.items():
        title = schema["title"]
        heading = [f"### {title}", "", schema["description"], "", _fields(document, schema)]
        if name in messages:
            file = title.replace("/", "-")
            heading += ["", f"JSON Schema: [{file}.json](schemas/{file}.json)", "", _example(document, examples[name])]
        parts.append("\n".join(heading))
    return "\n\n".join(parts)
