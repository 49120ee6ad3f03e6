"""SSML as Polly takes it: found, checked before it is sent, and taken apart so that it can be split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from edge.voice import VoiceError

from .voices import ENGINES, Engine

LONGEST_BREAK_SECONDS = 10.0
_TIME = re.compile(r"\+?(\d+(?:\.\d+)?|\.\d+)(ms|s)")


class SsmlError(VoiceError):
    """SSML that Polly would refuse; the message names the place and what would be right."""


@dataclass(frozen=True)
class Tag:
    """What a tag may have: `required` and `allowed` attributes; which `engines` know it."""

    required: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    engines: tuple[str, ...] = ENGINES
    whole: bool = False
    """What is in it belongs together and is not split."""


TAGS: Mapping[str, Tag] = {
    "speak": Tag(allowed=("version", "xmlns", "xmlns:amazon", "xmlns:xsi", "xsi:schemaLocation")),
    "break": Tag(allowed=("time", "strength")),
    "emphasis": Tag(allowed=("level",), engines=("standard",)),
    "lang": Tag(required=("xml:lang",), allowed=("onlangfailure",)),
    "mark": Tag(required=("name",)),
    "p": Tag(),
    "phoneme": Tag(required=("ph",), allowed=("alphabet",), whole=True),
    "prosody": Tag(allowed=("volume", "rate", "pitch", "amazon:max-duration")),
    "s": Tag(),
    "say-as": Tag(required=("interpret-as",), allowed=("format",), whole=True),
    "sub": Tag(required=("alias",), whole=True),
    "w": Tag(required=("role",), whole=True),
    "amazon:auto-breaths": Tag(allowed=("volume", "frequency", "duration"), engines=("standard",)),
    "amazon:breath": Tag(allowed=("volume", "duration"), engines=("standard",)),
    "amazon:domain": Tag(required=("name",), engines=("neural",)),
    "amazon:effect": Tag(allowed=("name", "phonation", "vocal-tract-length")),
}
"""https://docs.aws.amazon.com/polly/latest/dg/supportedtags.html"""
_OF_SOME_ENGINES: Mapping[tuple[str, str, str], tuple[str, ...]] = {
    ("prosody", "pitch", ""): ("standard",),
    ("prosody", "amazon:max-duration", ""): ("standard",),
    ("amazon:effect", "phonation", ""): ("standard",),
    ("amazon:effect", "vocal-tract-length", ""): ("standard",),
    ("amazon:effect", "name", "whispered"): ("standard",),
    ("amazon:effect", "name", "drc"): ("standard", "neural", "long-form"),
}
"""Attributes, or values of them, that not every engine knows."""


@dataclass(frozen=True)
class Node:
    """A part of a document in reading order: a tag that opens or closes, or a text."""

    kind: Literal["open", "close", "text"]
    content: str
    """The tag's name, or the text."""
    markup: str
    whole: bool = False


def is_ssml(text: str) -> bool:
    """Tell SSML from plain text as the sample of Amazon's post does: by its tag."""
    return re.search(r"<speak[\s>]", text) is not None


def read(text: str, engine: Engine | None = None) -> list[Node]:
    """Take a document apart; SsmlError if it is not well-formed or has what the engine, where one is given, lacks."""
    nodes: list[Node] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def place() -> str:
        return f"SSML: line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1}"

    def opened(name: str, attributes: dict[str, str]) -> None:
        if not nodes and name != "speak":
            msg = f"{place()}: the document must be a <speak>, not a <{name}>"
            raise SsmlError(msg)
        _check(name, attributes, engine, place())
        pairs = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
        whole = TAGS[name].whole or "amazon:max-duration" in attributes
        nodes.append(Node("open", name, f"<{name}{pairs}>", whole))

    def closed(name: str) -> None:
        nodes.append(Node("close", name, f"</{name}>"))

    def doctype(*_: object) -> None:
        msg = f"{place()}: a DOCTYPE is not taken"
        raise SsmlError(msg)

    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.CharacterDataHandler = lambda said: nodes.append(Node("text", said, escape(said)))
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.strip(), True)  # noqa: FBT003 - it takes no keyword
    except expat.ExpatError as error:
        msg = f"SSML: line {error.lineno}, column {error.offset + 1}: {expat.ErrorString(error.code)}"
        raise SsmlError(msg) from None
    return nodes


def spoken(nodes: list[Node]) -> str:
    """Give the text without tags: what is billed."""
    return "".join(node.content for node in nodes if node.kind == "text")


def _check(name: str, attributes: Mapping[str, str], engine: Engine | None, place: str) -> None:
    tag = TAGS.get(name)
    if tag is None:
        msg = f"{place}: <{name}> is none of Polly's tags: {', '.join(TAGS)}"
        raise SsmlError(msg)
    missing = [key for key in tag.required if key not in attributes]
    if missing:
        msg = f"{place}: <{name}> needs the attribute {missing[0]}"
        raise SsmlError(msg)
    if engine is not None:
        _check_engine(name, attributes, engine, place)
    for key in attributes:
        if key not in (*tag.required, *tag.allowed, "xml:lang"):
            known = ", ".join((*tag.required, *tag.allowed)) or "none"
            msg = f"{place}: <{name}> has no attribute {key}; it has {known}"
            raise SsmlError(msg)
    if name == "break" and "time" in attributes:
        _check_break(attributes["time"], place)


def _check_engine(name: str, attributes: Mapping[str, str], engine: Engine, place: str) -> None:
    lacking = [f"<{name}>"] if engine not in TAGS[name].engines else []
    lacking += [
        f"<{name} {key}={quoteattr(value)}>"
        for key, value in attributes.items()
        for wanted in ("", value)
        if engine not in _OF_SOME_ENGINES.get((name, key, wanted), ENGINES)
    ]
    if lacking:
        msg = f"{place}: {lacking[0]} is not available with the engine {engine}"
        raise SsmlError(msg)


def _check_break(time: str, place: str) -> None:
    found = _TIME.fullmatch(time)
    if found is None or float(found[1]) / (1000 if found[2] == "ms" else 1) > LONGEST_BREAK_SECONDS:
        msg = f'{place}: <break time="{time}">: must be 0 to {LONGEST_BREAK_SECONDS:g} seconds, such as 500ms or 2s'
        raise SsmlError(msg)
