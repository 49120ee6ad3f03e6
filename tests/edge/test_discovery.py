"""What Home Assistant is told fits its rules, as documented, and the contract's topics."""

from __future__ import annotations

import json
import re

import pytest

from edge.contract import PARAMETERS, TOPICS
from edge.discovery import BIRTH_TOPIC, discovery

FOUND = discovery("halls/north", "truck1", ("cam2",), model="sports3-1.4.0")
PAYLOAD = json.loads(FOUND.payload)
# From Home Assistant's pages of each platform: what is required, and what else is used here.
COMMON = {"platform", "unique_id", "name", "icon", "entity_category", "availability", "qos"}
KEYS = {
    "sensor": ({"state_topic"}, {"device_class", "options"}),
    "switch": ({"command_topic"}, {"state_topic", "payload_on", "payload_off"}),
    "button": ({"command_topic"}, {"payload_press"}),
}


def topic(address: str) -> tuple[str, str]:
    """The contract's name of a concrete topic, and the way it goes."""
    for name, candidate in TOPICS.items():
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[A-Za-z0-9_-]+)", re.escape(candidate.address))
        match = re.fullmatch(pattern.replace("(?P<base>[A-Za-z0-9_-]+)", "halls/north"), address)
        if match and all(
            value in PARAMETERS[key].values for key, value in match.groupdict().items() if PARAMETERS[key].values
        ):
            return name, candidate.direction
    return pytest.fail(f"{address} is not in the contract")


def test_the_topic_has_the_form_of_device_discovery():
    assert FOUND.topic == "homeassistant/device/truck1/config"
    assert BIRTH_TOPIC == "homeassistant/status"


def test_the_device_and_the_origin_have_what_is_required():
    assert PAYLOAD.keys() == {"device", "origin", "components"}
    assert PAYLOAD["device"]["identifiers"] == ["touchline_truck1"]
    assert PAYLOAD["origin"]["name"] == "Touchline"


@pytest.mark.parametrize("name", PAYLOAD["components"])
def test_each_component_has_what_its_platform_requires_and_nothing_unknown(name):
    component = PAYLOAD["components"][name]
    required, allowed = KEYS[component["platform"]]
    assert {"platform", "unique_id"} | required <= component.keys()
    assert component.keys() <= COMMON | required | allowed
    assert re.fullmatch(r"[A-Za-z0-9_-]+", component["unique_id"])
    if component["platform"] == "sensor":  # Home Assistant refuses one that configures
        assert component.get("entity_category") != "config"


def test_no_two_entities_share_an_id():
    ids = [component["unique_id"] for component in PAYLOAD["components"].values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", PAYLOAD["components"])
def test_each_topic_and_payload_is_in_the_contract(name):
    component = PAYLOAD["components"][name]
    if "state_topic" in component:
        assert topic(component["state_topic"])[1] == "from device"
    if "command_topic" in component:
        way, direction = topic(component["command_topic"])
        assert direction == "to device"
        sent = {component[key] for key in ("payload_on", "payload_off", "payload_press") if key in component}
        assert sent == set(TOPICS[way].payload)
    for availability in component.get("availability", []):
        assert topic(availability["topic"])[0] == "status"


def test_the_status_is_seen_while_the_node_is_away():
    status = PAYLOAD["components"]["status"]
    assert "availability" not in status
    assert status["options"] == ["online", "stopped", "offline"]


def test_switches_that_a_node_has_not_and_an_absent_policy_are_left_out():
    few = json.loads(discovery("touchline", "n", ("s",), model="m", switches=("audio",), policy=False).payload)
    assert list(few["components"]) == ["status", "s_label", "s_audio"]
