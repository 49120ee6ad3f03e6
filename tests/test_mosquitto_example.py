"""The example's configuration as it stands, run by Mosquitto: who may write and read what, and under which name."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from authority import EXAMPLE, Authority, Site, device
from brokers import program, until
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from edge.contract import TOPICS

SCRIPT = EXAMPLE / "make-certificates"
NAMES = {
    "base": "touchline",
    "node": "truck1",
    "source": "cam2",
    "component": "source",
    "role": "rgb",
    "minute": "2026-11-23T10-15Z",
    "switch": "audio",
    "consumer": "archive",
    "method": "history",
    "caller": "c1",
    "session": "s1",
}
WRITERS = {"acknowledge": "archive", "switch_set": "operator", "feedback": "operator", "policy_stop": "operator"}
"""Which consumer may tell a device what; asking (rpc) is for all, and nobody here sends models."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A running broker with the example's configuration and two devices, two consumers."""
    folder = tmp_path_factory.mktemp("example")
    authority = Authority(folder / "certificates")
    people = ["--consumer", "archive", "--consumer", "operator", "--consumer", "nobody"]
    authority.make("--server", "localhost", "--device", "truck1", "--device", "truck2", *people)
    site = authority.broker(folder / "broker")
    site.broker.start()
    yield site
    site.broker.close()


class Party:
    """Somebody with a certificate, subscribed to all there is, in MQTT 5."""

    def __init__(self, site: Site, name: str, *, port: int | None = None, **options) -> None:
        self.got, self.ends, self._acks, self._subscribed = [], [], {}, []
        port = port or (site.broker.port if name.startswith("devices/") else site.consumers_port)
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, reconnect_on_failure=False, **options)
        self.client.tls_set_context(device(site.authority, name).context())
        self.client.on_publish = lambda _client, _data, mid, reason, _: self._acks.update({mid: reason})
        self.client.on_subscribe = lambda *_: self._subscribed.append(True)
        self.client.on_disconnect = lambda _client, _data, _flags, reason, _: self.ends.append(reason.getName())
        self.client.on_message = lambda _client, _data, message: self.got.append(
            (message.topic, message.payload.decode())
        )
        self.client.username_pw_set("truck1", "x")  # which does not count
        self.client.connect("localhost", port)
        self.client.loop_start()
        self.client.subscribe([("#", 1), ("$SYS/broker/version", 1)])
        assert until(lambda: self._subscribed), name

    def tell(self, topic: str, payload: str = "x", *, retain: bool = False) -> bool:
        """Publish, and return whether the broker took it."""
        mid = self.client.publish(topic, payload, 1, retain).mid
        assert until(lambda: mid in self._acks), topic
        assert self._acks[mid].getName() in ("Success", "No matching subscribers", "Not authorized")
        return not self._acks[mid].is_failure

    def hears(self, topic: str, payload: str = "x") -> bool:
        return bool(until(lambda: (topic, payload) in self.got))


@pytest.fixture
def join(site):
    """Let parties in, until the end of the test."""
    with contextlib.ExitStack() as stack:

        def join(name: str, **options) -> Party:
            party = Party(site, name, **options)
            stack.callback(party.client.loop_stop)
            stack.callback(party.client.disconnect)
            return party

        yield join


@pytest.fixture
def parties(join):
    """Two devices and three consumers, by name."""
    devices, consumers = ("truck1", "truck2"), ("archive", "operator", "nobody")
    return {name: join(f"devices/{name}") for name in devices} | {name: join(f"consumers/{name}") for name in consumers}


def test_each_topic_of_the_contract_goes_its_way_and_no_other(parties):
    device, archive = parties["truck1"], parties["archive"]
    for name, entry in TOPICS.items():
        topic, up = entry.address.format(**NAMES), entry.direction == "from device"
        assert not parties["truck2"].tell(topic), topic
        assert not parties["nobody"].tell(topic), topic
        takers = {party for party in ("archive", "operator") if parties[party].tell(topic, party)}
        assert takers == ({"archive", "operator"} if name == "rpc" else {WRITERS[name]} if name in WRITERS else set())
        assert all(device.hears(topic, taker) for taker in takers)
        if up:
            assert device.tell(topic), topic
            assert archive.hears(topic)
    assert parties["truck2"].got == parties["nobody"].got == []
    assert {topic for topic, _ in device.got} == {
        entry.address.format(**NAMES) for name, entry in TOPICS.items() if name in WRITERS or name == "rpc"
    }


def test_a_device_reads_nothing_of_another_not_even_what_is_retained(join):
    first = join("devices/truck1")
    for topic in ("status", "cam2/event", "feedback", "rpc/history"):
        assert first.tell(f"touchline/truck1/{topic}", "secret", retain=True)
    archive = join("consumers/archive")
    assert archive.hears("touchline/truck1/status", "secret")
    other = join("devices/truck2")
    assert archive.tell("touchline/truck2/rpc/history")
    assert other.hears("touchline/truck2/rpc/history")
    assert len(other.got) == 1


