"""What a device really sends is what the contract says: its topics, how they are sent, and every payload."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import made
import msgspec
import pytest
from brokers import free_port, mosquitto, until
from jsonschema import Draft202012Validator
from paho.mqtt.publish import single
from recordings import record

from edge import vitals
from edge.__main__ import main
from edge.asyncapi import ALL, asyncapi
from edge.config import Mqtt
from edge.contract import PARAMETERS, TOPICS, RpcRequest
from edge.mqtt import MqttPublisher
from edge.play import Playing, simulate
from edge.samples import SAMPLES
from edge.schemas import schema, schema_id

MATCH = Path(__file__).parents[2] / "examples" / "match.mp4"
BASE = "halls/north"
VALIDATORS = {
    name: Draft202012Validator(schema(topic.payload), format_checker=Draft202012Validator.FORMAT_CHECKER)
    for name, topic in ALL.items()
    if isinstance(topic.payload, type) and topic.payload is not dict
}


def pattern(address: str) -> re.Pattern[str]:
    """What the topics of an address look like."""

    def level(match: re.Match[str]) -> str:
        values = PARAMETERS[match[1]].values
        return BASE if match[1] == "base" else f"({'|'.join(values)})" if values else "[A-Za-z0-9_-]{1,64}"

    return re.compile(re.sub(r"\{(\w+)\}", level, address))


def names(topic: str) -> list[str]:
    """The contract's names of a concrete topic; there must be one."""
    return [name for name, candidate in ALL.items() if pattern(candidate.address).fullmatch(topic)]


