"""Recordings of ROS as a source: the same seconds as the media file, whatever writer or end they had."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from edge.__main__ import main
from edge.bag import Bag, is_bag
from edge.bundle import DEMO, Bundle
from edge.pipeline import Pipeline
from edge.runtime import open_media
from edge.sources import Source, SourceError, SourceNotFoundError
from edge.windows import clips

MATCH = Path(__file__).parent.parent.parent / "examples" / "match.mp4"
EPOCH = 1_700_000_000
SECONDS = 4
BAGS = Path(os.environ.get("TOUCHLINE_TEST_DATA", "/nowhere")) / "bags"
MGONZS = {
    "AudioStamped": "std_msgs/Header header\nAudio audio\n",
    "Audio": "AudioData audio_data\nAudioInfo info\n",
    "AudioData": "".join(f"{kind}[] {kind}_data\n" for kind in ("float32", "int32", "int16", "int8", "uint8")),
    "AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk\n",
}
DRIVERS = {
    "AudioDataStamped": "std_msgs/Header header\nAudioData audio\n",
    "AudioData": "uint8[] data\n",
    "AudioInfo": "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\nstring coding_format\n",
}


def store(definitions: dict[str, str]):
    """Types of ROS 2 with one of the two packages named audio_common_msgs."""
    known = get_typestore(Stores.ROS2_HUMBLE)
    types = {}
    for name, text in definitions.items():
        types |= get_types_from_msg(text, f"audio_common_msgs/msg/{name}")
    known.register(types)
    return known


class Tape:
    """Writes a recording as a robot would have made it."""

    def __init__(self, path: Path, definitions: dict[str, str], storage: StoragePlugin = StoragePlugin.MCAP) -> None:
        self.types = store(definitions)
        self.writer = Writer(path, version=9, storage_plugin=storage)
        self.writer.open()
        self.topics, self.count = {}, 0

    def write(self, topic: str, kind: str, seconds: float, **fields) -> None:
        if topic not in self.topics:
            self.topics[topic] = self.writer.add_connection(topic, kind, typestore=self.types)
        self.count += 1
        whole, part = divmod(seconds, 1)
        if kind != "audio_common_msgs/msg/AudioInfo":
            stamp = self.types.types["builtin_interfaces/msg/Time"](EPOCH + int(whole), round(part * 1e9))
            fields["header"] = self.types.types["std_msgs/msg/Header"](stamp, "camera")
        data = self.types.serialize_cdr(self.types.types[kind](**fields), kind)
        self.writer.write(self.topics[topic], EPOCH * 10**9 + self.count, data)  # when it was received

    def picture(self, seconds: float, frame, topic: str = "/image") -> None:
        y, u, v = (np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size)[:, : p.width] for p in frame.planes)
        data = np.concatenate([y.reshape(-1), np.stack([v, u], -1).reshape(-1)])
        size = {"height": frame.height, "width": frame.width, "step": frame.width}
        self.write(topic, "sensor_msgs/msg/Image", seconds, encoding="nv21", is_bigendian=0, data=data, **size)

    def close(self) -> None:
        self.writer.close()


def recorded(path: Path, kind: str, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Tape the first seconds of the match with the sound of either package, or without any."""
    tape = Tape(path, DRIVERS if kind == "drivers" else MGONZS, storage)
    types = tape.types.types
    if kind == "drivers":
        about = {"sample_format": "F32LE", "coding_format": "wave", "bitrate": 0}
        tape.write("/audio_info", "audio_common_msgs/msg/AudioInfo", 0, channels=1, sample_rate=16000, **about)
    with Source(str(MATCH), 16000) as source:
        for packet in source:
            if packet.time >= SECONDS:
                continue
            if packet.frame is not None:
                tape.picture(packet.time, packet.frame)
            elif kind == "drivers":
                audio = types["audio_common_msgs/msg/AudioData"](np.frombuffer(packet.audio.tobytes(), np.uint8))
                tape.write("/audio", "audio_common_msgs/msg/AudioDataStamped", packet.time, audio=audio)
            elif kind == "mgonzs13":
                nothing = [np.zeros(0, dtype) for dtype in (np.int32, np.int16, np.int8, np.uint8)]
                data = types["audio_common_msgs/msg/AudioData"](packet.audio, *nothing)
                about = types["audio_common_msgs/msg/AudioInfo"](1, 1, 16000, 0)
                audio = types["audio_common_msgs/msg/Audio"](data, about)
                tape.write("/audio", "audio_common_msgs/msg/AudioStamped", packet.time, audio=audio)
    tape.close()
    return path


