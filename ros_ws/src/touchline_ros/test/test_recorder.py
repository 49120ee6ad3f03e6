"""The recorder: what is on the wire is in the file, closed properly, split by size, and read by another library."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image
from touchline_msgs.msg import Second, Vote
from touchline_ros.recorder import RecorderNode
from touchline_ros.tape import typestore

from edge.bag import Bag, is_bag
from edge.bundle import DEMO, Bundle
from edge.pipeline import Pipeline
from edge.sources import Source
from edge.windows import Windower, clips

MATCH = Path(__file__).resolve().parents[4] / "examples" / "match.mp4"


class Bench:
    """An active recorder in this process, with what it hears."""

    def __init__(self, world, folder: Path, **parameters) -> None:
        overrides = [Parameter(name, value=value) for name, value in ({"path": str(folder)} | parameters).items()]
        self.recorder = world.add(RecorderNode(context=world.context, parameter_overrides=overrides))
        self.other = world.add(rclpy.create_node("other", context=world.context))
        self.images = self.other.create_publisher(Image, "image", 100)
        self.seconds = self.other.create_publisher(Second, "event_detector/second", 10)
        assert self.recorder.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.recorder.trigger_activate() == TransitionCallbackReturn.SUCCESS
        world.until(lambda: self.images.get_subscription_count() and self.seconds.get_subscription_count())


def image(k: int, size: int = 100) -> Image:
    message = Image(width=size, height=1, step=size, encoding="mono8")
    message.header.stamp.sec = k
    message.data.frombytes(bytes([k % 256]) * size)
    return message


def test_what_is_published_is_in_the_file(world, tmp_path):
    bench = Bench(world, tmp_path)
    for k in range(20):
        bench.images.publish(image(k))
        vote = Vote(modality="rgb", label="tennis", score=0.5, valid=True)
        bench.seconds.publish(Second(seq=k, label="tennis", votes=[vote]))
        world.until(lambda k=k: bench.recorder._messages == 2 * (k + 1))
    assert bench.recorder.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    (folder,) = tmp_path.iterdir()
    with Reader(folder) as reader:
        kept = [(connection.topic, connection.msgtype, data) for connection, _, data in reader.messages()]
    pictures = [data for topic, _, data in kept if topic == "/image"]
    store = get_typestore(Stores.ROS2_HUMBLE)
    read = [store.deserialize_cdr(data, "sensor_msgs/msg/Image") for data in pictures]
    assert [message.header.stamp.sec for message in read] == list(range(20))
    assert [message.data[0] for message in read] == list(range(20))
    ours = typestore("touchline_msgs/msg/Second")
    seconds = [ours.deserialize_cdr(data, kind) for topic, kind, data in kept if topic == "/event_detector/second"]
    assert [message.seq for message in seconds] == list(range(20))
    assert seconds[0].votes[0].label == "tennis"


def decided(url: str) -> list:
    """The seconds that the device decides of a source's pictures."""
    bundle = Bundle.load(DEMO)
    opened = Bag if is_bag(url) else Source
    with opened(url, 16000, audio=False) as source:
        seconds = [Pipeline(bundle)(clip) for clip in clips(source, Windower(bundle.manifest.clip, audio=False))]
    return [(second.start, second.label, second.probabilities, second.votes) for second in seconds]


def recorded(world, process, path: Path, into: Path) -> Path:
    """Play a file in a process that ends by itself, record it here, and give the recording."""
    recorder = world.add(RecorderNode(context=world.context, parameter_overrides=[Parameter("path", value=str(into))]))
    assert recorder.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert recorder.trigger_activate() == TransitionCallbackReturn.SUCCESS
    options = ("autostart:=true", f"path:={path}", "rate:=4.0", "wait:=30.0", "end_after:=0.5")
    player = process("player", *options)
    world.until(lambda: player.poll() is not None, 60, "the player's end")
    assert player.returncode == 0
    recorder.trigger_deactivate()
    world.executor.remove_node(recorder)
    recorder.destroy_node()
    (folder,) = into.iterdir()
    return folder


@pytest.mark.slow
def test_what_a_player_plays_is_recorded_and_played_and_decided_as_the_file_is_every_time(world, tmp_path, process):
    expected = decided(str(MATCH))
    assert len(expected) == 27
    once = recorded(world, process, MATCH, tmp_path / "once")
    assert decided(str(once)) == expected
    assert decided(str(once)) == expected
    twice = recorded(world, process, once, tmp_path / "twice")
    assert decided(str(twice)) == expected


def test_a_recording_that_is_full_is_followed_by_another(world, tmp_path):
    bench = Bench(world, tmp_path, split_megabytes=1)
    for k in range(5):
        bench.images.publish(image(k, 400_000))
        world.until(lambda k=k: bench.recorder._messages == k + 1)
    bench.recorder.trigger_deactivate()
    counts = []
    for folder in sorted(tmp_path.iterdir()):
        with Reader(folder) as reader:
            counts.append(reader.message_count)
    assert counts == [3, 2]


