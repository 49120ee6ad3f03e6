"""One second of 720p30 with 48 kHz sound: where its time goes, and what the whole loop costs beyond its bare parts.

The bare parts are what nobody can do without: PyAV's decoding, the interpreter's invokes, OpenCV's flow, a mel
spectrogram. They are measured in the same run, in turns with the loop, and the ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backbones
import bare
import media
from measure import Cost, machine, machine_line, median, table, take_turns, total, write_json

from edge.bundle import DEMO, Bundle
from edge.clip import Clip, Packet
from edge.features import features
from edge.fusion import vote
from edge.pipeline import Pipeline
from edge.runtime import CLIPS_AHEAD, open_media
from edge.sources import ahead
from edge.tflite import quantize
from edge.windows import Windower, clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET = 1.15
BUNDLES: dict[str, Callable[[], Path]] = {
    "demo": lambda: DEMO,
    "full": backbones.full_bundle,
    "tiny": backbones.tiny_bundle,
}
Work = Callable[[], object]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A bundle and a clip with all that the parts need: packets that are looked at, seconds, tensors, stored looks."""

    bundle: Bundle
    url: str
    threads: int | None
    packets: list[Packet]
    seconds: list[Clip]
    tensors: dict[str, list[NDArray[Any]]]
    stored: dict[str, list[NDArray[Any]]]


def prepare(path: Path, url: str, threads: int | None) -> Prepared:
    """Run the chain once, keeping what is between its parts."""
    bundle = Bundle.load(path)
    source, windower = open_media(url, bundle)
    with source:
        packets = list(looked_at(source, bundle.manifest.clip.frames_per_second))
    seconds = list(clips(packets, windower))
    tensors: dict[str, list[NDArray[Any]]] = {}
    stored: dict[str, list[NDArray[Any]]] = {}
    for name in bundle.manifest.models:
        model = bundle.model(name, threads)
        found = [features(clip, bundle.manifest, name) for clip in seconds]
        tensors[name] = [tensor for tensor in found if tensor is not None]
        looks = [quantize(tensor.reshape(-1, *model.input.shape), model.input) for tensor in tensors[name]]
        stored[name] = [item for second in looks for item in second]
    return Prepared(bundle, url, threads, packets, seconds, tensors, stored)


def looked_at(packets: Iterator[Packet], frames_per_second: int) -> Iterator[Packet]:
    """Keep all sound, and of the pictures those that the windower converts; all of them would not fit in memory."""
    seen = set()
    for packet in packets:
        slot = int(packet.time * frames_per_second + 1e-6)
        if packet.frame is None or slot not in seen:
            yield packet
        if packet.frame is not None:
            seen.add(slot)


def loop(given: Prepared) -> Work:
    """Give the real loop, as `touchline run` has it, without sinks."""
    pipeline = Pipeline(given.bundle, given.threads)

    def work() -> None:
        source, windower = open_media(given.url, given.bundle)
        with source:
            judged = sum(pipeline(clip) is not None for clip in ahead(clips(source, windower), CLIPS_AHEAD))
        assert judged == len(given.seconds)

    return work


def stages(given: Prepared) -> dict[str, Work]:
    """Give the loop's stages, each for itself over the whole clip, one after the other."""
    manifest, fusion = given.bundle.manifest, given.bundle.fusion

    def decode() -> None:
        source, _ = open_media(given.url, given.bundle)
        with source:
            for _ in source:
                pass

    def scale() -> list[Clip]:
        return list(clips(given.packets, Windower(manifest.clip)))

    parts: dict[str, Work] = {"decode": decode, "scale": scale}
    for name in manifest.models:
        parts[f"{name} features"] = lambda name=name: [features(clip, manifest, name) for clip in given.seconds]
    models = {name: given.bundle.model(name, given.threads) for name in manifest.models}
    for name, model in models.items():
        parts[f"{name} model"] = lambda name=name, model=model: [model(tensor) for tensor in given.tensors[name]]
    scores = {name: [model(tensor) for tensor in given.tensors[name]] for name, model in models.items()}

    def fuse() -> None:
        for looks in zip(*scores.values(), strict=True):
            fusion([vote(name, found, manifest.labels) for name, found in zip(scores, looks, strict=True)])

    return {**parts, "fusion": fuse}


