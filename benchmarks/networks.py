"""Size and latency of every network that can be trained, by width and by size of picture, in float and in int8."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from backbones import KINDS, model_folder
from measure import machine, machine_line, median, table, take_turns, write_json

from edge.tflite import TfliteModel

NETWORKS = ("tiny", "mobilenet_v2_050", "mobilenet_v2_075", "mobilenet_v2", "resnet50")


def measure(kind: str, pixels: int, rounds: int) -> dict[str, Any]:
    """Give the size of a network's files and the median time of one look, float and int8 in turns, on one thread."""
    folder = model_folder(kind, pixels)
    files = {name: folder / f"{name}.tflite" for name in ("float32", "int8")}
    models = {name: TfliteModel(file, 1) for name, file in files.items()}
    look = np.random.default_rng(0).integers(0, 256, (1, pixels, pixels, 3), dtype=np.uint8)
    inputs = {"float32": look.astype(np.float32), "int8": look}
    turns = take_turns({name: lambda m=model, x=inputs[name]: m(x) for name, model in models.items()}, rounds)
    spec = KINDS[kind]
    return {
        "network": "ResNet50" if spec.backbone == "resnet50" else f"MobileNetV2 x {spec.alpha:g}",
        "pixels": pixels,
        "float_mb": round(files["float32"].stat().st_size / 1e6, 2),
        "int8_mb": round(files["int8"].stat().st_size / 1e6, 2),
        "float_ms": round(median(turns["float32"]).wall_ms, 2),
        "int8_ms": round(median(turns["int8"]).wall_ms, 2),
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/networks.py --pixels 96 224"
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="(default: all)")
    parser.add_argument(
        "--pixels", type=int, nargs="+", default=[96, 224], help="sizes of the picture (default: 96 224)"
    )
    parser.add_argument("--rounds", type=int, default=30, help="turns of float and int8 (default: 30)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    where = machine()
    rows = [measure(kind, pixels, arguments.rounds) for kind in arguments.networks for pixels in arguments.pixels]
    print(f"{machine_line(where)}\n\n{table(list(rows[0]), [row.values() for row in rows])}")
    write_json(arguments.json, {"machine": where, "networks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
