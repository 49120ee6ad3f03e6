"""TLS against real servers: what is right works, and each mistake gets one sentence while the process goes on."""

from __future__ import annotations

import shutil
import socket
import time

import pytest
from authority import CLIENT, DAY, SERVER, Authority, device, openssl
from brokers import Broker, free_port, until

from edge import tls
from edge.address import MqttError
from edge.tls import Security


def odd(authority: Authority, path: str) -> Security:
    return Security(authority / "ca.crt", f"{path}.crt", f"{path}.key")


def s_server(certificate: str, *options: str) -> Broker:
    """OpenSSL's own server, which speaks what Mosquitto no longer does."""
    port = free_port()
    files = ["-cert", f"{certificate}.crt", "-key", f"{certificate}.key"]
    return Broker(["openssl", "s_server", "-accept", str(port), *files, "-quiet", *options], port)


def test_a_device_comes_in_with_its_certificate(site, start, connect, tmp_path):
    example = site.broker(tmp_path)
    start(example.broker)
    seen = connect(example.url, device(site))
    assert until(lambda: seen.ups)
    assert seen.downs == []
    tls_socket = seen.connection._client.socket()
    assert tls_socket.version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ({"days": (-9, -1)}, "its certificate has expired; have it renewed, or set our clock"),
        (
            {"days": (1, 9)},
            "its certificate is not valid yet; set our clock, or the broker's when the certificate is made",
        ),
        (
            {"lines": (SERVER[0], "subjectAltName = DNS:elsewhere")},
            "its certificate is for another host; connect to a name that it holds, or have that name added",
        ),
        (
            {"lines": CLIENT + SERVER[1:]},
            "its certificate is not one for servers; have one made with the use serverAuth",
        ),
    ],
    ids=["expired", "not yet valid", "another host", "a client's"],
)
def test_a_broker_with_a_wrong_certificate_is_refused(site, start, connect, tmp_path, server, complaint):  # noqa: PLR0917
    lines = server.pop("lines", SERVER)
    example = site.broker(tmp_path, site.sign(tmp_path.name, *lines, **server))
    start(example.broker)
    assert connect(example.url, device(site)).complaint() == complaint


def test_a_broker_of_another_authority_is_refused(site, stranger, start, connect, tmp_path):
    example = stranger.broker(tmp_path)
    start(example.broker)
    assert connect(example.url, device(site)).complaint() == (
        f"its certificate is not signed by the authority that we trust ({site / 'ca.crt'})"
    )
    seen = connect(example.url)
    assert "that we trust (the system's authorities)" in seen.complaint()


def test_a_self_signed_broker_is_refused_unless_it_is_named_as_the_authority(site, start, connect, tmp_path):
    alone = [*("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"), "-nodes", "-days", "9"]
    made = ["-newkey", "rsa:2048", "-keyout", "self.key", "-out", "self.crt"]
    openssl("req", "-x509", *alone, *made, folder=tmp_path)
    example = site.broker(tmp_path, str(tmp_path / "self"))
    start(example.broker)
    assert connect(example.url, device(site)).complaint() == (
        "its certificate is self-signed; name that file as ca if you trust it, or have it signed by an authority"
    )
    trusting = connect(example.url, device(site, ca=str(tmp_path / "self.crt")))
    assert until(lambda: trusting.ups)


def test_a_broker_whose_certificate_was_revoked_is_refused(stranger, start, connect, tmp_path):
    bad = stranger.sign("revoked", *SERVER)
    openssl("ca", "-config", "openssl.cnf", "-revoke", f"{bad}.crt", folder=stranger.folder)
    stranger.make()
    (tmp_path / "both.pem").write_text(
        (stranger.folder / "ca.crt").read_text() + (stranger.folder / "revoked.crl").read_text()
    )
    example = stranger.broker(tmp_path, bad)
    start(example.broker)
    assert connect(example.url, device(stranger, ca=str(tmp_path / "both.pem"))).complaint() == (
        "its certificate has been revoked; it needs a new one"
    )


def test_a_broker_with_a_short_key_is_refused(site, start, connect):
    weak = site.sign("short", *SERVER, key="rsa_keygen_bits:1024")
    server = start(s_server(weak, "-cipher", "ALL:@SECLEVEL=0"))
    assert connect(f"mqtts://localhost:{server.port}", device(site)).complaint() == (
        "its certificate is too weak; have one made with P-256 or RSA of 2048 bits, signed with SHA-256"
    )


def test_no_certificate_of_ours_is_refused_and_said_once_however_often_it_is_tried(site, start, connect, tmp_path):
    example = site.broker(tmp_path)
    start(example.broker)
    seen = connect(example.url, Security(site / "ca.crt"))
    assert seen.complaint() == "wants a client certificate; name certificate and key"
    time.sleep(3.5)  # it has been tried twice more
    assert seen.complaint() == "wants a client certificate; name certificate and key"


def test_no_certificate_of_ours_is_refused_in_tls_12_too(site, start, connect):
    server = start(s_server(site / "server", "-tls1_2", "-Verify", "1", "-CAfile", site / "ca.crt"))
    assert connect(f"mqtts://localhost:{server.port}", Security(site / "ca.crt")).complaint() == (
        "refused the TLS handshake; it may want a client certificate: name certificate and key"
    )


def test_our_certificate_of_another_authority_is_refused(site, stranger, start, connect, tmp_path):
    example = site.broker(tmp_path)
    start(example.broker)
    wrong = Security(site / "ca.crt", stranger / "devices/truck1.crt", stranger / "devices/truck1.key")
    assert connect(example.url, wrong).complaint() == (
        "does not know the authority of our certificate; have it signed by the broker's"
    )