def bare_parts(given: Prepared) -> dict[str, Work]:
    """Give what the loop is measured against, on the same clip, the same looks, the same sizes and threads."""
    parts: dict[str, Work] = {"PyAV decode": lambda: bare.decode(given.url)}
    for name, items in given.stored.items():
        model = given.bundle.model(name, given.threads)
        parts[f"{name} invokes"] = lambda model=model, items=items: [model.invoke(item) for item in items]
    wanted = given.bundle.manifest.features
    if wanted.flow is not None:
        fields = [len(tensor) for tensor in given.tensors["flow"]]
        parts["OpenCV flow"] = bare.flow([clip.frames for clip in given.seconds], fields, wanted.flow)
    if wanted.audio is not None:
        parts["mel"] = bare.mel([clip.audio for clip in given.seconds], wanted.audio)
    return parts


def measure(given: Prepared, repeats: int) -> dict[str, Any]:
    """Measure loop, stages and bare parts in turns; costs are per second of media, ratios medians over the rounds."""
    steps, parts = stages(given), bare_parts(given)
    named = {("loop", ""): loop(given)}
    named |= {("stage", name): work for name, work in steps.items()}
    named |= {("bare", name): work for name, work in parts.items()}
    found = take_turns(named, repeats)
    count = len(given.seconds)
    sums = [total(found["bare", name][k] for name in parts) for k in range(repeats)]
    rounds = list(zip(found["loop", ""], sums, strict=True))

    def share(kind: str, name: str) -> dict[str, float]:
        return _rounded(median(found[kind, name]).per(count))

    return {
        "seconds": count,
        "threads": {name: given.bundle.model(name, given.threads).threads for name in given.stored},
        "looks": {name: round(len(items) / count, 2) for name, items in given.stored.items()},
        "stages": {name: share("stage", name) for name in steps},
        "bare": {name: share("bare", name) for name in parts},
        "bare_sum": _rounded(median(sums).per(count)),
        "loop": share("loop", ""),
        "ratio_wall": round(statistics.median(whole.wall_ms / bare_sum.wall_ms for whole, bare_sum in rounds), 3),
        "ratio_cpu": round(statistics.median(whole.cpu_ms / bare_sum.cpu_ms for whole, bare_sum in rounds), 3),
        "real_time_factor": round(median(found["loop", ""]).wall_ms / count / 1000, 4),
    }


def _rounded(cost: Cost) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(cost).items()}


def report(name: str, result: dict[str, Any]) -> str:
    """Lay one bundle's figures out for a person."""

    def row(kind: str, what: str, cost: dict[str, float]) -> tuple[str, ...]:
        return kind, what, f"{cost['wall_ms']:.2f}", f"{cost['cpu_ms']:.2f}"

    rows = [row("stage", what, cost) for what, cost in result["stages"].items()]
    rows += [row("bare", what, cost) for what, cost in result["bare"].items()]
    rows += [row("bare", "**sum**", result["bare_sum"]), row("loop", "**whole**", result["loop"])]
    rows += [("loop", "**to the bare sum**", f"{result['ratio_wall']:.3f}", f"{result['ratio_cpu']:.3f}")]
    looks = ", ".join(f"{count:g} {modality}" for modality, count in result["looks"].items())
    threads = ", ".join(f"{modality} {count}" for modality, count in result["threads"].items())
    verdict = "met" if result["ratio_wall"] <= TARGET else "MISSED"
    return (
        f"\n### Bundle {name}: {looks} looks a second; threads: {threads}\n\n"
        f"{table(('', 'per second of media', 'wall ms', 'cpu ms'), rows)}\n\n"
        f"Real-time factor {result['real_time_factor']:.3f}; wall ratio at most {TARGET}: {verdict}.\n"
    )


def main() -> int:
    """Read the options, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/pipeline.py --bundles demo --json pipeline.json"
    )
    parser.add_argument("--bundles", default="demo,full", help=f"of {', '.join(BUNDLES)} (default: demo,full)")
    parser.add_argument("--seconds", type=int, default=20, help="length of the clip (default: 20)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; the median counts (default: 5)")
    parser.add_argument("--threads", type=int, help="for each model (default: as `touchline run` chooses)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.bundles.split(",") if name not in BUNDLES]
    if unknown:
        parser.error(f"no bundle {unknown[0]!r}; there are {', '.join(BUNDLES)}")
    url = str(media.match_clip(arguments.seconds))
    paths = {name: BUNDLES[name]() for name in arguments.bundles.split(",")}
    found: dict[str, Any] = {"machine": machine(), "clip": "720p30 H.264 4 Mbit/s, 48 kHz AAC", "bundles": {}}
    print(machine_line(found["machine"]), flush=True)
    for name, path in paths.items():
        result = measure(prepare(path, url, arguments.threads), arguments.repeats)
        found["bundles"][name] = result
        print(report(name, result), flush=True)
    write_json(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
