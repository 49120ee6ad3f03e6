"""Other runtimes beside ours: the same models on the same looks, in turns, in one process."""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import backbones
import media
import numpy as np
from measure import machine, machine_line, table, take_turns, write_json
from runtimes import RUNTIMES, Case, Classify, UnavailableError

from edge.bundle import DEMO, Bundle
from edge.clip import Clip
from edge.features import audio_tensor
from edge.manifest import Manifest
from edge.sources import Source
from edge.windows import Windower, clips

MODELS = {
    "mobilenet_v2": ("float32", "int8"),
    "resnet50": ("float32", "int8"),
    "audio": ("float32", "int8"),
    "sound": ("float32",),
    "demo": ("int8",),
}
MEANING = {
    "mobilenet_v2": "MobileNetV2 1.0, 224 x 224 pictures",
    "resnet50": "ResNet50, 224 x 224 pictures",
    "audio": "MobileNetV2 1.0, ready log-mel spectrograms",
    "sound": "MobileNetV2 1.0, sound in: log-mel and classification",
    "demo": "the shipped bundle's picture model",
}
OURS = "Touchline"
WHY = {
    "LiteRT, bare": "it is what we call: the difference is quantizing, dequantizing and our few lines around it",
    "TensorFlow Interpreter": "the same kernels in another build, so what differs is that build and our few lines",
    "onnxruntime": "its own kernels; LiteRT stays, as it is the one runtime for x86 and Jetson that opens .tflite",
    "OpenCV DNN": "its own kernels",
    "MediaPipe task": "the same kernels; what differs is how the input is made",
}
EQUAL = 0.02
"""Ratios within this of 1 are not told apart."""


def seconds(manifest: Manifest) -> list[Clip]:
    """Cut the test clip."""
    with Source(str(media.match_clip(20)), manifest.clip.sample_rate_hz) as source:
        return list(clips(source, Windower(manifest.clip)))


def make_case(kind: str, precision: str, threads: int, looks: int) -> Case:
    """Find the model's file and take looks at the test clip."""
    if kind == "demo":
        bundle = Bundle.load(DEMO)
        manifest, file = bundle.manifest, DEMO / bundle.manifest.models["rgb"].file
    else:
        manifest = backbones.manifest()
        folder = backbones.model_folder("audio" if kind == "sound" else kind)
        file = folder / ("waveform.tflite" if kind == "sound" else f"{precision}.tflite")
    media_seconds = seconds(manifest)
    if kind in ("audio", "sound"):
        heard = [clip.audio for clip in media_seconds][:looks]
        chosen = heard if kind == "sound" else [audio_tensor(audio, manifest)[0] for audio in heard]
    else:
        chosen = list(np.concatenate([clip.frames for clip in media_seconds])[:looks])
    return Case(kind, precision, file, chosen, manifest, threads)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Open every runtime, compare the answers, and time them in turns."""
    opened: dict[str, Classify] = {}
    notes: dict[str, str] = {}
    for name, open_runtime in RUNTIMES.items():
        try:
            opened[name] = open_runtime(case)
            opened[name](case.looks[0])
        except UnavailableError as error:
            opened.pop(name, None)
            notes[name] = str(error)
    answers = {name: np.stack([classify(look) for look in case.looks]) for name, classify in opened.items()}
    found = take_turns(
        {name: lambda classify=classify: [classify(look) for look in case.looks] for name, classify in opened.items()},
        repeats,
    )
    rows: dict[str, dict[str, Any]] = {name: {"missing": why} for name, why in notes.items()}
    for name, costs in found.items():
        walls = [cost.wall_ms / len(case.looks) for cost in costs]
        rounds = zip(costs, found[OURS], strict=True)
        ratio = statistics.median(theirs.wall_ms / ours.wall_ms for theirs, ours in rounds)
        rows[name] = {
            "ms": round(statistics.median(walls), 4),
            "min_ms": round(min(walls), 4),
            "cpu_ms": round(statistics.median(cost.cpu_ms for cost in costs) / len(case.looks), 4),
            "ratio_to_ours": round(ratio, 3),
            "max_difference": float(np.abs(answers[name] - answers[OURS]).max()),
            "same_label": float(np.mean(answers[name].argmax(1) == answers[OURS].argmax(1))),
        }
    return {"model": case.kind, "precision": case.precision, "runtimes": {name: rows[name] for name in RUNTIMES}}


def remark(name: str, row: dict[str, Any], ours_ms: float) -> str:
    """Say by how much a runtime is faster than ours, and why."""
    if "missing" in row:
        return row["missing"]
    if name == OURS or row["ratio_to_ours"] >= 1 - EQUAL:
        return ""
    share = 1 - row["ratio_to_ours"]
    return f"faster by {share:.0%} ({1000 * share * ours_ms:.0f} microseconds): {WHY[name]}"


def report(result: dict[str, Any]) -> str:
    """Lay one model's figures out for a person."""
    runtimes = result["runtimes"]
    rows = []
    for name, row in runtimes.items():
        why = remark(name, row, runtimes[OURS]["ms"])
        if "missing" in row:
            rows.append((name, "-", "-", "-", "-", "-", why))
        else:
            figures = (f"{row[key]:.3f}" for key in ("ms", "min_ms", "cpu_ms"))
            rows.append((name, *figures, f"{row['ratio_to_ours']:.2f}", f"{row['max_difference']:.2g}", why))
    head = ("runtime", "ms a look", "min ms", "cpu ms", "time to ours", "answers differ by", "remark")
    return f"\n### {MEANING[result['model']]}, {result['precision']}\n\n{table(head, rows)}\n"


def main() -> int:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/peers.py --models resnet50,sound --json peers.json"
    )
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--looks", type=int, default=10, help="looks in one turn, at most 20 (default: 10)")
    parser.add_argument("--repeats", type=int, default=11, help="rounds; the median counts (default: 11)")
    parser.add_argument("--threads", type=int, default=1, help="for every runtime (default: 1, all MediaPipe has)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    chosen = arguments.models.split(",")
    unknown = [name for name in chosen if name not in MODELS]
    if unknown:
        parser.error(f"no model {unknown[0]!r}; there are {', '.join(MODELS)}")
    found: dict[str, Any] = {"machine": machine(), "threads": arguments.threads, "cases": []}
    print(f"{machine_line(found['machine'])}; {arguments.threads} threads each", flush=True)
    for kind in chosen:
        for precision in MODELS[kind]:
            case = make_case(kind, precision, arguments.threads, arguments.looks)
            with case.closing:
                found["cases"].append(measure(case, arguments.repeats))
            print(report(found["cases"][-1]), flush=True)
    write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