def decided(url: str) -> list:
    """The seconds of a source: label, probabilities and votes, without what a clock has measured."""
    bundle = Bundle.load(DEMO)
    source, windower = open_media(url, bundle)
    with source:
        seconds = [second for second in map(Pipeline(bundle), clips(source, windower)) if second.start < SECONDS]
    return [(second.start, second.label, second.probabilities, second.votes) for second in seconds]


@pytest.mark.parametrize(
    ("kind", "storage"),
    [
        ("mgonzs13", StoragePlugin.MCAP),
        ("mgonzs13", StoragePlugin.SQLITE3),
        ("drivers", StoragePlugin.MCAP),
        ("drivers", StoragePlugin.SQLITE3),
    ],
)
def test_a_recording_gives_the_seconds_of_the_media_file_bit_for_bit(tmp_path, kind, storage):
    path = recorded(tmp_path / "bag", kind, storage)
    assert is_bag(str(path))
    expected = decided(str(MATCH))[:SECONDS]
    assert len(expected) == SECONDS
    assert decided(str(path)) == expected
    assert decided(str(path)) == expected  # and again


def test_a_recording_whose_writer_was_killed_is_read_up_to_where_it_ends(tmp_path, caplog):
    path = recorded(tmp_path / "bag", "mgonzs13") / "bag.mcap"
    whole = decided(str(path))
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    part = decided(str(cut))
    assert 1 <= len(part) < SECONDS
    assert part[: len(part) - 1] == whole[: len(part) - 1]
    assert "its writer was killed" in caplog.text


def test_a_folder_that_nobody_closed_is_read_if_it_holds_one_file(tmp_path, capsys):
    path = recorded(tmp_path / "bag", "none")
    whole = decided(str(path))
    (path / "metadata.yaml").unlink()
    assert is_bag(str(path))
    assert decided(str(path)) == whole
    (path / "other.mcap").write_bytes(b"")
    assert main(["run", str(path), "--quiet"]) == 2
    assert "has no metadata.yaml and several files (bag.mcap, other.mcap); name one" in capsys.readouterr().err


def test_several_cameras_are_named_and_one_can_be_chosen(tmp_path):
    tape = Tape(tmp_path / "bag", MGONZS)
    with Source(str(MATCH), 16000, audio=False) as source:
        for packet in source:
            if packet.time < 2:
                tape.picture(packet.time, packet.frame, "/left")
                tape.picture(packet.time, packet.frame, "/right")
    tape.close()
    with pytest.raises(
        SourceNotFoundError, match=r"has several topics with pictures \(/left, /right\); name one, as in"
    ):
        Bag(str(tmp_path / "bag"), 16000)
    with Bag(f"{tmp_path / 'bag'}#/right", 16000) as bag:
        assert (bag.video, bag.audio) == (True, False)
        assert len(list(bag)) == 50


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an MCAP file"),
        (b"no recording at all", "is not an MCAP file"),
        (b"\x89MCAP0\r\n", "holds nothing whole"),
    ],
)
def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path, capsys, content, said):
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    assert main(["run", str(path), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") <= 2


def test_pictures_that_are_none_are_left_out_and_counted(tmp_path, caplog):
    tape = Tape(tmp_path / "bag", MGONZS)
    for k in range(5):
        size = {"height": 4, "width": 4, "step": 1, "is_bigendian": 0, "data": np.zeros(16, np.uint8)}
        tape.write("/image", "sensor_msgs/msg/Image", k / 5, encoding="mono8", **size)
    tape.close()
    with Bag(str(tmp_path / "bag"), 16000) as bag, pytest.raises(SourceError, match="no picture or sound in it could"):
        list(bag)
    assert bag.undecodable == 5
    assert "step is 1; a row of 4 pixels in mono8 has 4 bytes" in caplog.text


@pytest.mark.skipif(not BAGS.is_dir(), reason="TOUCHLINE_TEST_DATA names no folder with recordings of others")
def test_recordings_of_others_are_read(capsys):
    assert main(["run", str(BAGS / "klintan_sample.db3"), "--quiet"]) == 1
    assert "has no topic with pictures or sound" in capsys.readouterr().err
    assert main(["run", str(BAGS / "all_types" / "all_types.mcap"), "--quiet"]) == 2
    assert "has several topics with pictures" in capsys.readouterr().err
