"""The whole way of a decision: pictures through the real detector and the gateway to a real broker, and back."""

from __future__ import annotations

import json

import pytest
import rclpy
from brokers import until
from devices import NODE, SOURCE
from rclpy.parameter import Parameter
from robot import OK, START_NS, latest, time
from sensor_msgs.msg import Image
from touchline_ros.mqtt_gateway import MqttGatewayNode

from edge.bundle import DEMO, Bundle
from edge.config import Config
from edge.runtime import make_stamp

ORIGIN_NS = START_NS // 10**9 * 10**9
WIDTH, HEIGHT, HERTZ = 64, 48, 10


@pytest.fixture
def detector(process, tmp_path):
    """The real detector, in a process of its own."""
    notes = f"notes:={tmp_path / 'notes'}"
    one = process("event_detector", "autostart:=true", "source:=cam2", notes, "max_wait:=1.0")
    yield one
    one.terminate()
    assert one.wait(20) == 0, (tmp_path / "event_detector.log").read_text()


@pytest.fixture
def gateway(world, stopped_broker, state_home):  # noqa: ARG001 - where its outbox is
    given = {"url": stopped_broker.url, "node": "truck1", "source": "cam2"}
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = world.add(MqttGatewayNode(context=world.context, parameter_overrides=overrides))
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    yield node
    node.trigger_shutdown()


class Camera:
    """Shows grey pictures; their stamps go on at HERTZ however fast they are shown."""

    def __init__(self, world) -> None:
        self.world, self.shown = world, 0
        self.node = world.add(rclpy.create_node("camera", context=world.context))
        self.images = self.node.create_publisher(Image, "image", 10)

    def show(self, seconds: int) -> None:
        for _ in range(seconds * HERTZ):
            message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
            message.data = bytes([self.shown % 256]) * (HEIGHT * WIDTH * 3)
            message.header.stamp = time(ORIGIN_NS + self.shown * 10**9 // HERTZ)
            self.images.publish(message)
            self.shown += 1
            self.world.spin(0.03)


@pytest.fixture
def camera(world):
    return Camera(world)


@pytest.mark.usefixtures("detector")
def test_pictures_become_ticks_and_commands_reach_the_detector(camera, gateway, broker, teller, tmp_path):
    listener, client, world = broker.listen(), teller(broker), camera.world
    world.until(lambda: latest(listener, f"{NODE}/info").get("classes"), 40)
    bundle = Bundle.load(DEMO)
    device = make_stamp(Config(), bundle)
    model = {"bundle": device.model, "sha256": device.sha256, "quant": "unknown"}
    info = latest(listener, f"{NODE}/info")
    assert (info["classes"], info["model"], info["table"]) == (list(bundle.manifest.labels), model, device.table)

    def starts():
        return [json.loads(payload)["start_ns"] for payload in listener.payloads(f"{SOURCE}/tick")]

    world.until(camera.images.get_subscription_count)
    camera.show(4)
    world.until(lambda: len(starts()) >= 3, 30)
    assert starts()[:3] == [ORIGIN_NS + second * 10**9 for second in range(3)]
    assert json.loads(listener.payloads(f"{SOURCE}/tick")[0])["model"] == model
    world.until(lambda: "online" in listener.payloads(f"{SOURCE}/status/rgb"))

    client.tell(f"{SOURCE}/enabled/set", "OFF")
    world.until(lambda: listener.payloads(f"{SOURCE}/enabled/state")[-1] == "OFF")
    world.until(lambda: len(starts()) == 4)  # what it had when it was told
    camera.show(3)
    client.tell(f"{SOURCE}/enabled/set", "ON")
    world.until(lambda: listener.payloads(f"{SOURCE}/enabled/state")[-1] == "ON")
    camera.show(2)
    world.until(lambda: len(starts()) >= 6, 30)
    assert not {ORIGIN_NS + second * 10**9 for second in (4, 5)} & {*starts()}

    what = {"schema": "feedback/1", "id": "b7f2-000001", "verdict": "wrong"}
    client.tell(f"{NODE}/feedback", what)
    files = tmp_path / "notes" / "feedback.jsonl", tmp_path / "state" / "touchline" / "feedback-truck1.jsonl"
    world.until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    assert [json.loads(file.read_text())["id"] for file in files] == ["b7f2-000001"] * 2

    assert gateway.trigger_deactivate() == OK
    assert until(lambda: listener.payloads(f"{NODE}/status")[-1] == "stopped")