def test_a_recording_that_is_old_is_followed_by_another(world, tmp_path):
    bench = Bench(world, tmp_path, split_seconds=1)
    bench.images.publish(image(0))
    world.until(lambda: bench.recorder._messages == 1)
    world.spin(1.0)
    bench.images.publish(image(1))
    world.until(lambda: bench.recorder._messages == 2)
    bench.recorder.trigger_deactivate()
    assert len(stamps(tmp_path)) == 2


def test_topics_that_come_later_are_found_though_the_clock_stands_still(world, tmp_path):
    bench = Bench(world, tmp_path, use_sim_time=True, topics="image,event_detector/second,later")
    later = bench.other.create_publisher(Image, "later", 10)
    world.until(later.get_subscription_count)


def stamps(folder: Path) -> list[list[int]]:
    """The stamps, in whole seconds, of the images in each recording of a folder."""
    types, found = get_typestore(Stores.ROS2_HUMBLE), []
    for one in sorted(folder.iterdir()):
        with Reader(one) as reader:
            messages = [
                types.deserialize_cdr(data, c.msgtype) for c, _, data in reader.messages() if c.topic == "/image"
            ]
        found.append([message.header.stamp.sec for message in messages])
    return found


class Apart:
    """A recorder in a process of its own, and the camera that it hears."""

    def __init__(self, world, folder: Path, process) -> None:
        self.world = world
        self.other = world.add(rclpy.create_node("other", context=world.context))
        self.images = self.other.create_publisher(Image, "image", 100)
        self.told = []
        self.other.create_subscription(DiagnosticArray, "/diagnostics", self.told.append, 10)
        self.process = process("recorder", "autostart:=true", f"path:={folder}")
        world.until(self.images.get_subscription_count, 60)

    def show(self, count: int, size: int = 100) -> None:
        for k in range(count):
            self.images.publish(image(k, size))
            self.world.spin(0.01)

    def says(self, key: str, value: str) -> bool:
        pairs = [(pair.key, pair.value) for told in self.told for status in told.status for pair in status.values]
        return (key, value) in pairs


def test_a_recorder_that_is_told_to_end_closes_its_recording(world, tmp_path, process):
    apart = Apart(world, tmp_path / "bags", process)
    apart.show(20)
    world.until(lambda: apart.says("messages", "20"))
    apart.process.send_signal(signal.SIGTERM)
    assert apart.process.wait(30) == 0
    assert stamps(tmp_path / "bags") == [list(range(20))]


def test_a_recorder_that_is_killed_leaves_what_it_had_said_to_have(world, tmp_path, process):
    apart = Apart(world, tmp_path / "bags", process)
    apart.show(20, 64)
    world.until(lambda: apart.says("messages", "20"))
    world.spin(1.0)  # at the latest it is settled then
    apart.process.kill()
    apart.process.wait(10)
    (folder,) = (tmp_path / "bags").iterdir()
    assert not (folder / "metadata.yaml").exists()
    with Bag(str(folder), 16000) as bag:
        assert [packet.time for packet in bag] == list(range(20))


def test_a_disk_that_is_full_ends_the_recording_and_not_the_recorder(world, tmp_path, process):
    apart = Apart(world, tmp_path / "bags", process)
    resource.prlimit(apart.process.pid, resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
    apart.show(10, 1_000_000)
    log = tmp_path / "recorder.log"
    world.until(lambda: "nothing more is recorded" in log.read_text())
    apart.show(5)
    apart.process.send_signal(signal.SIGTERM)
    assert apart.process.wait(30) == 0
    assert log.read_text().count("file too large; nothing more is recorded") == 1
    assert "Traceback" not in log.read_text()
    (folder,) = (tmp_path / "bags").iterdir()
    with Bag(str(folder), 16000) as bag:
        assert [packet.time for packet in bag] == [0.0, 1.0]


def test_without_a_folder_it_is_not_configured(world, capfd):
    node = RecorderNode(context=world.context)
    assert world.add(node).trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "is empty; name a folder" in capfd.readouterr().err


def test_a_disk_that_fails_is_said_once(world, tmp_path, capfd):
    bench = Bench(world, tmp_path / "full")
    (tmp_path / "full").rmdir()
    (tmp_path / "full").write_text("no folder any more")
    for k in range(3):
        bench.images.publish(image(k))
    world.until(lambda: bench.recorder._trouble)
    assert "nothing more is recorded" in bench.recorder._trouble
    world.spin(0.2)
    assert capfd.readouterr().err.count("nothing more is recorded") == 1
