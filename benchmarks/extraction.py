"""Extraction beside bare decoding: speed for each core, on two cores, memory with many recordings, reading back."""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import media
from measure import cost, machine, machine_line, median, table, take_turns, write_json

from cloud_train.dataset import Dataset, extract, extract_one, load_looks
from cloud_train.presets import manifest_draft
from cloud_train.recordings import Recording, find_recordings
from edge.clip import MODALITIES

POST_SECONDS = 190_000
SPORTS1M_VIDEOS = 1_133_158
SECONDS_A_VIDEO = 20
"""The reference's average; the Sports-1M paper says 336 (Karpathy et al. 2014), and the projection is linear."""
SPAN = 5.0
"""Seconds between two samples of memory are a hundredth of this."""


def decode(path: Path) -> None:
    """Decode picture and sound with nothing around it, one thread."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        container.streams.video[0].codec_context.thread_count = 1
        for packet in container.demux():
            packet.decode()


def per_core(clip: Path, seconds: int, pixels: int, fields: int, rounds: int) -> dict[str, Any]:
    """Compare one core's extraction with bare decoding, both in this process, in turns."""
    manifest = manifest_draft(pixels, flow_fields=max(1, fields))
    if fields == 0:
        manifest = replace(manifest, features=replace(manifest.features, flow=None))
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            shutil.rmtree(Path(folder) / "clip", ignore_errors=True)
            extract_one(Recording("clip", str(clip), "any"), Path(folder), manifest)

        turns = take_turns({"decode": lambda: decode(clip), "extract": work}, rounds)
        shards = Path(folder)
        found = {name: median(costs).cpu_ms / seconds for name, costs in turns.items()}
        dataset = Dataset(
            shards, replace(manifest, labels=("any",)), (Recording("clip", str(clip), "any", side="train"),)
        )
        (shards / "shards").mkdir()
        (shards / "clip").rename(shards / "shards" / "clip")
        judged = [name for name in MODALITIES if fields or name != "flow"]
        reading = cost(lambda: [load_looks(dataset, name, "train").x[:] for name in judged]).cpu_ms / seconds
    return {
        "pixels": pixels,
        "flow_fields": fields,
        "decode_ms": round(found["decode"], 1),
        "extract_ms": round(found["extract"], 1),
        "of_decode_speed": round(found["decode"] / found["extract"], 3),
        "read_back_ms": round(reading, 3),
        "read_back_faster": round(found["decode"] / reading, 1),
    }


def on_cores(clip: Path, seconds: int, copies: int, pixels: int) -> dict[str, Any]:
    """Extract the same recordings with one process and with two; give seconds of media a second."""
    rates = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            world = _copies(clip, Path(folder), copies)
            took = (
                cost(lambda w=world, f=folder, n=workers: _extract(w, Path(f) / "features", pixels, n)).wall_ms / 1000
            )
        rates[workers] = copies * seconds / took
    return {
        "one": round(rates[1], 2), "two": round(rates[2], 2), "speed_up": round(rates[2] / rates[1], 3),
    }  # fmt: skip


def memory(counts: list[int]) -> list[dict[str, Any]]:
    """Extract many short recordings by the command and sample the resident memory of all its processes."""
    rows = []
    clip = media.cached(
        "second-64x64.mp4", lambda path: media.encode(path, 1, size=(64, 64), frame_rate=10, bit_rate=50_000)
    )
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            world = _copies(clip, Path(folder), count)
            command = [sys.executable, "-m", "cloud_train", "extract", str(world), "--pixels", "32"]
            began, peak = time.monotonic(), 0.0
            with subprocess.Popen([*command, "--out", f"{folder}/features"], stderr=subprocess.DEVNULL) as process:
                while process.poll() is None:
                    peak = max(peak, _tree_mib(process.pid))
                    time.sleep(SPAN / 100)
            if process.returncode:
                msg = f"the command ended with {process.returncode}"
                raise RuntimeError(msg)
        rows.append(
            {
                "recordings": count,
                "peak_mb": round(peak * 1.048576, 1),
                "took_seconds": round(time.monotonic() - began, 1),
            }
        )
    return rows


def projections(rate: float, hourly_usd: float) -> list[dict[str, Any]]:
    """Say what the measured rate, in seconds of media a second of one core, means for whole data sets."""
    sets = {
        "the reference's 190,000 seconds": POST_SECONDS,
        "Sports-1M, 20 s a video": SPORTS1M_VIDEOS * SECONDS_A_VIDEO,
    }
    return [
        {
            "set": name,
            "core_hours": round(seconds / rate / 3600, 1),
            "hours_on_64_cores": round(seconds / rate / 3600 / 64, 2),
            "usd": round(seconds / rate / 3600 * hourly_usd, 2),
        }
        for name, seconds in sets.items()
    ]


def _extract(world: Path, out: Path, pixels: int, workers: int) -> None:
    extract(find_recordings(world), manifest_draft(pixels), out, workers=workers)


def _copies(clip: Path, folder: Path, count: int) -> Path:
    """Give a world of `count` recordings in ten classes: one film, each with an empty box of its own behind it.

    Files of equal bytes would be one recording, refused under two labels.
    """
    film = clip.read_bytes()
    for i in range(count):
        file = folder / "world" / f"class{i % 10}" / f"{i:05d}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(film + struct.pack(">I4sI", 12, b"free", i))
    return folder / "world"


def _tree_mib(pid: int) -> float:
    """Sum the resident memory, shared pages divided by their users, of a process and its children."""
    total = 0.0
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        total = next(int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        children = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")).split()
    except (OSError, StopIteration):
        return total
    return total + sum(_tree_mib(int(child)) for child in children)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/extraction.py --json f.json"
    )
    parser.add_argument("--seconds", type=int, default=20, help="length of the 720p30 clip (default: 20)")
    parser.add_argument("--copies", type=int, default=16, help="recordings for one and for two cores (default: 16)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of extraction and bare decoding (default: 5)")
    parser.add_argument("--recordings", type=int, nargs="+", default=[1000, 10000], help="counts for memory")
    parser.add_argument("--usd", type=float, default=0.0425, help="price of a core's hour (default: 0.0425)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    where = machine()
    clip = media.match_clip(arguments.seconds)
    settings = ((64, 4), (112, 4), (224, 0), (224, 1), (224, 4))
    cores = [per_core(clip, arguments.seconds, pixels, fields, arguments.rounds) for pixels, fields in settings]
    scaling = on_cores(clip, arguments.seconds, arguments.copies, 112)
    rows = memory(arguments.recordings)
    projected = projections(1000 / cores[3]["extract_ms"], arguments.usd)
    print(f"{machine_line(where)}\n\nOne core, CPU milliseconds for a second of 720p30 with sound:\n")
    print(table(list(cores[0]), [row.values() for row in cores]))
    print(
        f"\nSeconds of media a second at 112 pixels: one process {scaling['one']}, two {scaling['two']}, "
        f"{scaling['speed_up']} times as fast\n"
    )
    print(table(list(rows[0]), [row.values() for row in rows]))
    print(f"\nAt 224 pixels, one flow field, {arguments.usd} USD for a core's hour:\n")
    print(table(list(projected[0]), [row.values() for row in projected]))
    write_json(
        arguments.json,
        {"machine": where, "per_core": cores, "cores": scaling, "memory": rows, "projections": projected},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
