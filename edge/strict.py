"""Decoded JSON or TOML into dataclasses: wrong types and unknown keys are refused by name."""

from __future__ import annotations

import difflib
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")


class StrictError(Exception):
    """Data that does not fit; the message names the field and what would be right."""


def strict(raw: Any, cls: type[T]) -> T:  # noqa: ANN401 - whatever was decoded
    """Build the dataclass `cls` from decoded data; StrictError names an unknown key and the nearest known one."""
    _refuse_unknown(raw, cls, "")
    try:
        return msgspec.convert(raw, cls)
    except msgspec.ValidationError as error:
        raise StrictError(_field_first(str(error))) from None


def _field_first(message: str) -> str:
    """Turn "Expected `int`, got `str` - at `$.mqtt.port`" into "mqtt.port: expected ..."."""
    what, _, where = message.partition(" - at `$")
    where = where.rstrip("`").lstrip(".")
    return f"{where}: {what[0].lower()}{what[1:]}" if where else what


def _refuse_unknown(raw: Any, hint: Any, path: str) -> None:  # noqa: ANN401 - any annotation may come
    if is_dataclass(hint) and isinstance(raw, dict):
        known = get_type_hints(hint)
        for key, value in raw.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                advice = f"did you mean `{path}{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
                msg = f"unknown key `{path}{key}`; {advice}"
                raise StrictError(msg)
            _refuse_unknown(value, known[key], f"{path}{key}.")
    elif get_origin(hint) is dict and isinstance(raw, dict):
        for key, value in raw.items():
            _refuse_unknown(value, get_args(hint)[1], f"{path}{key}.")
    else:
        for part in get_args(hint):
            _refuse_unknown(raw, part, path)
