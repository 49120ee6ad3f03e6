"""Where a broker is: the address as people write it, and the password, which nothing here ever shows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

PASSWORD_VARIABLE = "TOUCHLINE_MQTT_PASSWORD"  # noqa: S105 - the name of it
FORM = "mqtt://[user[:password]@]host[:port][/base] (mqtts:// with TLS)"
PORT, TLS_PORT = 1883, 8883
LONGEST = 65535
"""Bytes of a user name or a password: MQTT writes their length in 16 bits."""


class MqttError(Exception):
    """A broker's address that cannot be used, or a broker that cannot; the message never shows a password."""


@dataclass(frozen=True)
class MqttUrl:
    """Where a broker is and the first levels of our topics; `tls`: the connection is encrypted."""

    host: str
    port: int = PORT
    base: str = "touchline"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @classmethod
    def parse(cls, text: str, *, user: str = "", password_file: str | Path = "") -> MqttUrl:
        """Read an address such as `mqtts://me@host/base`, ports 1883 and 8883 being understood.

        A user in the address goes before `user`; a password in it goes before the one in `password_file`, and that
        before the one in TOUCHLINE_MQTT_PASSWORD. MqttError says what is wrong.
        """
        # No message here quotes the text: a malformed address may hold its password anywhere.
        scheme, found, _ = text.partition("://")
        if not found or scheme not in ("mqtt", "mqtts"):
            msg = f"MQTT address: must look like {FORM}, and this one does not begin with mqtt:// or mqtts://"
            raise MqttError(msg)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            port = 0
        if port == 0 or "?" in text or "#" in text or "@" in parts.path:
            msg = f"MQTT address: must look like {FORM}, port 1 to 65535, / ? # @ : in a password as %2F ..."
            raise MqttError(msg)
        host, base = parts.hostname or "", unquote(parts.path.strip("/")) or cls.base
        if not _is_host(host):
            msg = f"MQTT address: {host!r} is not a host name" if host else f"MQTT address: no host in it; {FORM}"
            raise MqttError(msg)
        if any(sign in base for sign in ("+", "#", "\0", "//")) or base.startswith("$"):
            msg = f"MQTT address: base {base!r} must be topic levels without + and #, not beginning with $"
            raise MqttError(msg)
        name = unquote(parts.username) if parts.username else user or None
        tls = scheme == "mqtts"
        password = _password(parts.password, password_file, name)
        return cls(host, port or (TLS_PORT if tls else PORT), base, name, password, tls)

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _password(in_address: str | None, file: str | Path, user: str | None) -> str | None:
    password, origin = os.environ.get(PASSWORD_VARIABLE), PASSWORD_VARIABLE
    if in_address is not None:
        password, origin = unquote(in_address), "MQTT address"
    elif file:
        if user is None:
            msg = f"{file}: a password without a user name; name the user in the address, mqtts://user@host"
            raise MqttError(msg)
        password, origin = _first_line(Path(file)), str(file)
    for name, text in ((origin, password), ("MQTT address", user)):
        if text is not None and (len(text.encode()) > LONGEST or "\0" in text):
            msg = f"{name}: a user name or password has at most {LONGEST} bytes of UTF-8, none of them zero"
            raise MqttError(msg)
    return password


def _first_line(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"{file}: the password cannot be read ({(error.strerror or str(error)).lower()})"
        raise MqttError(msg) from None
    except UnicodeDecodeError:
        msg = f"{file}: the password is not UTF-8 text"
        raise MqttError(msg) from None
    if not lines or not lines[0]:
        msg = f"{file}: holds no password; it must be the first line"
        raise MqttError(msg)
    return lines[0]


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False
