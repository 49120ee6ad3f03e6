"""Long texts cut at the ends of sentences, so that each piece is within what Polly takes at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from edge.voice import VoiceError

from .ssml import Node, SsmlError, read, spoken

MOST_BILLED, MOST_CHARACTERS = 3_000, 6_000
"""Characters of a request, without and with tags (https://docs.aws.amazon.com/polly/latest/dg/limits.html)."""
_ENDS = re.compile(r"(?:[.!?\u2026]+[\"'\u201d\u2019\u00bb)\]]*\s+|[\u3002\uff01\uff1f]+[\u300d\u300f]?\s*|\n\s*\n\s*)")
"""Ends of sentences, those of Chinese and Japanese too, and of paragraphs."""
_SHORT = re.compile(r"(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|No|vs|e\.g|i\.e|z\.B|bzw|ca|Nr|Mme|Sra?|\w)\.\s+\Z")
"""Ends of words that are abbreviated: no sentence ends there."""


def text_pieces(text: str, most: int = MOST_BILLED) -> list[str]:
    """Cut plain text; VoiceError if there is nothing to say."""
    if not text.strip():
        msg = "text: there is nothing to say"
        raise VoiceError(msg)
    pieces = [""]
    for sentence in sentences(text.strip(), most):
        if len(pieces[-1]) + len(sentence.rstrip()) > most:
            pieces.append("")
        pieces[-1] += sentence
    return [piece.strip() for piece in pieces if piece.strip()]


def sentences(text: str, most: int) -> Iterator[str]:
    """Cut a text after each sentence, and one of more than `most` characters after a comma, a word, or anywhere."""
    begin = 0
    for end in [*(found.end() for found in _ENDS.finditer(text)), len(text)]:
        if end < len(text) and _SHORT.search(text, begin, end):
            continue
        sentence = text[begin:end]
        while len(sentence) > most:
            cut = max(sentence.rfind(", ", 0, most - 1), sentence.rfind("; ", 0, most - 1)) + 2
            cut = cut if cut > most // 2 else sentence.rfind(" ", 0, most) + 1
            cut = cut or most
            yield sentence[:cut]
            sentence = sentence[cut:]
        if sentence:
            yield sentence
        begin = end


def ssml_pieces(text: str, nodes: list[Node]) -> list[str]:
    """Cut SSML: each piece opens again what was open where it was cut. What fits in one piece stays as it is."""
    if not spoken(nodes).strip():
        msg = "SSML: there is nothing to say"
        raise SsmlError(msg)
    if len(spoken(nodes)) <= MOST_BILLED and len(text) <= MOST_CHARACTERS:
        return [text]
    open_tags: list[Node] = []
    pieces: list[str] = []
    body, billed = "", 0
    for markup, said, node in _units(nodes):
        closing = "".join(f"</{tag.content}>" for tag in reversed(open_tags))
        full = billed + said > MOST_BILLED or len(body) + len(markup) + len(closing) > MOST_CHARACTERS
        if said and full and billed:
            pieces.append(body + closing)
            body, billed = "".join(tag.markup for tag in open_tags), 0
        body, billed = body + markup, billed + said
        if node.kind == "open":
            open_tags.append(node)
        elif node.kind == "close":
            open_tags.pop()
        if len(body) > MOST_CHARACTERS or billed > MOST_BILLED:
            msg = f"text: {body[:40]!r}... is longer than {MOST_BILLED} characters and has no place to be cut"
            raise SsmlError(msg)
    return [*pieces, body] if billed else pieces


def billed_characters(piece: str, *, ssml: bool) -> int:
    """Count what Polly bills: tags are free."""
    return len(spoken(read(piece))) if ssml else len(piece)


def _units(nodes: list[Node]) -> Iterator[tuple[str, int, Node]]:
    """Go through what stays together: tags, sentences, and elements that are said as one; with what they bill."""
    k = 0
    while k < len(nodes):
        node = nodes[k]
        if node.whole:
            end = _end_of(nodes, k)
            inside = nodes[k : end + 1]
            yield "".join(each.markup for each in inside), len(spoken(inside)), Node("text", "", "")
            k = end
        elif node.kind == "text":
            for sentence in sentences(node.content, MOST_BILLED):
                yield escape(sentence), len(sentence), node
        else:
            yield node.markup, 0, node
        k += 1


def _end_of(nodes: list[Node], begin: int) -> int:
    depth = 0
    for k in range(begin, len(nodes)):
        depth += {"open": 1, "close": -1, "text": 0}[nodes[k].kind]
        if depth == 0:
            return k
    return len(nodes) - 1
