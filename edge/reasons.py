"""Why a connection failed: one sentence for each error, which says what would be right."""

from __future__ import annotations

import socket
import ssl

from .tls import Security, TlsFailure

OTHER_AUTHORITY = "its certificate is not signed by the authority that we trust"
OTHER_HOST = "its certificate is for another host; connect to a name that it holds, or have that name added"
WEAK = "its certificate is too weak; have one made with P-256 or RSA of 2048 bits, signed with SHA-256"
NO_TLS = "does not speak TLS on this port; mqtts:// needs its TLS port, by default 8883, and mqtt:// is plain"
VERIFICATION = {
    9: "its certificate is not valid yet; set our clock, or the broker's when the certificate is made",
    10: "its certificate has expired; have it renewed, or set our clock",
    18: "its certificate is self-signed; name that file as ca if you trust it, or have it signed by an authority",
    19: OTHER_AUTHORITY,
    20: OTHER_AUTHORITY,
    21: OTHER_AUTHORITY,
    23: "its certificate has been revoked; it needs a new one",
    26: "its certificate is not one for servers; have one made with the use serverAuth",
    62: OTHER_HOST,
    64: OTHER_HOST,
    66: WEAK,
    67: WEAK,
    68: WEAK,
}
"""By OpenSSL's number of what is wrong with the broker's certificate (X509_V_ERR_...)."""

ALERTS = {
    "alert certificate required": "wants a client certificate; name certificate and key",
    "alert certificate expired": "says that our certificate has expired; have it renewed, or set its clock",
    "alert certificate revoked": "says that our certificate has been revoked; have a new one made",
    "alert unknown ca": "does not know the authority of our certificate; have it signed by the broker's",
    "alert bad certificate": "does not take our certificate; have one made for clients by the broker's authority",
    "alert unsupported certificate": "says that our certificate is not one for clients; have one made with clientAuth",
    "alert certificate unknown": "does not take our certificate; have one made by the broker's authority",
    "alert access denied": "takes our certificate but does not let it in; check the broker's policy",
    "alert no application protocol": "does not know this alpn; AWS IoT Core knows x-amzn-mqtt-ca and mqtt",
    "alert protocol version": "does not speak TLS 1.2 or newer",
    "unsupported protocol": "does not speak TLS 1.2 or newer",
    "wrong ssl version": "does not speak TLS 1.2 or newer",
    "alert insufficient security": "wants a stronger cipher than ours; update OpenSSL here",
    "key too small": "wants to use a key that is too short; it needs P-256, or 2048 bits",
    "wrong version number": NO_TLS,
    "http request": NO_TLS,
    "unexpected eof": NO_TLS,
}
"""By what OpenSSL's message holds; an alert is what the broker says of us."""

PLAIN: dict[type, str] = {ConnectionRefusedError: "connection refused", TimeoutError: "no answer"}


def why(error: BaseException | None, security: Security | None) -> str:
    """Say why no connection came up, or why it went at once."""
    if isinstance(error, TlsFailure):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, security)
    if isinstance(error, ssl.SSLError):
        return _of_handshake(error, security)
    if isinstance(error, socket.gaierror):
        return "unknown host" if error.errno == socket.EAI_NONAME else "its host name cannot be looked up now"
    if isinstance(error, ConnectionResetError) and security is not None:
        return NO_TLS
    return PLAIN.get(type(error)) or (getattr(error, "strerror", None) or str(error) or "connection failed").lower()


def closed(security: Security | None) -> str:
    """Say what it may mean that the broker closed a connection without a right answer."""
    if security is None:
        hint = "if this is its TLS port, write mqtts://"
    elif not security.certificate:
        hint = "it may want a client certificate"
    else:
        hint = "it may not let our certificate or client id in" + (", or not know our alpn" if security.alpn else "")
    return f"closed the connection without an MQTT answer; {hint}"


def forbidden(what: str, security: Security | None) -> str:
    """Say that the broker let us in, but not do this."""
    name = security.name() if security else ""
    return f"does not let us {what} (check its access list{f'; our certificate is that of {name}' if name else ''})"


def _of_certificate(error: ssl.SSLCertVerificationError, security: Security | None) -> str:
    found = VERIFICATION.get(error.verify_code, f"its certificate is refused ({error.verify_message.lower()})")
    trusted = (security.ca if security else "") or "the system's authorities"
    return f"{found} ({trusted})" if found == OTHER_AUTHORITY else found


def _of_handshake(error: ssl.SSLError, security: Security | None) -> str:
    # Not by `reason`: OpenSSL knows alerts for which this Python may have no name.
    message = str(error).replace("_", " ").lower()
    if "alert handshake failure" in message:
        if security is not None and not security.certificate:
            return "refused the TLS handshake; it may want a client certificate: name certificate and key"
        return "refused the TLS handshake; it accepts none of the ciphers of TLS 1.2 and 1.3 that we do"
    known = next((sentence for part, sentence in ALERTS.items() if part in message), None)
    return known or f"TLS failed ({(error.reason or str(error)).replace('_', ' ').lower()})"
