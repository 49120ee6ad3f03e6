"""What a node is told over MQTT, read strictly: a command that may be carried out, or a sentence why not."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import msgspec

from .contract import ON_OFF, RPC_METHODS, SWITCHES, Acknowledgement, Feedback, ModelDesired, RpcRequest

MOST_BYTES = 2**16
MOST_DEPTH = 16
MOST_PARTS = 1000
"""Commas, colons and brackets of a payload, so that reading it costs next to nothing; commands have a dozen."""
MOST_TEXT = 4096
"""Characters of a text; all but an address and a signature are much shorter."""
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RefusedError(Exception):
    """A command that is not carried out; the message says why in a sentence and quotes nothing of it."""


@dataclass(frozen=True)
class Turn:
    """Turn a switch on or off."""

    switch: str
    on: bool


@dataclass(frozen=True)
class Acknowledged:
    """A consumer says how far it has committed."""

    consumer: str
    what: Acknowledgement


@dataclass(frozen=True)
class StopPolicy:
    """Stop what moves."""


@dataclass(frozen=True)
class Question:
    """A question whose answer is published."""

    method: str
    request: RpcRequest


Command: TypeAlias = Turn | Acknowledged | StopPolicy | Question | Feedback | ModelDesired
T = TypeVar("T")


def read_command(levels: str, payload: bytes, source: str, *, retained: bool) -> Command | None:
    """Read what came on a topic, given by its levels below the node; RefusedError says why it is not obeyed.

    None: a state was cleared, which asks for nothing. Only state may be retained: a retained command would be obeyed
    again at every connection.
    """
    match levels.split("/"):
        case [name, "acknowledge", consumer] if name == source:
            return Acknowledged(consumer, _acknowledgement(payload)) if payload else None
        case ["model", "desired"]:
            return _record(payload, ModelDesired) if payload else None
    if retained:
        msg = "a command must not be retained"
        raise RefusedError(msg)
    match levels.split("/"):
        case [name, switch, "set"] if name == source and switch in SWITCHES:
            return Turn(switch, on=_word(payload, ON_OFF) == "ON")
        case ["policy", "stop", "set"]:
            _word(payload, ("STOP",))
            return StopPolicy()
        case ["feedback"]:
            return _feedback(payload)
        case ["rpc", method] if method in RPC_METHODS:
            return Question(method, _request(payload))
    msg = "no command has this topic"
    raise RefusedError(msg)


def _word(payload: bytes, words: tuple[str, ...]) -> str:
    for word in words:
        if payload == word.encode():
            return word
    msg = f"the payload must be {' or '.join(words)}"
    raise RefusedError(msg)


def _acknowledgement(payload: bytes) -> Acknowledgement:
    what = _record(payload, Acknowledgement)
    if what.upto < 0:
        msg = "upto: must not be negative"
        raise RefusedError(msg)
    return what


def _feedback(payload: bytes) -> Feedback:
    what = _record(payload, Feedback)
    _identify("id", what.id)
    if (what.verdict == "label") != bool(what.label):
        msg = "label: belongs to the verdict `label`, and only to it"
        raise RefusedError(msg)
    return what


def _request(payload: bytes) -> RpcRequest:
    what = _record(payload, RpcRequest)
    _identify("id", what.id)
    for name, value in what.parameters.items():
        if isinstance(value, int) and value < 0:
            msg = f"parameters: {name if IDENTIFIER.fullmatch(name) else 'one'} must not be negative"
            raise RefusedError(msg)
    return what


def _identify(name: str, text: str) -> None:
    if not IDENTIFIER.fullmatch(text):
        msg = f"{name}: must be 1 to 64 letters, digits, - or _"
        raise RefusedError(msg)


def _record(payload: bytes, record: type[T]) -> T:
    """Read JSON that says its schema into a record; keys that a newer sender added do no harm."""
    tree = read_json(payload)
    schema = record.__dataclass_fields__["schema"].default  # type: ignore[attr-defined]
    if not isinstance(tree, dict) or tree.get("schema") != schema:
        msg = f"must be a JSON object with the schema {schema}"
        raise RefusedError(msg)
    try:
        return msgspec.convert(tree, record)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        name = re.split(r"[.\[]", where.strip("`$."))[0]
        fields = record.__dataclass_fields__  # type: ignore[attr-defined]
        msg = f"{name}: {_plain(what)}" if name in fields else _plain(what)
        raise RefusedError(msg) from None


def _plain(what: str) -> str:
    # The sender's own words stay out of the log.
    if what.startswith("Invalid enum value"):
        return "is none of the values that it may have"
    return what[:1].lower() + what[1:]


def read_json(payload: bytes) -> Any:  # noqa: ANN401 - any JSON may come
    """Read UTF-8 JSON within bounds of size, depth and numbers, no key twice; RefusedError says what it is beyond."""
    if len(payload) > MOST_BYTES:
        msg = f"has {len(payload)} bytes, at most {MOST_BYTES} are read"
        raise RefusedError(msg)
    if sum(map(payload.count, (b",", b":", b"[", b"{"))) > MOST_PARTS:
        msg = f"has more than {MOST_PARTS} parts"
        raise RefusedError(msg)
    try:
        tree = json.loads(
            payload.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        msg = "is not UTF-8"
        raise RefusedError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"is not JSON (at character {error.pos})"
        raise RefusedError(msg) from None
    except RecursionError:
        raise RefusedError(_TOO_DEEP) from None
    _look_at(tree, 1)
    return tree


_TOO_DEEP = f"is deeper than {MOST_DEPTH} levels"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) != len(pairs):
        msg = "holds a key twice"
        raise RefusedError(msg)
    return known


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**63:
        msg = "holds an integer beyond 64 bits"
        raise RefusedError(msg)
    return number


def _number(text: str) -> float:
    if len(text) > 64 or not math.isfinite(number := float(text)):
        msg = "holds a number beyond 64 bits"
        raise RefusedError(msg)
    return number


def _constant(_: str) -> float:
    msg = "holds NaN or Infinity, which are not JSON"
    raise RefusedError(msg)


def _look_at(value: object, depth: int) -> None:
    """Refuse what is too deep, and texts that are too long or cannot be written as UTF-8."""
    if isinstance(value, dict | list):
        if depth > MOST_DEPTH:
            raise RefusedError(_TOO_DEEP)
        for part in value:
            _look_at(part, depth + 1)
        if isinstance(value, dict):
            for part in value.values():
                _look_at(part, depth + 1)
    elif isinstance(value, str):
        if len(value) > MOST_TEXT:
            msg = f"holds a text of more than {MOST_TEXT} characters"
            raise RefusedError(msg)
        try:
            value.encode()
        except UnicodeEncodeError:
            msg = "holds half a surrogate pair, which is no character"
            raise RefusedError(msg) from None
