"""The whole way of a stop: from MQTT through the gateway and the real guard to the wheels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from devices import NODE, SOURCE
from geometry_msgs.msg import Twist, TwistStamped
from robot import latest

RUN = [sys.executable, "-c", "from touchline_ros.guard import main; raise SystemExit(main())", "--ros-args"]
ACTIVE = ["-p", "autostart:=true", "-p", "base_timeout:=0.5"]


@pytest.fixture
def guard(tmp_path):
    """The real guard, in a process of its own."""
    log = tmp_path / "guard.log"
    with log.open("w") as output:
        process = subprocess.Popen([*RUN, *ACTIVE], stdout=output, stderr=subprocess.STDOUT, env=os.environ)
        yield process
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


class Driver:
    """Proposes to go on at 10 Hz, notes what the wheels are told."""

    def __init__(self, person) -> None:
        self.person, self.commands = person, []
        self.proposals = person.create_publisher(TwistStamped, "policy/proposed_cmd_vel", 1)
        person.create_subscription(Twist, "cmd_vel", lambda twist: self.commands.append(twist.linear.x), 10)
        person.create_timer(0.1, self.propose)

    def propose(self) -> None:
        message = TwistStamped()
        message.header.stamp = self.person.get_clock().now().to_msg()
        message.twist.linear.x = 0.08
        self.proposals.publish(message)

    def moves(self) -> bool:
        return bool(self.commands) and self.commands[-1] > 0.05


def test_a_stop_told_over_mqtt_stops_the_wheels(guard, person, gateway, broker, teller):
    listener, client, driver = broker.listen(topic=f"{NODE}/policy/state"), teller(broker), Driver(person)
    gateway(broker)

    def stands(state):
        return latest(listener, f"{NODE}/policy/state").get("state") == state

    person.until(lambda: driver.moves() and stands("active"), 30)
    client.tell(f"{NODE}/policy/stop/set", "STOP")
    person.until(lambda: stands("stopped") and driver.commands[-1] == 0.0)
    assert latest(listener, f"{NODE}/policy/state")["reason"]
    for word in ("START", "ON", "RESET"):
        client.tell(f"{NODE}/policy/start/set", word)
        client.tell(f"{NODE}/policy/stop/set", word)
        client.tell(f"{SOURCE}/enabled/set", "ON")
    person.until(lambda: person.called("event_detector/enable"))
    before = len(driver.commands)
    person.until(lambda: len(driver.commands) > before + 50)
    assert set(driver.commands[before:]) == {0.0}
    assert guard.poll() is None
