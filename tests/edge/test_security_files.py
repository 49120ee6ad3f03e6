"""The files of a connection: each that cannot be used is refused in one sentence, before anything is sent."""

from __future__ import annotations

import argparse
import ssl

import pytest
from authority import CLIENT, DAY, openssl

from edge.address import MqttError
from edge.commands import add_security_options, address_of, security_of
from edge.tls import Security
from edge.x509 import read_certificates


@pytest.fixture
def files(site, tmp_path):
    """A device's good files, the key of another, and every kind of bad one."""
    for name in ("ca.crt", "devices/truck1.crt", "devices/truck1.key", "devices/truck2.key"):
        (tmp_path / name.rpartition("/")[2]).write_bytes((site.folder / name).read_bytes())
    openssl("x509", "-in", "truck1.crt", "-outform", "DER", "-out", "der.crt", folder=tmp_path)
    openssl("pkey", "-in", "truck1.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key", folder=tmp_path)
    lines = (tmp_path / "truck1.crt").read_text().splitlines()
    (tmp_path / "damaged.crt").write_text("\n".join([lines[0], *reversed(lines[1:-1]), lines[-1], ""]))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    short = site.sign("short-of-ours", *CLIENT, key="rsa_keygen_bits:1024")
    for end in ("crt", "key"):
        (tmp_path / f"short.{end}").write_bytes((site.folder / f"{short}.{end}").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("ca", "certificate", "key", "complaint"),
    [
        ("none", "", "", "none: cannot be read (no such file or directory)"),
        ("ca.crt", "none", "truck1.key", "none: cannot be read (no such file or directory)"),
        ("ca.crt", "truck1.crt", "none", "none: cannot be read (no such file or directory)"),
        ("folder", "", "", "folder: cannot be read (is a directory)"),
        ("empty", "", "", "empty: holds no certificate in PEM (-----BEGIN ... CERTIFICATE-----)"),
        ("truck1.key", "", "", "truck1.key: holds a private key, and must hold a certificate"),
        ("damaged.crt", "", "", "damaged.crt: a certificate in it is damaged"),
        ("ca.crt", "truck1.key", "truck1.key", "truck1.key: holds a private key, and must hold a certificate"),
        ("ca.crt", "truck1.crt", "truck1.crt", "truck1.crt: holds a certificate, and must hold a private key"),
        ("ca.crt", "truck1.crt", "", "truck1.crt: holds a certificate, and must hold a private key"),
        ("ca.crt", "", "truck1.key", "truck1.key: a key without its certificate; name that too"),
        ("ca.crt", "truck1.crt", "truck2.key", "truck2.key: is not the key of FOLDER/truck1.crt"),
        (
            "ca.crt",
            "truck1.crt",
            "locked.key",
            "locked.key: the key is encrypted, and nobody is here to type its passphrase; decrypt it with openssl pkey",
        ),
        ("ca.crt", "der.crt", "truck1.key", "der.crt: is DER, and must be PEM; convert it with openssl, -inform DER"),
        ("ca.crt", "damaged.crt", "truck1.key", "damaged.crt: it or its key FOLDER/truck1.key is damaged"),
        (
            "ca.crt",
            "short.crt",
            "short.key",
            "short.crt: its key is too short; make one of P-256, or RSA of 2048 bits or more",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(files, ca, certificate, key, complaint):
    security = Security(*(str(files / name) if name else "" for name in (ca, certificate, key)))
    with pytest.raises(MqttError) as caught:
        security.context()
    assert str(caught.value) == f"{files}/{complaint.replace('FOLDER', str(files))}"


@pytest.mark.parametrize("alpn", ["mqtt\n", "é", "x" * 256])
def test_an_alpn_that_is_no_name_is_refused(alpn):
    with pytest.raises(MqttError, match="must be a protocol's name in ASCII"):
        Security(alpn=alpn).context()


def test_certificate_and_key_may_stand_in_one_file(files):
    both = files / "both.pem"
    both.write_bytes((files / "truck1.crt").read_bytes() + (files / "truck1.key").read_bytes())
    context = Security(str(files / "ca.crt"), str(both)).context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_names_and_dates_are_those_that_openssl_reads(site):
    for days in ((-9, -1), (-1, 40000), (-30000, 9)):  # times of two kinds and three centuries
        path = site.sign(f"dated{days[0]}-{days[1]}", *CLIENT, days=days)
        said = openssl("x509", "-in", f"{path}.crt", "-noout", "-subject", "-dates", folder=site.folder)
        fields = dict(line.split("=", 1) for line in said.splitlines())
        (certificate,) = read_certificates((site.folder / f"{path}.crt").read_bytes())
        assert certificate.name == fields["subject"].removeprefix("CN = ")
        assert certificate.not_before == ssl.cert_time_to_seconds(fields["notBefore"])
        assert certificate.not_after == ssl.cert_time_to_seconds(fields["notAfter"])
        assert certificate.not_after - certificate.not_before == (days[1] - days[0]) * DAY


def options(*words):
    parser = argparse.ArgumentParser()
    add_security_options(parser)
    return parser.parse_args(words)


def test_the_options_of_a_command_say_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv("TOUCHLINE_MQTT_PASSWORD", raising=False)
    assert security_of(options()) is None
    assert security_of(options("--ca", "a", "--cert", "b", "--key", "c", "--alpn", "d")) == Security("a", "b", "c", "d")
    (tmp_path / "password").write_text("s3cret\n")
    address = address_of("mqtts://host", options("--user", "me", "--password-file", str(tmp_path / "password")))
    assert (address.user, address.password) == ("me", "s3cret")
