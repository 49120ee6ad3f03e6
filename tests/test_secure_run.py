"""The whole device over TLS: it is heard through the example's broker, and a mistake of TLS does not stop it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from authority import Authority, Site
from brokers import free_port

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A running broker with the example's configuration."""
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "certificates")
    people = ["--device", "truck1", "--device", "truck2", "--consumer", "archive"]
    authority.make("--server", "localhost", *people)
    site = authority.broker(folder / "broker")
    site.broker.start()
    yield site
    site.broker.close()


def run(site: Site, folder: Path, url: str = "", **files: str) -> tuple[list[str], Path]:
    """Run the device on the example's recording; return what it warned of, and the file of its messages."""
    certificate = site.authority / "devices/truck1"
    settings = {
        "ca": site.authority / "ca.crt",
        "certificate": f"{certificate}.crt",
        "key": f"{certificate}.key",
    } | files
    lines = [f"{name} = {value!r}" for name, value in {"url": url or site.url, "node": "truck1", **settings}.items()]
    config, messages = folder / "device.toml", folder / "messages.jsonl"
    config.write_text("\n".join(["[source]", 'name = "cam2"', "[mqtt]", *lines, ""]))
    command = [sys.executable, "-m", "edge", "run", EXAMPLES / "match.mp4", "--config", config, "--jsonl", messages]
    ran = subprocess.run([*command, "--quiet"], check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return [line for line in ran.stderr.splitlines() if "mqtt" in line], messages


def events_in(messages: Path) -> int:
    found = sum('"event/1"' in line for line in messages.read_text().splitlines())
    assert found
    return found


def test_a_device_with_its_certificate_is_heard_through_the_examples_broker(site, tmp_path):
    listener = site.broker.listen(*site.options("consumers/archive"))
    said, messages = run(site, tmp_path)
    (line,) = said
    assert line.startswith(f"touchline: mqtt broker localhost:{site.broker.port}: connected")
    listener.wait("touchline/truck1/status", "stopped")
    assert len(listener.payloads("touchline/truck1/cam2/event")) == events_in(messages)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"certificate": "", "key": ""}, "wants a client certificate; name certificate and key"),
        ({"ca": ""}, "its certificate is not signed by the authority that we trust (the system's authorities)"),
        (
            {"certificate": "devices/truck2.crt", "key": "devices/truck2.key"},
            "does not let us publish (check its access list; our certificate is that of truck2)",
        ),
    ],
)
def test_a_device_goes_on_with_a_mistake_of_tls_and_says_it_once(site, tmp_path, settings, complaint):
    files = {name: site.authority / path if path else "" for name, path in settings.items()}
    said, messages = run(site, tmp_path, **files)
    refusals = [line for line in said if complaint in line]
    assert len(refusals) == 1, said
    assert refusals[0].startswith(
        f"touchline: mqtt broker localhost:{site.broker.port}: {complaint}; detection goes on"
    )
    assert events_in(messages)


def test_a_file_that_is_missing_is_refused_at_the_start(site, tmp_path):
    with pytest.raises(AssertionError, match=r"^touchline: .*/none: cannot be read \(no such file or directory\)\n"):
        run(site, tmp_path, url=f"mqtts://localhost:{free_port()}", ca=str(tmp_path / "none"))


def test_a_simulated_device_and_a_subscriber_meet_over_tls(site):
    def options(name: str) -> list[str]:
        files = ["--cert", site.authority / f"{name}.crt", "--key", site.authority / f"{name}.key"]
        return ["--ca", site.authority / "ca.crt", *files]

    touchline, events = [sys.executable, "-m", "edge"], events_in(EXAMPLES / "match.jsonl")
    url = f"mqtts://localhost:{site.consumers_port}"
    listening = [
        *touchline,
        "subscribe",
        url,
        "--json",
        "--count",
        str(events),
        "--timeout",
        "20",
        "--consumer",
        "archive",
    ]
    with subprocess.Popen([*listening, *options("consumers/archive")], stdout=subprocess.PIPE, text=True) as subscriber:
        playing = ["simulate-device", EXAMPLES / "match.jsonl", "--mqtt", site.url, "--node", "truck1", "--fast"]
        waiting = ["--consumer", "archive"]  # the events come again until they are acknowledged
        ran = subprocess.run([*touchline, *playing, *waiting, *options("devices/truck1")], check=False, timeout=30)
        lines = subscriber.stdout.read().splitlines()
    assert ran.returncode == subscriber.returncode == 0
    assert [json.loads(line)["node"] for line in lines] == ["truck1"] * events
