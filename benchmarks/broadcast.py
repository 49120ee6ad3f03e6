"""A sender in real time whose faults can be ordered: an MPEG transport stream over UDP, looped for ever.

It repeats FOLDER/normal.ts, and does what it reads from its input, a line at a time: `show NAME` (sends NAME.ts from
now on), `shift SECONDS` (moves the stamps of sound), `jump SECONDS` (moves all stamps), `stop`, `go`.
"""

from __future__ import annotations

import argparse
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PACKET, DATAGRAM = 188, 7
CLOCK_HZ, WRAP = 90_000, 1 << 33
SHOWS = ("normal", "black", "frozen", "slow", "small", "silent")


@dataclass
class Slice:
    """Packets that are sent at a time (90 kHz), with the places of the stamps in them and what they belong to."""

    time: int
    data: bytes
    stamps: list[tuple[int, str]]


def parse(path: Path) -> list[Slice]:
    """Cut a transport stream where a picture or a run of sound begins, and find its stamps."""
    data = path.read_bytes()
    slices: list[Slice] = []
    piece = Slice(0, b"", [])
    for at in range(0, len(data) - PACKET + 1, PACKET):
        packet = data[at : at + PACKET]
        control, payload = packet[3] >> 4 & 3, 4
        has_reference = control & 2 and packet[4] and packet[5] & 0x10
        payload += 1 + packet[4] if control & 2 else 0
        begins = packet[1] & 0x40 and control & 1 and packet[payload : payload + 3] == b"\x00\x00\x01"
        if begins:
            kind = "sound" if packet[payload + 3] & 0xE0 == 0xC0 else "picture"
            both = packet[payload + 7] & 0x40
            stamp = _read(packet, payload + (14 if both else 9))
            slices.append(piece)
            piece = Slice(max(piece.time, stamp), b"", [(payload + 9, kind), *([(payload + 14, kind)] if both else [])])
        if has_reference:
            piece.stamps.append((len(piece.data) + 6, "reference"))
        piece.data += packet
    slices = [*slices, piece]
    slices[0].time = slices[1].time  # the tables
    return slices


class Stream:
    """Gives slices one after the other for ever, with stamps and counters that go on without a break."""

    def __init__(self, folder: Path) -> None:
        self._shows = {path.stem: parse(path) for path in folder.glob("*.ts")}
        self.show, self.shift, self.jump = "normal", 0, 0
        self._counters: dict[int, int] = {}

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        clock = 10 * CLOCK_HZ
        while True:
            slices, show = self._shows[self.show], self.show
            first = slices[0].time
            for piece in slices:
                now = clock + piece.time - first
                yield now, self._stamped(piece, clock - first)
                if self.show != show:
                    break
            clock = now + CLOCK_HZ // 25

    def _stamped(self, piece: Slice, by: int) -> bytes:
        data = bytearray(piece.data)
        for at, kind in piece.stamps:
            if kind == "reference":
                base = (int.from_bytes(data[at : at + 5], "big") >> 7) + by + self.jump
                data[at : at + 5] = (base % WRAP << 7 | data[at + 4] & 0x7F).to_bytes(5, "big")
            else:
                _move(data, at, by + self.jump + (self.shift if kind == "sound" else 0))
        for at in range(0, len(data), PACKET):
            if data[at + 3] & 0x10:
                pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
                self._counters[pid] = self._counters.get(pid, -1) + 1 & 15
                data[at + 3] = data[at + 3] & 0xF0 | self._counters[pid]
        return bytes(data)


def _read(data: bytes | bytearray, at: int) -> int:
    """Read a stamp of 33 bits (ISO/IEC 13818-1, 2.4.3.7)."""
    high, middle, low = data[at] >> 1 & 7, data[at + 1] << 7 | data[at + 2] >> 1, data[at + 3] << 7 | data[at + 4] >> 1
    return high << 30 | middle << 15 | low


def _move(data: bytearray, at: int, by: int) -> None:
    """Add to a stamp of 33 bits, which lies in five bytes with markers between."""
    old = (
        (data[at] >> 1 & 7) << 30 | data[at + 1] << 22 | data[at + 2] >> 1 << 15 | data[at + 3] << 7 | data[at + 4] >> 1
    )
    new = (old + by) % WRAP
    data[at] = data[at] & 0xF1 | new >> 30 << 1
    data[at + 1], data[at + 2] = new >> 22 & 0xFF, new >> 15 << 1 & 0xFE | 1
    data[at + 3], data[at + 4] = new >> 7 & 0xFF, new << 1 & 0xFE | 1