def complaints(topic: str, payload: str) -> list[str]:
    """What is wrong with a message of a device by the contract."""
    found = names(topic)
    if len(found) != 1:
        return [f"{topic} is in the contract {len(found)} times"]
    kind = ALL[found[0]]
    if kind.direction != "from device":
        return [f"{topic} is for others to send"]
    if isinstance(kind.payload, tuple):
        return [] if payload in kind.payload or not kind.payload else [f"{topic}: {payload}"]
    validator = VALIDATORS.get(found[0], Draft202012Validator({"type": "object"}))
    return [f"{topic}: {error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(payload))]


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Everything that a device said in a run of the recorded match, as (topic, retained, payload)."""
    folder = tmp_path_factory.mktemp("contract")
    config = folder / "device.toml"
    broker = mosquitto(folder, "allow_anonymous true").start()
    config.write_text(
        f'[mqtt]\nurl = "{broker.url}/{BASE}"\nnode = "truck1"\n[source]\nname = "cam2"\n[events]\nupdate_seconds = 2\n'
    )
    listener = broker.listen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        assert main(["run", str(MATCH), "--config", str(config), "--quiet"]) == 0
    listener.wait(f"{BASE}/truck1/status", "stopped")
    retained = broker.listen("--retained-only")
    assert until(lambda: retained.payloads(f"{BASE}/truck1/status"))
    yield listener.got, dict(retained.got)
    broker.close()


def test_every_message_of_a_run_fits_the_contract(heard):
    messages, _ = heard
    assert [complaint for topic, payload in messages for complaint in complaints(topic, payload)] == []


def test_a_run_says_what_a_subscriber_waits_for(heard):
    messages, _ = heard
    seen = {name for topic, _ in messages for name in names(topic)}
    assert {"status", "info", "role", "tick", "event", "label"} <= seen


def test_state_is_retained_and_messages_are_not(heard):
    messages, retained = heard
    states = {topic for topic, _ in messages if ALL[names(topic)[0]].kind == "state"}
    assert set(retained) == states


def test_the_events_of_a_run_can_be_counted(heard):
    messages, _ = heard
    events = [json.loads(payload) for topic, payload in messages if topic.endswith("/event")]
    assert len({event["boot"] for event in events}) == 1
    assert sorted(event["seq"] for event in events) == list(range(1, len(events) + 1))
    assert {event["type"] for event in events} == {"new", "update", "end"}


@pytest.mark.parametrize("fault", [None, "reconnects", "duplicates", "late", "gaps", "drops"])
def test_a_simulated_device_keeps_to_the_contract(fault, broker, tmp_path):
    record(tmp_path / "match.jsonl", 40)
    listener = broker.listen()
    playing = Playing(speed=0, faults=[fault] if fault else [], seed=1, stay=0)
    simulate(str(tmp_path / "match.jsonl"), f"{broker.url}/{BASE}", playing)
    listener.wait(f"{BASE}/truck1/status", "stopped")
    assert [complaint for topic, payload in listener.got for complaint in complaints(topic, payload)] == []
    seen = {name for topic, _ in listener.got for name in names(topic)}
    assert {"status", "info", "tick", "event", "label", *(["gap"] if fault == "drops" else [])} <= seen


@pytest.mark.parametrize(
    ("topic", "payload", "complaint"),
    [
        (f"{BASE}/truck1/cam2/tock", "{}", "is in the contract 0 times"),
        (f"{BASE}/truck1/feedback", "{}", "is for others to send"),
        (f"{BASE}/truck1/status", "away", "away"),
        (f"{BASE}/truck1/cam2/event", '{"schema": "event/1"}', "is a required property"),
        (f"{BASE}/truck1/cam2/zoom/state", "ON", "is in the contract 0 times"),
    ],
)
def test_what_is_not_in_the_contract_is_noticed(topic, payload, complaint):
    assert complaint in complaints(topic, payload)[0]


def test_no_topic_can_be_taken_for_another():
    concrete = {
        name: re.sub(
            r"\{(\w+)\}", lambda match: BASE if match[1] == "base" else PARAMETERS[match[1]].example, t.address
        )
        for name, t in ALL.items()
    }
    assert {name: names(topic) for name, topic in concrete.items()} == {name: [name] for name in ALL}


DEVICE = Mqtt(node="truck1", home_assistant=True, outbox_mb=1)


@pytest.fixture
def device(broker, monkeypatch, tmp_path):
    """Start a publisher, as a run does, at the running broker or the one named; it says its figures often."""
    monkeypatch.setattr(vitals, "STATS_SECONDS", 0.2)
    opened = []

    def start(url=f"{broker.url}/{BASE}", **changes):
        settings = replace(DEVICE, url=url, outbox=str(tmp_path), **changes)
        roles = ("rgb", "flow", "audio", "record")
        opened.append(MqttPublisher(settings, made.STAMP, made.INFO, roles, self_test=lambda: {"models": "ok"}))
        return opened[-1]

    yield start
    for publisher in opened:
        publisher.close()


def tell(broker, levels: str, payload: object) -> None:
    """Send a command to the device."""
    text = payload if isinstance(payload, str) else msgspec.json.encode(payload)
    topic = levels if levels.startswith("homeassistant/") else f"{BASE}/truck1/{levels}"
    single(topic, text, 1, hostname="127.0.0.1", port=broker.port)


def test_every_topic_of_a_device_is_sent_as_the_contract_says(broker, device):
    publisher = device(f"mqtt://127.0.0.1:{free_port()}/{BASE}")
    for seq in range(1, 4001):  # more than the outbox may hold
        publisher(made.event_message(seq))
    publisher.close()
    listener = broker.listen()
    publisher = device()
    node = f"{BASE}/truck1"
    listener.wait(f"{node}/cam2/gap")
    publisher(made.tick(1))
    publisher(made.event_message(4001, "end"))
    for method in ("history", "get_clip", "self_test"):
        reply_to = f"{node}/rpc/{method}/reply/me"
        tell(broker, f"rpc/{method}", RpcRequest(id="q1", reply_to=reply_to))
        listener.wait(reply_to)
    tell(broker, "cam2/audio/set", "OFF")
    listener.wait(f"{node}/cam2/status/audio", "disabled")
    tell(broker, "policy/stop/set", "STOP")
    tell(broker, "model/desired", SAMPLES["model_desired"])
    tell(broker, "feedback", SAMPLES["feedback"])
    found = listener.wait("homeassistant/device/truck1/config")
    tell(broker, "homeassistant/status", "online")
    assert until(lambda: listener.payloads("homeassistant/device/truck1/config") == [found, found])
    listener.wait(f"{node}/stats")
    publisher.close()
    listener.wait(f"{node}/status", "stopped")
    ours = [(topic, payload) for topic, payload in listener.got if ALL[names(topic)[0]].direction == "from device"]
    assert [complaint for topic, payload in ours for complaint in complaints(topic, payload)] == []
    expected = {name for name, topic in ALL.items() if topic.direction == "from device" and "replay" not in name}
    assert {name for topic, _ in ours for name in names(topic)} == expected


def test_a_birth_names_the_schemas_of_all_that_a_device_sends():
    sent = {schema_id(kind.payload) for name, kind in TOPICS.items()
            if kind.direction == "from device" and isinstance(kind.payload, type)}  # fmt: skip
    assert set(made.INFO.schemas) == sent


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_an_event_in_an_envelope_keeps_to_the_contract(protocol, broker, device):
    document = asyncapi()
    wrapped = {"$ref": "#/components/messages/event_in_envelope/payload", "components": document["components"]}
    listener = broker.listen()
    device(envelope="cloudevents", protocol=protocol)(made.event_message(1, "end"))
    payload = json.loads(listener.wait(f"{BASE}/truck1/cam2/event"))
    assert Draft202012Validator(wrapped).is_valid(payload) == (protocol == "3.1.1")
    VALIDATORS["event"].validate(payload.get("data", payload))
