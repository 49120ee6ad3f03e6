"""The contract as JSON Schemas (2020-12), one self-contained file for each kind of message.

`python -m edge.schemas docs` writes them, the AsyncAPI document and the page made from it.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .contract import TOPICS
from .glossary import FIELDS, TIMES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def records() -> list[type]:
    """Every record that a topic carries, each once, in the order of the topics."""
    return list({topic.payload: None for topic in TOPICS.values() if isinstance(topic.payload, type)})


def schema_id(record: type) -> str:
    """Name and major version of a record, such as `event/1`."""
    return str(next(field.default for field in dataclasses.fields(record) if field.name == "schema"))


def components(template: str) -> dict[str, Schema]:
    """Describe the records and what they are made of, by class name; `template` makes a reference from a `{name}`."""
    _, found = msgspec.json.schema_components(records(), ref_template=template)
    classes = {cls.__name__: cls for cls in _closure(records())}
    return {name: _describe(schema, classes[name]) for name, schema in found.items()}


def schema(record: type) -> Schema:
    """Describe one record as a document of its own, with what it is made of under `$defs`."""
    found = components("#/$defs/{name}")
    body = found[record.__name__]
    parts = {cls.__name__: found[cls.__name__] for cls in _closure([record]) if cls is not record}
    head = {"$schema": DIALECT, "$id": f"urn:touchline:{schema_id(record)}"}
    return {**head, **body, **({"$defs": parts} if parts else {})}


def documents() -> dict[str, Schema]:
    """Every schema by its file name, such as `event-1.json`."""
    return {f"{schema_id(record).replace('/', '-')}.json": schema(record) for record in records()}


def _describe(schema: Schema, cls: type) -> Schema:
    """Add what msgspec does not know: a docstring without indents, an order, meanings and formats."""
    required = set(schema.get("required", ()))
    names = [field.name for field in dataclasses.fields(cls)]
    properties = {}
    for name in names:
        meaning = FIELDS.get(f"{cls.__name__}.{name}") or FIELDS[name]
        properties[name] = {"description": meaning, **_timed(schema["properties"][name], name)}
    if "schema" in properties:
        required.add("schema")
    return {
        "title": schema_id(cls) if "schema" in properties else cls.__name__,
        "description": inspect.getdoc(cls),
        "type": "object",
        "properties": properties,
        "required": [name for name in names if name in required],
    }


def _timed(schema: Schema, name: str) -> Schema:
    if name not in TIMES:
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [_timed(one, name) for one in schema["anyOf"]]}
    return {**schema, "format": "date-time"} if schema["type"] == "string" else schema


def _closure(classes: list[type]) -> Iterator[type]:
    """Yield the dataclasses and those in their fields, each once."""
    waiting, seen = list(classes), set()
    while waiting:
        cls = waiting.pop(0)
        if cls in seen:
            continue
        seen.add(cls)
        yield cls
        info = msgspec.inspect.type_info(cls)
        waiting += [part for part in _dataclasses(info) if part is not cls]


def _dataclasses(info: object) -> Iterator[type]:
    if isinstance(info, msgspec.inspect.DataclassType):
        yield info.cls
        for field in info.fields:
            yield from _dataclasses(field.type)
    elif isinstance(info, msgspec.inspect.DictType):
        yield from _dataclasses(info.value_type)
    elif isinstance(info, msgspec.inspect.VarTupleType):
        yield from _dataclasses(info.item_type)
    elif isinstance(info, msgspec.inspect.UnionType):
        for one in info.types:
            yield from _dataclasses(one)


def text(document: object) -> str:
    """Write a document as its file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write everything that is generated, under `folder`."""
    from .asyncapi import asyncapi
    from .page import page

    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (folder / "schemas" / name).write_text(text(document), encoding="utf-8")
    described = asyncapi()
    (folder / "asyncapi.json").write_text(text(described), encoding="utf-8")
    (folder / "mqtt.md").write_text(page(described), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
