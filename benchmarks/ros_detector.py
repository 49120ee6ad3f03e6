"""What the detector costs as a ROS node beside `touchline run`: 720p at 30 Hz, processor time of each, side by side."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from measure import machine, machine_line, write_json
from rich.progress import track

MATCH = Path(__file__).parent.parent / "examples" / "match.mp4"
WIDTH, HEIGHT, RATE = 1280, 720, 30
WARM_SECONDS = 6.0
"""Start, loading and the first seconds are left out."""


@dataclass(frozen=True)
class Round:
    """Processor time per second of media, in ms: of `touchline run`, which also decodes, and of the node."""

    run_ms: float
    node_ms: float


def enlarged(path: Path, seconds: float) -> Path:
    """Write the sample recording as 720p at 30 Hz, as long as asked for, in H.264 with its sound left out."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        count = 0
        while count < seconds * RATE:
            with av.open(str(MATCH)) as source:
                for frame in source.decode(video=0):
                    picture = frame.reformat(WIDTH, HEIGHT, "yuv420p")
                    picture.pts, picture.time_base = count, Fraction(1, RATE)
                    out.mux(stream.encode(picture))
                    count += 1
                    if count >= seconds * RATE:
                        break
        out.mux(stream.encode(None))
    return path


def processor_ms(process: subprocess.Popen[bytes]) -> float:
    """Tell how much processor time a process has used, in all its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(process: subprocess.Popen[bytes], seconds: float) -> float:
    """Let it warm up, then give its processor time per second."""
    time.sleep(WARM_SECONDS)
    before, began = processor_ms(process), time.monotonic()
    time.sleep(seconds)
    if process.poll() is not None:
        msg = f"{process.args}: ended with code {process.returncode}"
        raise RuntimeError(msg)
    return (processor_ms(process) - before) / (time.monotonic() - began)


def run_cost(media: Path, seconds: float) -> float:
    """Measure `touchline run` at the recording's pace."""
    command = [sys.executable, "-m", "edge", "run", str(media), "--pace", "realtime", "--quiet"]
    with subprocess.Popen(command) as process:
        try:
            return cost(process, seconds)
        finally:
            process.terminate()


def node_cost(media: Path, seconds: float, folder: Path) -> float:
    """Measure the detector's process while another one plays the recording to it."""
    environment = os.environ | {"ROS_LOG_DIR": str(folder)}

    def start(node: str, *parameters: str) -> subprocess.Popen[bytes]:
        code = f"from touchline_ros.{node} import main; raise SystemExit(main())"
        options = [word for parameter in ("autostart:=true", *parameters) for word in ("-p", parameter)]
        return subprocess.Popen([sys.executable, "-c", code, "--ros-args", *options], env=environment)

    with start("event_detector") as detector, start("player", f"path:={media}", "loop:=true") as player:
        try:
            return cost(detector, seconds)
        finally:
            for process in (player, detector):
                process.terminate()


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: scripts/ros python benchmarks/ros_detector.py --rounds 3 --json F"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turns (default: 3)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each time (default: 20)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(101 + os.getpid() % 100))
    where, rounds = machine(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        media = enlarged(folder / "720p.mp4", WARM_SECONDS + arguments.seconds + 5)
        for _ in track(range(arguments.rounds), description="measuring"):
            run = run_cost(media, arguments.seconds)
            rounds.append(Round(run, node_cost(media, arguments.seconds, folder)))
    print(machine_line(where))
    for k, one in enumerate(rounds, 1):
        share = one.node_ms / one.run_ms
        print(f"round {k}: touchline run {one.run_ms:.0f} ms a second, node {one.node_ms:.0f} ms: {share:.2f} of it")
    middle = sorted(one.node_ms / one.run_ms for one in rounds)[len(rounds) // 2]
    print(f"median: {middle:.2f}")
    write_json(arguments.json, {"machine": where, "median": middle, "rounds": [asdict(one) for one in rounds]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
