"""A gateway between a made robot and a real broker."""

from __future__ import annotations

import contextlib

import pytest
import robot
from brokers import mosquitto
from devices import Client
from rclpy.parameter import Parameter
from robot import OK
from touchline_ros.mqtt_gateway import MqttGatewayNode


@pytest.fixture
def state_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "touchline"


@pytest.fixture
def stopped_broker(tmp_path):
    broker = mosquitto(tmp_path, "allow_anonymous true", "max_queued_messages 0")
    yield broker
    broker.close()


@pytest.fixture
def broker(stopped_broker):
    return stopped_broker.start()


@pytest.fixture
def person(world):
    """The robot around the gateway."""
    return robot.Robot(world)


@pytest.fixture
def gateway(world, person, stopped_broker, state_home):  # noqa: ARG001 - both outlive it
    nodes = []

    def start(broker, cli_args=None, **parameters):
        given = {"url": broker.url, "node": "truck1", "source": "cam2", **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = world.add(MqttGatewayNode(context=world.context, parameter_overrides=overrides, cli_args=cli_args))
        nodes.append(node)
        assert node.trigger_configure() == OK
        assert node.trigger_activate() == OK
        world.until(lambda: person.seconds.get_subscription_count() and person.events.get_subscription_count())
        world.until(lambda: not (broker.process and node._publisher.trouble))
        return node

    yield start
    for node in nodes:
        node.trigger_shutdown()


@pytest.fixture
def teller():
    with contextlib.ExitStack() as stack:

        def connect(broker, *topics):
            client = Client(broker, *(topics or ("x",)))
            stack.callback(client.close)
            return client

        yield connect
