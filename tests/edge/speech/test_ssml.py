"""SSML checked before it is sent, and long texts cut where a pause belongs."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.speech.pieces import MOST_BILLED, MOST_CHARACTERS, sentences, ssml_pieces, text_pieces
from edge.speech.ssml import TAGS, SsmlError, is_ssml, read, spoken
from edge.speech.voices import ENGINES
from edge.voice import VoiceError

POST = (
    "<speak>Hi! I'm Matthew. Hope you are doing well. This is a sample PCM to WAV conversion for SSML. "
    "I am a Neural voice and have a conversational style. </speak>"
)


def test_ssml_is_told_from_text_by_its_tag():
    assert is_ssml(POST)
    assert is_ssml('<?xml version="1.0"?>\n<speak xml:lang="en-US">Hi</speak>')
    assert not is_ssml("Say speak now, <b>please</b>")


@pytest.mark.parametrize(
    "inside",
    [
        'one <break time="500ms"/> two <break strength="strong"/>',
        '<prosody rate="slow" volume="+6dB">slow</prosody>',
        '<say-as interpret-as="digits">1234</say-as> <sub alias="World Wide Web">WWW</sub>',
        '<lang xml:lang="fr-FR">Bonjour</lang> <phoneme alphabet="ipa" ph="p">p</phoneme> <mark name="here"/>',
        '<p><s>One.</s><s>Two &amp; three.</s></p> <w role="amazon:VB">read</w> <!-- a note -->',
    ],
)
def test_what_all_engines_know_passes(inside):
    for engine in ENGINES:
        assert spoken(read(f"<speak>{inside}</speak>", engine)).strip()


@pytest.mark.parametrize(
    ("text", "engine", "sentence"),
    [
        ("<speak>a", None, "SSML: line 1, column 9: no element found"),
        ("<speak>a</p></speak>", None, "SSML: line 1, column 11: mismatched tag"),
        ("<speak>\nTom & Jerry</speak>", None, "SSML: line 2, column 6: not well-formed (invalid token)"),
        ("Hi <speak>a</speak>", None, "SSML: line 1, column 1: syntax error"),
        ("<p>a</p>", None, "SSML: line 1, column 1: the document must be a <speak>, not a <p>"),
        ("<speak>a <brake/></speak>", None, "SSML: line 1, column 10: <brake> is none of Polly's tags: speak, break"),
        ("<speak><say-as>1</say-as></speak>", None, "<say-as> needs the attribute interpret-as"),
        ('<speak><break length="1s"/>a</speak>', None, "<break> has no attribute length; it has time, strength"),
        ('<speak><break time="11s"/>a</speak>', None, '<break time="11s">: must be 0 to 10 seconds'),
        ('<speak><break time="soon"/>a</speak>', None, '<break time="soon">: must be 0 to 10 seconds'),
        ("<speak><emphasis>a</emphasis></speak>", "neural", "<emphasis> is not available with the engine neural"),
        ('<speak><prosody pitch="high">a</prosody></speak>', "generative", 'pitch="high"> is not available with'),
        ('<speak><amazon:effect name="whispered">a</amazon:effect></speak>', "long-form", "is not available with"),
        ('<speak><amazon:domain name="news">a</amazon:domain></speak>', "standard", "is not available with"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><speak>&a;</speak>', None, "a DOCTYPE is not taken"),
    ],
)  # fmt: skip
def test_what_polly_would_refuse_is_refused_with_its_place(text, engine, sentence):
    with pytest.raises(SsmlError) as refused:
        read(text, engine)
    assert str(refused.value).startswith("SSML: line ")
    assert sentence in str(refused.value)


def test_every_tag_belongs_to_an_engine():
    for name, tag in TAGS.items():
        assert set(tag.engines) <= set(ENGINES), name


def test_text_is_cut_after_sentences_and_not_after_abbreviations():
    text = "Dr. Smith came at 3.5 km. He said: hello! Really? Yes. " * 200
    pieces = text_pieces(text)
    assert len(pieces) == -(-len(text) // MOST_BILLED)
    assert all(len(piece) <= MOST_BILLED for piece in pieces)
    assert all(piece[-1] in ".!?" and not piece.endswith("Dr.") for piece in pieces)
    assert " ".join(pieces) == text.strip()


@pytest.mark.parametrize("text", ["word, " * 2000, "word " * 2000, "x" * 10_000, "你好。" * 2000])
def test_sentences_without_end_are_cut_too(text):
    pieces = text_pieces(text)
    assert all(0 < len(piece) <= MOST_BILLED for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(st.text(alphabet="ab .,!?\n\u3002", max_size=200), st.integers(5, 40))
def test_nothing_is_lost_between_sentences(text, most):
    parts = list(sentences(text, most))
    assert "".join(parts) == text
    assert all(len(part) <= most for part in parts)


@given(st.lists(st.sampled_from(["One is here. ", "Two & two! ", "<b>", "long " * 90]), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_pieces_of_ssml_say_all_of_it_and_are_documents_of_their_own(parts):
    inside = "".join(
        f'<prosody rate="fast"><s>{k} <sub alias="x">S{k}</sub></s>' if part == "<b>" else part.replace("&", "&amp;")
        for k, part in enumerate(parts)
    ) + "</prosody>" * parts.count("<b>")  # fmt: skip
    text = f'<speak xml:lang="en-US">{inside} end</speak>'
    pieces = ssml_pieces(text, read(text))
    assert "".join(spoken(read(piece)) for piece in pieces) == spoken(read(text))
    for piece in pieces:
        assert len(piece) <= MOST_CHARACTERS
        assert len(spoken(read(piece))) <= MOST_BILLED
        root = ET.fromstring(piece)
        assert (root.tag, len(root.attrib)) == ("speak", 1)
        assert all(each.text for each in root.iter("sub"))


def test_short_ssml_is_sent_as_it_is():
    assert ssml_pieces(POST, read(POST)) == [POST]


def test_a_cut_piece_opens_again_what_was_open():
    text = f"<speak><prosody rate='slow'>{'This is said slowly. ' * 300}</prosody></speak>"
    pieces = ssml_pieces(text, read(text))
    assert len(pieces) == 3
    assert all(piece.startswith('<speak><prosody rate="slow">This') for piece in pieces)
    assert all(piece.endswith("</prosody></speak>") for piece in pieces)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: text_pieces(" \n"), "text: there is nothing to say"),
        (lambda: ssml_pieces("<speak> </speak>", read("<speak> <break/></speak>")), "SSML: there is nothing to say"),
        (
            lambda: ssml_pieces("<speak/>", read(f'<speak><sub alias="x">{"a" * 4000}</sub></speak>')),
            "is longer than 3000 characters and has no place to be cut",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_refused(call, sentence):
    with pytest.raises(VoiceError, match=sentence):
        call()
