"""ALPN, as AWS IoT Core on port 443 wants it: our own TLS server names the protocol, then hands on to Mosquitto."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import pytest
from authority import device
from brokers import Broker, free_port, until

from edge.tls import Security


class Door:
    """A TLS server that notes which protocol was agreed, lets in only that, and passes the bytes to a broker."""

    def __init__(self, context: ssl.SSLContext, inside: int) -> None:
        self.agreed: list[str | None] = []
        self._context, self._inside = context, inside
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                caller, _ = self._server.accept()
                self._threads.append(threading.Thread(target=self._pass_on, args=(caller,)))
                self._threads[-1].start()

    def _pass_on(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), caller, self._context.wrap_socket(caller, server_side=True) as outside:
            self.agreed.append(outside.selected_alpn_protocol())
            if self.agreed[-1] is None:
                return
            with socket.create_connection(("127.0.0.1", self._inside)) as inside:
                outside.settimeout(0.02)
                inside.settimeout(0.02)
                while all(self._copy(*pair) for pair in ((outside, inside), (inside, outside))):
                    pass

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> bool:
        try:
            data = source.recv(65536)
        except TimeoutError:
            return True
        target.sendall(data)
        return bool(data)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def door(site):
    """Open doors like AWS IoT Core's, with or without client certificates."""
    with contextlib.ExitStack() as stack:

        def door(protocol: str, inside: int, *, certificates: bool) -> Door:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(site / "server.crt", site / "server.key")
            context.load_verify_locations(site / "ca.crt")
            context.verify_mode = ssl.CERT_REQUIRED if certificates else ssl.CERT_NONE
            context.set_alpn_protocols([protocol])
            opened = Door(context, inside)
            stack.callback(opened.close)
            return opened

        yield door


def with_alpn(security: Security, alpn: str) -> Security:
    return Security(security.ca, security.certificate, security.key, alpn)


def test_a_client_certificate_comes_in_under_its_alpn(site, broker, connect, door):
    opened = door("x-amzn-mqtt-ca", broker.port, certificates=True)
    listener = broker.listen()
    seen = connect(f"mqtts://localhost:{opened.port}", with_alpn(device(site), "x-amzn-mqtt-ca"))
    assert until(lambda: seen.ups), seen.downs
    seen.connection.publish("touchline/truck1/cam2/event", "x", qos=1)
    listener.wait("touchline/truck1/cam2/event", "x")
    assert opened.agreed == ["x-amzn-mqtt-ca"]
    seen.connection.close()


def test_user_and_password_come_in_under_the_authorizers_alpn(site, locked_broker, connect, door, tmp_path):
    opened = door("mqtt", locked_broker.port, certificates=False)
    (tmp_path / "password").write_text("s3cret\n")
    security = Security(site / "ca.crt", alpn="mqtt")
    seen = connect(f"mqtts://me@localhost:{opened.port}", security, password_file=tmp_path / "password")
    assert until(lambda: seen.ups), seen.downs
    assert opened.agreed == ["mqtt"]
    seen.connection.close()


@pytest.mark.parametrize("alpn", ["", "x-amzn-http-ca"])
def test_without_the_right_alpn_the_door_stays_shut(site, broker, connect, door, alpn):
    opened = door("x-amzn-mqtt-ca", broker.port, certificates=True)
    seen = connect(f"mqtts://localhost:{opened.port}", with_alpn(device(site), alpn))
    hint = "it may not let our certificate or client id in" + (", or not know our alpn" if alpn else "")
    assert seen.complaint() == f"closed the connection without an MQTT answer; {hint}"
    assert set(opened.agreed) == {None}


def test_a_server_that_refuses_the_alpn_by_name_is_told_apart(site, connect, start):
    port = free_port()
    files = ["-cert", site / "server.crt", "-key", site / "server.key", "-alpn", "x-amzn-mqtt-ca"]
    start(Broker(["openssl", "s_server", "-accept", str(port), *files, "-quiet"], port))
    assert connect(f"mqtts://localhost:{port}", with_alpn(device(site), "x-amzn-http-ca")).complaint() == (
        "does not know this alpn; AWS IoT Core knows x-amzn-mqtt-ca and mqtt"
    )
