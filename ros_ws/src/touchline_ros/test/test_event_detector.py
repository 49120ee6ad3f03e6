"""The event detector as a node: what it decides, bit for bit, and what it makes of everything that is wrong."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import av
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from sound_card import SoundCard
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from touchline_msgs.msg import Event, LabelInfo, Second
from touchline_msgs.srv import Feedback, LoadBundle, Mark, SetTable
from touchline_ros.event_detector import EventDetectorNode
from touchline_ros.player import image_message

from edge.bundle import DEMO, Bundle
from edge.fusion import Majority, write_fusion
from edge.pipeline import Pipeline
from edge.runtime import open_media
from edge.windows import clips

ROOT = Path(__file__).resolve().parents[4]
MATCH = ROOT / "examples" / "match.mp4"
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
EPOCH = 1_700_000_000
STAMPED = "audio_common_msgs/AudioStamped"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RELIABLE = {
    "qos_overrides./image.subscription.reliability": "reliable",
    "qos_overrides./image.subscription.depth": 200,
    "qos_overrides./audio.subscription.reliability": "reliable",
    "queue": 500,
}


class Bench:
    """A detector in this process with a camera, and all that it says."""

    def __init__(self, world, tmp_path, **parameters) -> None:
        settings = {"notes": str(tmp_path), "max_wait": 1.0, **RELIABLE, **parameters}
        overrides = [Parameter(name, value=value) for name, value in settings.items()]
        self.world = world
        self.detector = world.add(EventDetectorNode(context=world.context, parameter_overrides=overrides))
        self.other = world.add(rclpy.create_node("other", context=world.context))
        self.seconds, self.events, self.labels, self.health = [], [], [], []
        for kind, topic, kept, qos in (
            (Second, "event_detector/second", self.seconds, 100),
            (Event, "event_detector/event", self.events, 100),
            (LabelInfo, "event_detector/label_info", self.labels, LATCHED),
            (DiagnosticArray, "/diagnostics", self.health, 10),
        ):
            self.other.create_subscription(kind, topic, kept.append, qos)

    def start(self) -> Bench:
        assert self.detector.trigger_configure() == SUCCESS
        assert self.detector.trigger_activate() == SUCCESS
        compressed = self.detector.get_parameter("image_transport").value == "compressed"
        self.images = self.other.create_publisher(CompressedImage if compressed else Image, "image", 200)
        self.world.until(self.images.get_subscription_count)
        return self

    def show(self, seconds: float, message: Image | CompressedImage) -> None:
        whole, part = divmod(seconds, 1)
        message.header.stamp.sec, message.header.stamp.nanosec = EPOCH + int(whole), round(part * 1e9)
        self.images.publish(message)

    def call(self, kind, name, **request):
        client = self.world.client(self.other, kind, f"event_detector/{name}")
        answer = client.call_async(kind.Request(**request))
        self.world.until(answer.done)
        return answer.result().success, answer.result().message

    def trouble(self, part: str = "detector") -> str:
        found = [s.message for h in self.health for s in h.status if s.name == f"event_detector: {part}"]
        return found[-1] if found else ""


@pytest.fixture
def bench(world, tmp_path):
    return lambda **parameters: Bench(world, tmp_path, **parameters)


@pytest.fixture
def card(tmp_path, monkeypatch):
    card = SoundCard(tmp_path, monkeypatch)
    yield card
    card.kill()


def picture(**changed) -> Image:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    message = Image(**{"height": 48, "width": 64, "step": 192, "encoding": "rgb8", **changed})
    message.data.frombytes(noise.tobytes())
    return message


def decided(path: Path) -> list:
    """What the device decides on a file, as `touchline run` does it."""
    bundle = Bundle.load(DEMO)
    source, windower = open_media(str(path), bundle)
    with source:
        return [second for second in map(Pipeline(bundle), clips(source, windower)) if second is not None]


def same(message: Second, second) -> None:
    """Compare a message with a decision, bit for bit; messages carry single precision."""
    assert message.label == second.label
    assert message.class_index == second.class_index
    assert list(message.probabilities) == [float(np.float32(p)) for p in second.probabilities]
    votes = [vote for vote in message.votes if vote.valid]
    assert [vote.modality for vote in votes] == [vote.modality for vote in second.votes]
    for ours, theirs in zip(votes, second.votes, strict=True):
        assert (ours.label, ours.frames) == (theirs.label, theirs.frames)
        assert list(ours.probabilities) == [float(np.float32(p)) for p in theirs.probabilities]
    assert (message.winner, message.row, message.rule) == (second.winner, second.row or "", second.rule)


def played(world, bench, path: Path, process, *, audio: bool, rate: float = 4.0, encoding: str = "nv21") -> list:
    """Let another process play a file to a detector here, and give the seconds decided."""
    kind = STAMPED if audio else "none"
    bench = bench(audio_type=kind).start()
    player = process(
        "player", f"path:={path}", f"rate:={rate}", f"audio_type:={kind}", f"encoding:={encoding}", f"start:={EPOCH}",
    )  # fmt: skip
    change = world.client(bench.other, ChangeState, "player/change_state")
    for step in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        if step == Transition.TRANSITION_ACTIVATE:
            world.until(lambda: bench.other.count_publishers("image") == 2 and (not audio or paired(bench)))
        answer = change.call_async(ChangeState.Request(transition=Transition(id=step)))
        world.until(answer.done)
        assert answer.result().success, (player.args, step)
    over = []
    bench.other.create_subscription(Bool, "player/ended", over.append, 1)
    world.until(lambda: over, 90)
    world.until(lambda: not bench.detector._queue)
    bench.detector.trigger_deactivate()
    world.spin(0.5)
    assert bench.detector._counts["dropped"] == 0
    return bench.seconds


def paired(bench) -> bool:
    return bench.other.count_publishers("audio") == 1


def clips_at_hand() -> list[Path]:
    """The example, and real recordings where they are at hand; not those whose files carry more than ROS images can.

    `edge_rot90` is turned by its metadata, `none_nasa` and `edge_no_duration` name another colour space than the usual.
    """
    folder = os.environ.get("TOUCHLINE_TEST_DATA")
    names = ("tennis_vgg", "badminton_kodo", "volleyball_kodo")
    return [MATCH, *(Path(folder) / "video" / f"{name}.mp4" for name in names if folder)]


@pytest.mark.slow
@pytest.mark.parametrize("path", clips_at_hand(), ids=lambda path: path.stem)
def test_a_recording_through_ros_gives_the_seconds_of_touchline_run_bit_for_bit(world, bench, process, path):
    expected = decided(path)
    hears = any(vote.modality == "audio" for second in expected for vote in second.votes)
    found = played(world, bench, path, process, audio=hears)
    assert [message.header.stamp.sec - EPOCH for message in found] == [second.start for second in expected]
    for message, second in zip(found, expected, strict=True):
        same(message, second)


@pytest.mark.parametrize("encoding", ["nv21", "rgb8"])
def test_a_player_loses_nothing_of_pictures_in_rgb(encoding):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    message = image_message(av.VideoFrame.from_ndarray(pixels[..., ::-1].copy(), "bgr24"), encoding)
    assert (message.encoding, message.step) == ("rgb8", 3 * 64)
    assert bytes(message.data) == pixels.tobytes()


def test_seconds_and_events_of_the_match_come_with_their_stamps(world, bench):
    bench = bench(on_score=0.2, off_score=0.1).start()  # without its sound the match is less clear
    source, _ = open_media(str(MATCH), Bundle.read(DEMO))
    with source:
        for packet in source:
            if packet.frame is not None and packet.time < 8:
                bench.show(packet.time, image_message(packet.frame, "nv21"))
                world.executor.spin_once(timeout_sec=0)
    world.until(lambda: len(bench.seconds) == 8)
    assert [s.header.stamp.sec for s in bench.seconds] == [EPOCH + k for k in range(8)]
    assert [s.seq for s in bench.seconds] == list(range(1, 9))
    assert [vote.valid for vote in bench.seconds[0].votes] == [True, True, False]  # there is no sound
    assert bench.detector.trigger_deactivate() == SUCCESS
    world.until(lambda: bench.events and bench.events[-1].type == Event.TYPE_END)
    opened = [event for event in bench.events if event.type == Event.TYPE_NEW]
    ended = [event for event in bench.events if event.type == Event.TYPE_END]
    assert [event.id for event in opened] == [event.id for event in ended]
    for event in ended:
        assert event.ended
        assert event.end.sec > event.start.sec >= EPOCH
        assert event.model_sha256 == Bundle.read(DEMO).sha256
    (labels,) = bench.labels
    assert labels.labels[opened[0].class_index] == opened[0].label


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: picture(encoding="16UC1"), "image: encoding '16UC1' is not taken: it holds distances"),
        (lambda: picture(step=3), "image: step is 3; a row of 64 pixels in rgb8 has 192 bytes"),
        (lambda: Image(encoding="rgb8"), "image: an image of 0 x 0 holds no picture"),
        (lambda: picture(height=480), "image: data has 9216 bytes; 480 rows in rgb8 with step 192 have 92160"),
    ],
)
def test_an_image_that_is_none_is_said_once_and_the_next_good_one_is_taken(world, bench, capfd, make, said):
    bench = bench().start()
    for k in range(3):
        bench.show(k / 10, make())
    world.until(lambda: bench.trouble().startswith(said))
    assert capfd.readouterr().err.count(said) == 1
    for k in range(25):
        bench.show(k / 10, picture())
    world.until(lambda: bench.trouble() == "ok" and len(bench.seconds) >= 2)


def test_images_may_change_their_size_in_mid_stream(world, bench):
    bench = bench().start()
    for k in range(20):
        bench.show(k / 10, picture() if k < 13 else picture(width=32, step=96, height=96))
    world.until(lambda: len(bench.seconds) == 2)
    assert bench.detector._counts["refused"] == 0


def test_a_clock_that_is_set_back_begins_anew_and_is_said(world, bench):
    bench = bench().start()
    for start in (100.0, 5.0):
        for k in range(22):
            bench.show(start + k / 10, picture())
    world.until(lambda: len(bench.seconds) >= 4)
    assert [s.header.stamp.sec - EPOCH for s in bench.seconds][:4] == [100, 101, 5, 6]
    world.until(lambda: bench.trouble().startswith("the clock of the stamps went back to"))


def test_a_second_is_decided_when_nothing_more_comes(world, bench):
    bench = bench().start()
    for k in range(9):
        bench.show(k / 10, picture())
    world.until(lambda: len(bench.seconds) == 1)


def test_compressed_images_are_taken_too(world, bench):
    bench = bench(image_transport="compressed").start()
    source, _ = open_media(str(MATCH), Bundle.read(DEMO))
    with source:
        for packet in source:
            if packet.frame is not None and packet.time < 3:
                bench.show(packet.time, image_message(packet.frame, "compressed"))
    world.until(lambda: len(bench.seconds) == 3)
    assert bench.detector._counts["refused"] == 0


def test_a_picture_with_the_decision_is_drawn_only_for_who_looks(world, bench):
    bench = bench().start()
    for k in range(12):
        bench.show(k / 10, picture())
    world.until(lambda: len(bench.seconds) == 1)
    seen = []
    bench.other.create_subscription(CompressedImage, "event_detector/annotated", seen.append, 5)
    world.until(lambda: bench.detector._pictures.get_subscription_count() == 1)
    for k in range(12, 25):
        bench.show(k / 10, picture())
    world.until(lambda: seen)
    assert bytes(seen[0].data[:2]) == b"\xff\xd8"


def test_what_is_too_fast_is_dropped_the_oldest_first_and_counted(bench):
    bench = bench(queue=2).start()
    with bench.detector._waiting:
        for _ in range(5):
            bench.detector._keep(picture())
    assert bench.detector._counts["dropped"] == 3


def test_services_change_what_is_in_force(world, bench):
    bench = bench().start()
    world.until(lambda: bench.labels)
    assert bench.call(Trigger, "self_test") == (True, "6 steps ok")
    assert bench.call(LoadBundle, "load_bundle", path="/nowhere")[0] is False
    assert "its SHA-256 is" in bench.call(LoadBundle, "load_bundle", path=str(DEMO), sha256="0" * 64)[1]
    assert bench.call(LoadBundle, "load_bundle", path=str(DEMO)) == (True, "sports25-demo 1.0.0")
    table = write_fusion(Majority()).decode()
    assert bench.call(SetTable, "set_table", yaml=table) == (True, "majority")
    world.until(lambda: bench.labels[-1].table_version == "majority")
    assert bench.call(SetTable, "set_table", yaml="{")[0] is False
    assert bench.call(SetTable, "set_table", yaml="rule: guess")[1].startswith("yaml: ")
    for k in range(12):
        bench.show(k / 10, picture())
    world.until(lambda: bench.seconds)
    assert bench.seconds[-1].rule == "majority"


def test_it_judges_nothing_while_it_is_not_enabled(world, bench):
    bench = bench().start()
    assert bench.call(SetBool, "enable", data=False) == (True, "judging nothing")
    for k in range(25):
        bench.show(k / 10, picture())
    world.spin(0.5)
    assert bench.seconds == []
    assert bench.call(SetBool, "enable", data=True) == (True, "judging")
    for k in range(25, 50):
        bench.show(k / 10, picture())
    world.until(lambda: bench.seconds)


def test_marks_and_feedback_are_kept(bench, tmp_path):
    bench = bench().start()
    assert bench.call(Mark, "mark", label="tennis", note="first serve") == (True, "kept")
    assert bench.call(Mark, "mark", label="") == (False, "label: say what happens")
    assert bench.call(Feedback, "feedback", id="b-000001", verdict="label", label="rugby") == (True, "kept")
    assert bench.call(Feedback, "feedback", id="b-000001", verdict="right")[1].startswith("verdict: is 'right'")
    (mark,) = map(json.loads, (tmp_path / "marks.jsonl").read_text().splitlines())
    assert (mark["label"], mark["note"], mark["source"]) == ("tennis", "first serve", "camera")
    (feedback,) = map(json.loads, (tmp_path / "feedback.jsonl").read_text().splitlines())
    assert (feedback["id"], feedback["label"]) == ("b-000001", "rugby")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"bundle": "/nowhere"}, "/nowhere: is not a bundle directory"),
        ({"audio_type": "audio_common_msgs/AudioDataStamped"}, "the installed audio_common_msgs is the other package"),
        ({"audio_type": "microphone", "use_sim_time": True}, "audio_type microphone: hears the real world"),
    ],
)
def test_what_it_cannot_use_keeps_it_unconfigured(bench, capfd, parameters, said):
    assert bench(**parameters).detector.trigger_configure() == FAILURE
    assert said in capfd.readouterr().err


def test_it_hears_through_a_microphone_that_may_go_away(world, bench, card):
    bench = bench(audio_type="microphone").start()
    card.play(1000, 8)
    camera = bench.other.create_timer(0.1, lambda: bench.show(time.time() - EPOCH, picture()))
    world.until(lambda: len(bench.seconds) > 2, what="decisions")
    heard = [vote for second in bench.seconds for vote in second.votes if vote.modality == "audio" and vote.valid]
    assert heard
    world.until(lambda: bench.trouble("sound") == "ok")
    card.kill()
    world.until(lambda: bench.trouble("sound").startswith("microphone: "), what="the trouble in the diagnostics")
    card.start()
    world.until(lambda: bench.trouble("sound") == "ok", what="sound again")
    camera.cancel()


def test_a_microphone_that_is_not_there_is_named_with_those_that_are(bench, card, capfd):
    assert bench(audio_type="microphone", microphone="parabolic").detector.trigger_configure() == FAILURE
    assert "microphone 'parabolic': 'parabolic' is none of 0 (" in capfd.readouterr().err
    card.kill()


def test_trouble_around_it_is_in_the_diagnostics(world, bench):
    bench = bench(use_sim_time=True).start()
    world.until(lambda: bench.trouble("camera") == "use_sim_time is set, and nobody publishes /clock")
    bench.other.create_publisher(Image, "image", 1)
    world.until(lambda: bench.trouble("camera") == "several nodes publish image; their pictures are mixed")


def test_as_a_process_it_walks_every_transition(world, process):
    process("event_detector", namespace="alone")
    other = world.add(rclpy.create_node("other", namespace="alone", context=world.context))
    change = world.client(other, ChangeState, "event_detector/change_state")
    for step in (
        Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_ACTIVE_SHUTDOWN,
    ):  # fmt: skip
        answer = change.call_async(ChangeState.Request(transition=Transition(id=step)))
        world.until(answer.done, what=f"transition {step}")
        assert answer.result().success, step


def test_alignment_is_said_to_be_unmeasured(world, bench):
    bench = bench().start()
    for k in range(12):
        bench.show(k / 10, picture())
    world.until(lambda: bench.seconds)
    assert math.isnan(bench.seconds[0].align_unc_ms)
