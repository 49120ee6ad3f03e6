"""Nothing that MQTT says may start motion: every topic and payload of the contract, replayed and fuzzed."""

from __future__ import annotations

import random

import msgspec
import pytest
import robot
from devices import NODE, SOURCE
from touchline_msgs.msg import PolicyState

from edge.contract import HOME_ASSISTANT, PARAMETERS, RPC_METHODS, SWITCHES, TOPICS
from edge.samples import SAMPLES

REACHABLE = {
    "event_detector/enable",
    "event_detector/feedback",
    "event_detector/get_parameters",
    "guard/stop",
}
TEMPTING = ("START", "RESET", "ON", "GO", "ARM", "STOP", "ACTIVATE", "1", "true", "", "\0", "null", "{}", "[]")
BEYOND_THE_CONTRACT = (
    "policy/start/set", "policy/reset/set", "policy/stop", "policy/state", "policy/stop/reset", "guard/reset",
    "guard/reset/set", "policy/set", "rpc/reset", "rpc/activate", "rpc/change_state", "cmd_vel", "cam2/policy/set",
    "cam2/guard/set", "cam2/enabled", "model/activate",
)  # fmt: skip


def topics() -> list[str]:
    """Every topic of the contract with every value that its levels can have, and tempting ones beside it."""
    example = {name: parameter.example for name, parameter in PARAMETERS.items()}
    found = (
        topic.address.format(**{**example, "switch": switch, "method": method})
        for topic in (*TOPICS.values(), *HOME_ASSISTANT.values())
        for switch in SWITCHES
        for method in RPC_METHODS
    )
    return [*dict.fromkeys(found), *(f"{NODE}/{levels}" for levels in BEYOND_THE_CONTRACT)]


def payloads() -> list[bytes]:
    """Every payload of the contract, as it is."""
    given = [sample if isinstance(sample, bytes | str) else msgspec.json.encode(sample) for sample in SAMPLES.values()]
    return [*(one.encode() if isinstance(one, str) else one for one in given), *(word.encode() for word in TEMPTING)]


def bent(payload: bytes, chance: random.Random) -> bytes:
    """A payload with some of its bytes changed, cut or doubled."""
    data = bytearray(payload)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(3):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at : at + chance.randrange(8)]
            case _:
                data[at:at] = data[max(0, at - 8) : at]
    return bytes(data)


def tell_all(client, told) -> None:
    sent = [client.client.publish(topic, payload, qos=1, retain=retain) for topic, payload, retain in told]
    sent[-1].wait_for_publish(60)


@pytest.mark.parametrize("way", ["replayed", "fuzzed"])
def test_nothing_that_is_told_over_mqtt_starts_motion(person, gateway, broker, teller, way):
    client = teller(broker)
    person.offer_stop()
    person.say("guard", PolicyState.STOPPED)
    node = gateway(broker)
    addresses, words = topics(), payloads()
    chance = random.Random(7)
    if way == "replayed":
        told = [(topic, payload, retain) for topic in addresses for payload in words for retain in (False, True)]
    else:
        told = [
            (chance.choice(addresses), bent(chance.choice(words), chance), chance.random() < 0.1) for _ in range(5000)
        ]
    assert any(topic.endswith("policy/stop/set") for topic, _, _ in told)
    tell_all(client, told)
    last = {"schema": "feedback/1", "id": "the-last", "verdict": "ack"}
    client.tell(f"{NODE}/feedback", last)  # one connection, in order: whatever came before has been carried out
    person.until(lambda: ("the-last", "ack", "") in person.called("event_detector/feedback"), 60)
    assert node._publisher.control.refused > len(told) // 50
    client.tell(f"{NODE}/policy/stop/set", "STOP")
    stops = len(person.called("guard/stop"))
    person.until(lambda: len(person.called("guard/stop")) > stops)
    assert {name for name, _ in person.calls} <= {"event_detector/enable", "event_detector/feedback", "guard/stop"}
    assert not [name for name, _ in person.calls if name in robot.STARTERS]


def test_the_gateway_has_no_means_to_start_motion(gateway, broker):
    node = gateway(broker)
    assert {client.srv_name.removeprefix("/") for client in node.clients} == REACHABLE
    assert {publisher.topic_name for publisher in node.publishers} == {"/diagnostics", "/parameter_events"}
    assert {f"{SOURCE}/{switch}/set" for switch in SWITCHES} <= set(topics())
