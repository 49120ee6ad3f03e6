"""A robot of another make: it has Cyclone DDS and no ROS, sends pictures and prints the seconds and events it hears.

    python foreign_robot.py IMAGE_TOPIC DETECTOR [--pictures N] [--until second|event|end]

Each line on standard output is one message, as JSON; it ends by itself after the first of the kind that it waits for.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from dataclasses import dataclass

LOOPBACK = """<CycloneDDS><Domain Id="any">
<General><AllowMulticast>false</AllowMulticast><Interfaces><NetworkInterface address="127.0.0.1"/>
</Interfaces></General>
<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>30</MaxAutoParticipantIndex>
<Peers><Peer Address="127.0.0.1"/></Peers></Discovery></Domain></CycloneDDS>"""
os.environ.setdefault("CYCLONEDDS_URI", LOOPBACK)  # before its library is loaded

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct, annotations
from cyclonedds.idl.types import float32, int16, int32, sequence, uint8, uint16, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

LIMIT_SECONDS = 60
WIDTH, HEIGHT, RATE_HZ = 160, 120, 10


@dataclass
@annotations.final
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
@annotations.final
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time = dataclasses.field(default_factory=Time)
    frame_id: str = ""


@dataclass
@annotations.final
class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@dataclass
@annotations.final
class Vote(IdlStruct, typename="touchline_msgs::msg::dds_::Vote_"):
    modality: str
    label: str
    score: float32
    frames: uint16
    valid: bool
    probabilities: sequence[float32]


@dataclass
@annotations.final
class Second(IdlStruct, typename="touchline_msgs::msg::dds_::Second_"):
    header: Header
    seq: uint32
    source: str
    label: str
    class_index: int16
    score: float32
    unknown: bool
    probabilities: sequence[float32]
    votes: sequence[Vote]
    winner: str
    row: str
    rule: str
    table_version: str
    mode: str
    align_ms: float32
    align_unc_ms: float32
    latency_ms: float32
    faults: sequence[str]


@dataclass
@annotations.final
class Event(IdlStruct, typename="touchline_msgs::msg::dds_::Event_"):
    header: Header
    id: str
    type: uint8
    source: str
    label: str
    class_index: int16
    score: float32
    seconds: uint32
    start: Time
    end: Time
    ended: bool
    last: Second
    timecode: str
    timecode_rate: str
    model_sha256: str


RELIABLE = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(10))
BEST_EFFORT = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(5))


def picture(number: int) -> Image:
    """Make an RGB picture of now with a bright bar that moves."""
    now = time.time_ns()
    row = bytearray(3 * WIDTH)
    start = (9 * number) % (3 * WIDTH - 30)
    row[start : start + 30] = b"\xff" * 30
    header = Header(Time(now // 10**9, now % 10**9), "foreign_camera")
    return Image(header, HEIGHT, WIDTH, "rgb8", 0, 3 * WIDTH, list(bytes(row) * HEIGHT))


def main() -> int:
    """Send pictures in real time and print what is heard, until the message that is waited for; 1: it never came."""
    parser = argparse.ArgumentParser()
    parser.add_argument("image")
    parser.add_argument("detector")
    parser.add_argument("--pictures", type=int, default=0, help="how many to send")
    parser.add_argument("--until", choices=("second", "event", "end"), required=True)
    asked = parser.parse_args()
    participant = DomainParticipant(int(os.environ.get("ROS_DOMAIN_ID", "0")))
    writer = DataWriter(participant, Topic(participant, f"rt/{asked.image}", Image), qos=BEST_EFFORT)
    readers = {
        name: DataReader(participant, Topic(participant, f"rt/{asked.detector}/{name}", kind), qos=RELIABLE)
        for name, kind in (("second", Second), ("event", Event))
    }
    begin, sent = time.monotonic(), 0
    while time.monotonic() - begin < LIMIT_SECONDS:
        if sent < asked.pictures and writer.get_matched_subscriptions():
            writer.write(picture(sent))
            sent += 1
        for name, reader in readers.items():
            for message in reader.take(N=10):
                sys.stdout.write(json.dumps({name: dataclasses.asdict(message)}) + "\n")
                sys.stdout.flush()
                if asked.until == name or (asked.until == "end" and name == "event" and message.ended):
                    return 0
        time.sleep(1 / RATE_HZ)
    sys.stderr.write(f"no {asked.until} in {LIMIT_SECONDS} s; {sent} pictures sent\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
