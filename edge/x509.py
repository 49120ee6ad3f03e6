"""When certificates are valid and whose they are, read from their DER, which the standard library does not offer."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime, timezone

BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
COMMON_NAME = bytes.fromhex("550403")
"""The object identifier 2.5.4.3 as DER writes it (X.520)."""
VERSION, UTC_TIME = 0xA0, 0x17


@dataclass(frozen=True)
class Certificate:
    """Whose a certificate is, its subject's common name, and from when to when it is valid, in Unix seconds."""

    name: str
    not_before: float
    not_after: float


def read_certificates(pem: bytes) -> list[Certificate]:
    """Read every certificate that OpenSSL has already taken, in order; ValueError for one that is no X.509."""
    try:
        return [_certificate(base64.b64decode(block)) for block in BLOCK.findall(pem)]
    except IndexError:
        msg = "a certificate ends too early"
        raise ValueError(msg) from None


def _certificate(der: bytes) -> Certificate:
    # RFC 5280, 4.1: Certificate { TBSCertificate { [0] version?, serial, signature, issuer, validity, subject ...
    fields = _elements(_elements(_elements(der)[0][1])[0][1])
    if fields[0][0] == VERSION:
        del fields[0]
    begin, end = map(_seconds, _elements(fields[3][1]))
    return Certificate(_common_name(fields[4][1]), begin, end)


def _common_name(subject: bytes) -> str:
    for _, attributes in _elements(subject):
        for _, attribute in _elements(attributes):
            (_, identifier), (_, value) = _elements(attribute)
            if identifier == COMMON_NAME:
                return value.decode(errors="replace")
    return ""


def _seconds(time: tuple[int, bytes]) -> float:
    tag, text = time[0], time[1].decode()
    if tag == UTC_TIME:  # two digits of the year, 50 to 99 being 19..
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Split DER into its elements, tag and content."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            size = length - 0x80
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        found.append((tag, der[at : at + length]))
        at += length
    return found
