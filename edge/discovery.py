"""Home Assistant finds a node by itself: one retained message describes it, and every entity, by MQTT discovery.

Off unless `[mqtt] home_assistant = true`. The form is Home Assistant's device discovery (2024.11 and later): one
payload on `homeassistant/device/{node}/config` with `device`, `origin` and `components`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from . import __version__
from .contract import HOME_ASSISTANT, STATUS, SWITCHES

BIRTH_TOPIC = HOME_ASSISTANT["home_assistant_status"].address
"""Where Home Assistant says `online` after its start; a node then sends its description again."""
BIRTH = "online"
PROJECT = "Touchline"


@dataclass(frozen=True)
class Discovery:
    """What to publish, retained, at every connection and whenever Home Assistant is back."""

    topic: str
    payload: bytes


def discovery(
    base: str, node: str, sources: Sequence[str], *, model: str, switches: Sequence[str] = SWITCHES, policy: bool = True
) -> Discovery:
    """Describe a node to Home Assistant: its label, its status, its switches, and the button that stops the policy.

    `base` is the first level of our topics. An empty payload on the same topic makes Home Assistant forget the node.
    """
    home = f"{base}/{node}"
    components: dict[str, dict[str, object]] = {
        "status": {
            "platform": "sensor",
            "unique_id": f"touchline_{node}_status",
            "name": "Status",
            "device_class": "enum",
            "options": list(STATUS),
            "entity_category": "diagnostic",
            "state_topic": f"{home}/status",
        },
    }
    for source in sources:
        components |= _of_source(home, source, f"touchline_{node}_{source}", switches)
    if policy:
        components["policy_stop"] = {
            "platform": "button",
            "unique_id": f"touchline_{node}_policy_stop",
            "name": "Stop the policy",
            "icon": "mdi:stop-circle",
            "command_topic": f"{home}/policy/stop/set",
            "payload_press": "STOP",
            "qos": 1,
        }
    for name, component in components.items():
        if name != "status":  # which has to be seen while the node is away
            component["availability"] = [_availability(home)]
    payload = {
        "device": {
            "identifiers": [f"touchline_{node}"],
            "name": node,
            "manufacturer": PROJECT,
            "model": model,
            "sw_version": __version__,
        },
        "origin": {"name": PROJECT, "sw_version": __version__},
        "components": components,
    }
    address = HOME_ASSISTANT["home_assistant"].address
    return Discovery(address.format(node=node), msgspec.json.encode(payload))


def _of_source(home: str, source: str, unique: str, switches: Sequence[str]) -> dict[str, dict[str, object]]:
    label: dict[str, object] = {
        "platform": "sensor",
        "unique_id": f"{unique}_label",
        "name": f"{source} label",
        "icon": "mdi:whistle",
        "state_topic": f"{home}/{source}/label",
    }
    return {f"{source}_label": label} | {
        f"{source}_{switch}": {
            "platform": "switch",
            "unique_id": f"{unique}_{switch}",
            "name": f"{source} {switch.replace('_', ' ')}",
            "entity_category": "config",
            "state_topic": f"{home}/{source}/{switch}/state",
            "command_topic": f"{home}/{source}/{switch}/set",
            "payload_on": "ON",
            "payload_off": "OFF",
            "qos": 1,
        }
        for switch in switches
    }


def _availability(home: str) -> dict[str, str]:
    # Home Assistant knows two payloads, the status has three.
    return {"topic": f"{home}/status", "value_template": "{{ 'online' if value == 'online' else 'offline' }}"}