def make(folder: Path, source: Path, *, size: tuple[int, int] | None = None, seconds: float = 8.0) -> None:
    """Make the shows from the first seconds of a recording: as it is, black, frozen, at 1 picture a second, small."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHOWS:
        draft = folder / f"{name}.part"
        _render(source, draft, name, size=size, seconds=seconds)
        draft.replace(folder / f"{name}.ts")


def _render(source: Path, out: Path, name: str, *, size: tuple[int, int] | None, seconds: float) -> None:
    with (
        av.open(str(source)) as container,
        av.open(str(out), "w", format="mpegts", options={"pcr_period": "20"}) as output,
    ):
        video = container.streams.video[0]
        rate = 1 if name == "slow" else round(video.average_rate or 25)
        width, height = size or (video.width, video.height)
        picture = output.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "tune": "zerolatency", "crf": "26"}
        )
        picture.width, picture.height, picture.pix_fmt = (
            (width // 2, height // 2, "yuv420p") if name == "small" else (width, height, "yuv420p")
        )
        picture.codec_context.gop_size = rate
        sound = output.add_stream("aac", rate=48_000, layout="mono")
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48_000, frame_size=1024)
        count, kept, last = 0, None, -1.0
        for frame in container.decode(*[s for s in container.streams if s.type in ("video", "audio")][:2]):
            if frame.time is None or frame.time >= seconds:
                if isinstance(frame, av.VideoFrame) and (frame.time or 0) > seconds + 0.5:
                    break
                continue
            if isinstance(frame, av.AudioFrame):
                for block in resampler.resample(frame):
                    if name == "silent":
                        block = _silence(block)
                    output.mux(sound.encode(block))
                continue
            if frame.time - last < 1 / rate - 0.005:
                continue
            last = frame.time
            kept = kept or frame
            shown = kept if name == "frozen" else frame
            shown = shown.reformat(picture.width, picture.height, "yuv420p")
            if name == "black":
                shown = _black(picture.width, picture.height)
            shown = _copy(shown)
            shown.pts, shown.time_base = count, Fraction(1, rate)
            count += 1
            output.mux(picture.encode(shown))
        output.mux(picture.encode(None))
        output.mux(sound.encode(None))


def _copy(frame: av.VideoFrame) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")


def _black(width: int, height: int) -> av.VideoFrame:
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = 16
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _silence(block: av.AudioFrame) -> av.AudioFrame:
    quiet = av.AudioFrame.from_ndarray(np.zeros_like(block.to_ndarray()), format="fltp", layout="mono")
    quiet.sample_rate, quiet.pts, quiet.time_base = block.sample_rate, block.pts, block.time_base
    return quiet


def send(stream: Stream, address: tuple[str, int]) -> None:
    """Send in real time until the input ends, and do what it says."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    began, first, stopped = time.monotonic(), None, False
    for at, data in stream:
        first = at if first is None else first
        while (wait := began + (at - first) / CLOCK_HZ - time.monotonic()) > 0 or stopped:
            if select.select([sys.stdin], [], [], max(0.0, wait) if not stopped else 0.05)[0]:
                line = sys.stdin.readline()
                if not line:
                    return
                stopped = _obey(stream, line.split(), stopped=stopped)
            if stopped and wait <= 0:
                began = time.monotonic() - (at - first) / CLOCK_HZ
        if not stopped:
            for k in range(0, len(data), PACKET * DATAGRAM):
                sock.sendto(data[k : k + PACKET * DATAGRAM], address)


def _obey(stream: Stream, words: list[str], *, stopped: bool) -> bool:
    match words:
        case ["show", name]:
            stream.show = name
        case ["shift", seconds]:
            stream.shift = round(float(seconds) * CLOCK_HZ)
        case ["jump", seconds]:
            stream.jump += round(float(seconds) * CLOCK_HZ)
        case ["stop"]:
            return True
        case ["go"]:
            return False
    return stopped


def main() -> None:
    """Be the sender."""
    parser = argparse.ArgumentParser(
        description="Send a transport stream over UDP in real time, with faults on request.",
        epilog="example: python benchmarks/broadcast.py build/shows 20001 --make examples/match.mp4",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int, help="0: send nothing")
    parser.add_argument("--make", type=Path, metavar="VIDEO", help="make the shows of this recording first")
    parser.add_argument("--size", metavar="WxH", help="of the pictures (default: as they are)")
    parser.add_argument("--seconds", type=float, default=8.0, help="so much of it (default: 8)")
    arguments = parser.parse_args()
    if arguments.make:
        size = tuple(map(int, arguments.size.split("x"))) if arguments.size else None
        make(arguments.folder, arguments.make, size=size, seconds=arguments.seconds)
    if arguments.port:
        send(Stream(arguments.folder), ("127.0.0.1", arguments.port))


if __name__ == "__main__":
    main()
