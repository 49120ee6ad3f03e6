"""How rules and collections are written on a command line, and what to say of a name that there is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

import msgspec

from cloud_train.recordings import DataError

from .saved import Collection


def named(text: str) -> list[tuple[str, dict[str, str]]]:
    """Read `NAME:key=value,key=value,NAME,FILE.py:NAME,...` into names and what was given for each."""
    found: list[tuple[str, dict[str, str]]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        with_key = re.fullmatch(r"(?:(.+):)?(\w+)=(.*)", part)
        if with_key is None:
            found.append((part, {}))
            continue
        name, key, value = with_key.groups()
        if name:
            found.append((name, {}))
        if not found:
            msg = f"{text!r}: {part} belongs to no name; write NAME:{part}"
            raise DataError(msg)
        found[-1][1][key] = value
    return found


def known(name: str, names: Iterable[str], what: str) -> str:
    """Give the known name that is meant, whatever its case; DataError for another, with the nearest."""
    by_lower = {one.lower(): one for one in names}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    near = get_close_matches(name.lower(), by_lower, n=1)
    advice = f"did you mean {by_lower[near[0]]}?" if near else f"there are {', '.join(by_lower.values()) or 'none'}"
    msg = f"no {what} {name!r}; {advice}"
    raise DataError(msg)


def read_collections(text: str, usual: Mapping[str, Collection]) -> dict[str, Collection]:
    """Read `NAME:interval=5,reductions=min+max,...`: all usual collections, those that are named as they are to be."""
    found = dict(usual)
    settings = [field.name for field in fields(Collection)]
    for said, given in named(text):
        name = known(said, usual, "collection")
        changed: dict[str, str | list[str]] = {}
        for key, value in given.items():
            setting = known(key, settings, f"setting of collection {name}")
            changed[setting] = value.split("+") if setting == "reductions" else value
        try:
            found[name] = msgspec.convert({**msgspec.to_builtins(found[name]), **changed}, Collection, strict=False)
        except msgspec.ValidationError as error:
            msg = f"collection {name}: {str(error)[0].lower()}{str(error)[1:]}"
            raise DataError(msg) from None
    return found