def test_nobody_acknowledges_in_anothers_name(join):
    assert not join("consumers/operator").tell("touchline/truck1/cam2/acknowledge/archive")
    assert join("consumers/archive").tell("touchline/truck1/cam2/acknowledge/archive")


def test_a_device_that_takes_anothers_client_id_does_not_throw_it_off(join):
    first = join("devices/truck1", client_id="touchline-truck1-cam2")
    for stolen in ("touchline-truck1-cam2", "truck1"):
        join("devices/truck2", client_id=stolen).client.disconnect()
    assert join("consumers/operator").tell("touchline/truck1/feedback")
    assert first.hears("touchline/truck1/feedback")
    assert first.ends == []


def test_a_second_connection_with_one_certificate_takes_over(join):
    first = join("devices/truck1", client_id="one")
    join("devices/truck1", client_id="two")
    assert until(lambda: first.ends)


def test_a_device_may_do_nothing_at_the_consumers_door(site, join):
    device, archive, other = (
        join("devices/truck1", port=site.consumers_port),
        join("consumers/archive"),
        join("devices/truck2"),
    )
    assert not device.tell("touchline/truck1/cam2/event")
    assert other.tell("touchline/truck2/cam2/event")
    assert archive.hears("touchline/truck2/cam2/event")
    assert device.got == []


def test_nobody_comes_in_without_a_certificate(site):
    for port in (site.broker.port, site.consumers_port):
        command = [program("mosquitto_pub"), "-h", "localhost", "-p", str(port), "--cafile", site.authority / "ca.crt"]
        ran = subprocess.run([*command, "-t", "x", "-m", "x"], check=False, capture_output=True, text=True, timeout=10)
        assert ran.returncode != 0


def test_the_script_has_no_fault_that_shellcheck_knows():
    if (shellcheck := shutil.which("shellcheck")) is not None:
        assert subprocess.run([shellcheck, SCRIPT], check=False, capture_output=True).stdout == b""
    assert subprocess.run(["sh", "-n", SCRIPT], check=False, capture_output=True).stderr == b""


def test_the_script_teaches():
    text = subprocess.run([SCRIPT, "--help"], check=True, capture_output=True, text=True).stdout
    assert "example: make-certificates --server broker.local" in text
    options = set(
        re.findall(r"^ +(--\w+)\) |^ +(?:-h \| --help)|(?<=[ |])(--\w+)(?= [|)]|\))", SCRIPT.read_text(), re.MULTILINE)
    )
    assert {name for pair in options for name in pair if name} - {"--help"} <= set(re.findall(r"--\w+", text))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--device", "a/b"], "'a/b' is not a name of A-Z a-z 0-9 _ and -"),
        (["--device", "+"], "'+' is not a name of A-Z a-z 0-9 _ and -"),
        (["--device", ""], "'' is not a name of A-Z a-z 0-9 _ and -"),
        (["--server", "a,b"], "'a,b' is not a host name or IP address"),
        (["--days", "-1"], "--days wants a whole number, not '-1'"),
        (["--device"], "--device wants a value; see --help"),
        (["--devise", "x"], "unknown option --devise; see --help"),
        (["--device", "same", "--consumer", "same"], "same is a device; a consumer needs a name of its own"),
        (["--revoke", "unknown"], "unknown has no certificate in OUT"),
    ],
)
def test_the_script_says_in_one_sentence_what_it_does_not_take(tmp_path, options, complaint):
    out = tmp_path / "certificates"
    ran = subprocess.run([SCRIPT, "--out", out, *options], check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == f"make-certificates: {complaint.replace('OUT', str(out))}\n"


def test_the_script_keeps_what_is_there_and_renews_with_the_same_key(tmp_path):
    authority = Authority(tmp_path / "certificates")
    authority.make("--server", "localhost", "--device", "truck1")
    before = {path: path.read_bytes() for path in Path(authority.folder).rglob("*.crt")}
    key = (authority.folder / "devices/truck1.key").read_bytes()
    assert authority.make("--device", "truck1").endswith("truck1.crt: kept\n")
    assert {path: path.read_bytes() for path in Path(authority.folder).rglob("*.crt")} == before
    (authority.folder / "devices/truck1.crt").unlink()
    authority.make("--device", "truck1")
    assert (authority.folder / "devices/truck1.crt").read_bytes() != before[authority.folder / "devices/truck1.crt"]
    assert (authority.folder / "devices/truck1.key").read_bytes() == key


def test_private_keys_are_for_their_owner_only(site):
    keys = list(site.authority.folder.rglob("*.key"))
    assert len(keys) == 7
    assert {path.stat().st_mode & 0o077 for path in keys} == {0}
