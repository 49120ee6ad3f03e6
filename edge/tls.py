"""TLS for a connection: which authority we trust, who we are, and one sentence for what fails."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from .address import MqttError
from .x509 import Certificate, read_certificates

CERTIFICATE, KEY, REVOKED = "CERTIFICATE", "PRIVATE KEY", b"X509 CRL-----"
"""What PEM blocks are called."""
CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!SHA1:!AESCCM"
"""Of TLS 1.2, as in Python itself since 3.10 less DHE; some distributions build theirs with OpenSSL's weaker list."""
MOST_BYTES = 2**22
"""A file of certificates is smaller; Debian's bundle of all public authorities has 0.2 MB."""


class TlsFailure(OSError):  # noqa: N818 - it is the connection that fails, and is tried again
    """A connection that is not even tried: a file cannot be used now, or is past its date."""


@dataclass(frozen=True)
class Security:
    """How a connection is secured; all are names of PEM files but `alpn`.

    `ca` holds the authorities that may have signed the broker's certificate, and their revocation lists if any;
    empty: those that the system trusts. `certificate` (its chain after it) and `key` say who we are, where the broker
    asks; an empty `key` is looked for in `certificate`. `alpn` names the protocol to a server that has several on one
    port: AWS IoT Core on 443 wants `x-amzn-mqtt-ca` (client certificate) or `mqtt` (custom authorizer).
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    alpn: str = ""

    def context(self) -> ssl.SSLContext:
        """Make what opens connections, TLS 1.2 at least; MqttError names the file that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it wants a certificate and compares the host name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.sslsocket_class = Socket
        if self.alpn:
            if not (self.alpn.isascii() and self.alpn.isprintable() and len(self.alpn) <= 255):
                msg = f"alpn: {self.alpn!r} must be a protocol's name in ASCII, such as x-amzn-mqtt-ca"
                raise MqttError(msg)
            context.set_alpn_protocols([self.alpn])
        if not self.ca:
            context.load_default_certs()
        self._load(context)
        return context

    def renew(self, context: ssl.SSLContext) -> None:
        """Read the files again, before a connection: they may have been renewed.

        TlsFailure says that one cannot be used now, by its date or otherwise.
        """
        try:
            self._load(context)
        except MqttError as error:
            raise TlsFailure(str(error)) from None
        if self.certificate:
            _check_dates(self.certificate, "our certificate", _certificates(self.certificate)[:1])
        if self.ca:
            _check_dates(self.ca, "the authority's certificate", _certificates(self.ca))

    def name(self) -> str:
        """Say whose our certificate is, by its common name; empty where there is none to be read."""
        with contextlib.suppress(MqttError):
            return next((certificate.name for certificate in _certificates(self.certificate)), "")
        return ""

    def _load(self, context: ssl.SSLContext) -> None:
        if self.ca:
            _trust(context, self.ca)
        if not self.certificate:
            if self.key:
                msg = f"{self.key}: a key without its certificate; name that too"
                raise MqttError(msg)
            return
        key = self.key or self.certificate
        _need(self.certificate, CERTIFICATE)
        _need(key, KEY)
        try:
            context.load_cert_chain(self.certificate, key, _no_passphrase)
        except _EncryptedKeyError:
            msg = (
                f"{key}: the key is encrypted, and nobody is here to type its passphrase; decrypt it with openssl pkey"
            )
            raise MqttError(msg) from None
        except ssl.SSLError as error:
            raise MqttError(_unusable(self.certificate, key, error.reason or "")) from None


class Socket(ssl.SSLSocket):
    """A TLS connection that remembers what the other side refused, and does not stay open after that."""

    failure: ssl.SSLError | None = None

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the standard library
        """Shake hands, or close."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive; in TLS 1.3 a server says only here that it does not like our certificate."""
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as error:
            if type(error) is ssl.SSLError:  # its subclasses mean that nothing is there yet, or the end
                self.failure = error
            raise

    def shutdown(self, how: int) -> None:
        """End the connection under TLS, so that another thread that is reading sees its end and nothing stranger."""
        socket.socket.shutdown(self, how)


class _EncryptedKeyError(Exception):
    pass


def _no_passphrase() -> str:
    raise _EncryptedKeyError  # OpenSSL would ask the terminal


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(MOST_BYTES)
    except OSError as error:
        msg = f"{file}: cannot be read ({(error.strerror or str(error)).lower()})"
        raise MqttError(msg) from None


def _need(file: str, kind: str) -> None:
    """Refuse a file that does not hold a PEM block of this kind."""
    content, name = _read(file), kind.lower()
    if f"{kind}-----".encode() in content:
        return
    other = next((known for known in (CERTIFICATE, KEY) if f"{known}-----".encode() in content), None)
    if other:
        msg = f"{file}: holds a {other.lower()}, and must hold a {name}"
    elif content.startswith(b"\x30"):
        msg = f"{file}: is DER, and must be PEM; convert it with openssl, -inform DER"
    else:
        msg = f"{file}: holds no {name} in PEM (-----BEGIN ... {kind}-----)"
    raise MqttError(msg)


def _trust(context: ssl.SSLContext, file: str) -> None:
    _need(file, CERTIFICATE)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        msg = f"{file}: a certificate in it is damaged"
        raise MqttError(msg) from None
    if REVOKED in _read(file):
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _unusable(certificate: str, key: str, reason: str) -> str:
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return f"{key}: is not the key of {certificate}"
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL"):
        return f"{certificate}: its key is too short; make one of P-256, or RSA of 2048 bits or more"
    if reason in ("CA_MD_TOO_WEAK", "EE_MD_TOO_WEAK"):
        return f"{certificate}: is signed with a broken hash; have it signed with SHA-256"
    return f"{certificate}: it or its key {key} is damaged"


def _certificates(file: str) -> list[Certificate]:
    return read_certificates(_read(file))


def _check_dates(file: str, what: str, certificates: list[Certificate]) -> None:
    """Refuse certificates of which none is valid now."""
    now = time.time()
    if certificates and all(now > certificate.not_after for certificate in certificates):
        msg = f"{file}: {what} has expired; have it renewed, or set the clock"
        raise TlsFailure(msg)
    if certificates and all(now < certificate.not_before for certificate in certificates):
        msg = f"{file}: {what} is not valid yet; set the clock"
        raise TlsFailure(msg)
