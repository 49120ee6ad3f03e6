"""What nobody can do without of a live source, as a process of its own: decoding, and the interpreters' looks.

PyAV reads the stream, decodes picture and sound and drops both; each second the interpreters of the shipped bundle look
as often as in `touchline run`, at what is ready. It says `ready` once it is at it, and goes on until it is ended.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import av
import numpy as np
from pipeline import prepare

from edge.bundle import DEMO

READY_SECONDS = 3


def invokes(recording: Path) -> Callable[[], None]:
    """Give what the interpreters do in a second, on looks of a recording: a second's at once, which is cheapest."""
    given = prepare(DEMO, str(recording), None)
    models = {name: given.bundle.model(name) for name in given.stored}
    looks = {}
    for name, items in given.stored.items():
        count = round(len(items) / len(given.seconds))
        looks[name] = cycle([np.concatenate(items[k : k + count]) for k in range(0, len(items) - count + 1, count)])

    def second() -> None:
        for name, seconds in looks.items():
            models[name].invoke(next(seconds))

    return second


def decode(url: str, second: Callable[[], None], *, live: bool = False) -> None:
    """Decode picture and sound in one thread, which costs least, and do `second` for each second of picture."""
    options = {"probesize": "500000", "analyzeduration": "1000000"} if live else {}
    began = last = None
    with av.open(url, format="mpegts", options=options) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.thread_type, video.codec_context.thread_count = "SLICE", 1
        for packet in container.demux(video, audio):
            for frame in packet.decode():
                if not isinstance(frame, av.VideoFrame) or frame.time is None or int(frame.time) == last:
                    continue
                began, last = int(frame.time) if began is None else began, int(frame.time)
                second()
                if live and last - began == READY_SECONDS:
                    sys.stdout.write("ready\n")
                    sys.stdout.flush()


def main() -> None:
    """Be the process."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/live_bare.py 20001 build/benchmarks/shows-720p30/normal.ts",
    )
    parser.add_argument("port", type=int, help="of this machine, to which a transport stream is sent over UDP")
    parser.add_argument("recording", type=Path, help="of the same stream, of which the looks are")
    arguments = parser.parse_args()
    # As `edge.live.address` has it.
    url = f"udp://@127.0.0.1:{arguments.port}?overrun_nonfatal=1&fifo_size=50000&buffer_size=1048576"
    decode(url, invokes(arguments.recording), live=True)


if __name__ == "__main__":
    main()