def test_our_certificate_for_servers_is_refused(site, start, connect, tmp_path):
    example = site.broker(tmp_path)
    start(example.broker)
    assert connect(example.url, device(site, "server")).complaint() == (
        "says that our certificate is not one for clients; have one made with clientAuth"
    )


@pytest.mark.parametrize(
    ("days", "complaint"),
    [((-9, -1), "has expired; have it renewed, or set the clock"), ((1, 9), "is not valid yet; set the clock")],
    ids=["expired", "not yet valid"],
)
def test_our_certificate_past_its_date_is_refused_before_anything_is_sent(site, connect, days, complaint):
    mine = site.sign(f"mine{days[0]}", *CLIENT, days=days)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        seen = connect(f"mqtts://localhost:{server.getsockname()[1]}", odd(site, mine))
        assert seen.complaint() == f"{mine}.crt: our certificate {complaint}"
        with pytest.raises(TimeoutError):
            server.accept()


def test_our_certificate_that_the_broker_says_has_expired_is_refused(site, start, connect, tmp_path, monkeypatch):
    now = time.time()
    mine = site.sign("late", *CLIENT, days=(-9, 2 / DAY))
    example = site.broker(tmp_path)
    start(example.broker)
    monkeypatch.setattr(tls.time, "time", lambda: now)  # our clock stands still
    time.sleep(3)
    assert connect(example.url, odd(site, mine)).complaint() == (
        "says that our certificate has expired; have it renewed, or set its clock"
    )


def test_a_certificate_renewed_in_its_file_is_taken_at_the_next_attempt(site, start, connect, tmp_path):
    old, new = site.sign("old", *CLIENT, days=(-9, -1)), site.sign("new", *CLIENT)
    for end in ("crt", "key"):
        shutil.copy(f"{old}.{end}", tmp_path / f"mine.{end}")
    example = site.broker(tmp_path / "broker")
    start(example.broker)
    seen = connect(example.url, odd(site, str(tmp_path / "mine")))
    assert "has expired" in seen.complaint()
    for end in ("crt", "key"):
        shutil.copy(f"{new}.{end}", tmp_path / f"mine.{end}")
    assert until(lambda: seen.ups)


def test_a_revoked_certificate_of_ours_is_refused_after_sighup(stranger, start, connect, tmp_path):
    stranger.make("--device", "lost")
    example = stranger.broker(tmp_path)
    start(example.broker)
    first = connect(example.url, device(stranger, "devices/lost"))
    assert until(lambda: first.ups)
    first.connection.close()
    for end in ("crt", "key"):
        shutil.copy(stranger / f"devices/lost.{end}", tmp_path)
    assert "revoked; send the broker" in stranger.make("--revoke", "lost")
    example.broker.process.send_signal(1)
    time.sleep(0.3)
    stolen = connect(example.url, odd(stranger, str(tmp_path / "lost")))
    assert stolen.complaint() == "says that our certificate has been revoked; have a new one made"


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_a_broker_that_speaks_only_old_tls_is_refused(site, start, connect, version):
    server = start(s_server(site / "server", version, "-cipher", "ALL:@SECLEVEL=0"))
    assert connect(f"mqtts://localhost:{server.port}", device(site)).complaint() == "does not speak TLS 1.2 or newer"


def test_a_broker_with_weak_ciphers_only_is_refused(site, start, connect):
    rsa = site.sign("rsa", *SERVER, "keyUsage = keyEncipherment", key="rsa_keygen_bits:2048")
    server = start(s_server(rsa, "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"))
    assert connect(f"mqtts://localhost:{server.port}", device(site)).complaint() == (
        "refused the TLS handshake; it accepts none of the ciphers of TLS 1.2 and 1.3 that we do"
    )


def test_a_plain_port_is_refused_with_mqtts(broker, connect, site):
    assert connect(broker.url.replace("mqtt:", "mqtts:"), device(site)).complaint() == (
        "does not speak TLS on this port; mqtts:// needs its TLS port, by default 8883, and mqtt:// is plain"
    )


def test_a_tls_port_is_refused_with_mqtt(site, start, connect, tmp_path):
    example = site.broker(tmp_path)
    start(example.broker)
    assert connect(example.url.replace("mqtts:", "mqtt:")).complaint() == (
        "closed the connection without an MQTT answer; if this is its TLS port, write mqtts://"
    )


def test_a_server_that_says_nothing_is_given_up(site, connect):
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = connect(f"mqtts://localhost:{server.getsockname()[1]}", device(site))
        assert seen.complaint() == "no answer"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_version_of_mqtt_can_be_asked_for(site, start, connect, tmp_path, protocol):
    example = site.broker(tmp_path)
    start(example.broker)
    seen = connect(example.url, device(site), protocol=protocol)
    assert until(lambda: seen.ups)
    assert seen.connection._client.protocol == {"5": 5, "3.1.1": 4}[protocol]


def test_a_broker_without_mqtt_5_is_not_asked_in_311_when_5_is_demanded(old_broker, connect):
    assert connect(old_broker.url, protocol="5").complaint() == "refused the connection (unsupported protocol version)"


def test_tls_for_a_plain_address_is_refused(site, connect):
    with pytest.raises(MqttError, match="which is plain: mqtts://"):
        connect("mqtt://localhost", device(site))


def test_a_connection_that_is_cut_comes_up_again(site, start, connect, tmp_path):
    example = site.broker(tmp_path)
    start(example.broker)
    seen = connect(example.url, device(site))
    for times in range(1, 4):
        assert until(lambda times=times: len(seen.ups) == times)
        seen.connection.cut()
    assert until(lambda: len(seen.ups) == 4)
    assert [sentence.rpartition(": ")[2] for sentence in seen.downs] == ["connection lost"]
