"""`touchline bench`: where the time of one second goes, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from .bundle import GOLDEN, Bundle
from .clip import Clip, Modality
from .features import features
from .fusion import vote
from .golden import Golden
from .manifest import BundleError
from .pipeline import Pipeline
from .sources import ahead
from .tflite import TfliteModel, quantize
from .windows import clips

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .bag import Bag
    from .sources import Source
    from .windows import Windower

T = TypeVar("T")
MINIMUM_CLIPS = 20
BARE = "bare "


@dataclass(frozen=True)
class Bench:
    """Milliseconds per second of media, stage by stage and whole.

    `stages` were measured one after the other; `whole_ms` is the real loop, decoding overlapped with the rest.
    `invoke_ms` is the bare interpreter on the same tensors: `ratio_to_bare` is all model calls divided by it.
    """

    seconds: int
    threads: dict[Modality, int]
    stages: dict[str, float]
    invoke_ms: float
    ratio_to_bare: float
    whole_ms: float
    real_time_factor: float


def bench(
    bundle: Bundle,
    open_source: Callable[[], tuple[Source | Bag, Windower]] | None,
    threads: int | None,
    delegate: str = "",
) -> Bench:
    """Measure a bundle on a source, or on its own golden clips when there is none; medians over the clips."""
    decoding = {}
    if open_source is None:
        media = _golden_clips(bundle)
    else:
        source, windower = open_source()
        with source:
            media, took = _timed(lambda: list(clips(source, windower)))
        decoding["decode and scale"] = took / len(media)
    pipeline = Pipeline(bundle, threads, delegate)
    models = pipeline.models
    repeats = -(-MINIMUM_CLIPS // len(media))
    measured = [_measure(clip, bundle, models, bare_first=i % 2 == 0) for i, clip in enumerate(media * repeats)]
    medians = {name: median(clip.get(name, 0.0) for clip in measured[1:]) for name in measured[0]}
    bare = sum(took for name, took in medians.items() if name.startswith(BARE))
    called = sum(took for name, took in medians.items() if name.endswith(" model"))
    stages = decoding | {name: took for name, took in medians.items() if not name.startswith(BARE)}
    whole = _whole(media, open_source, pipeline)
    return Bench(
        seconds=len(media),
        threads={name: model.threads for name, model in models.items()},
        stages={name: round(1000 * took, 3) for name, took in stages.items()},
        invoke_ms=round(1000 * bare, 3),
        ratio_to_bare=round(called / bare, 3) if bare else 0.0,
        whole_ms=round(1000 * whole, 3),
        real_time_factor=round(whole, 4),
    )


def _measure(clip: Clip, bundle: Bundle, models: dict[Modality, TfliteModel], *, bare_first: bool) -> dict[str, float]:
    """Time each stage of one clip in seconds, and the bare interpreter; they take turns, as the first is slower."""
    stages, votes = {}, []
    for name, model in models.items():
        tensor, stages[f"{name} features"] = _timed(partial(features, clip, bundle.manifest, name))
        if tensor is None:
            continue
        stored = quantize(tensor.reshape(-1, *model.input.shape[1:]), model.input)
        bare = partial(model.invoke, stored)
        if bare_first:
            _, stages[BARE + name] = _timed(bare)
        scores, stages[f"{name} model"] = _timed(partial(model, tensor))
        if not bare_first:
            _, stages[BARE + name] = _timed(bare)
        votes.append(vote(name, scores, bundle.manifest.labels, bundle.manifest.models[name].temperature))
    if votes:
        _, stages["fusion"] = _timed(partial(bundle.fusion, votes))
    return stages


def _whole(
    media: Sequence[Clip],
    open_source: Callable[[], tuple[Source | Bag, Windower]] | None,
    pipeline: Pipeline,
) -> float:
    """Time the real loop, in seconds per second of media."""

    def judge(items: Iterable[Clip]) -> None:
        for clip in items:
            pipeline(clip)

    if open_source is None:
        return _timed(lambda: judge(media))[1] / len(media)
    source, windower = open_source()
    with source:
        return _timed(lambda: judge(ahead(clips(source, windower), 2)))[1] / len(media)


def _golden_clips(bundle: Bundle) -> list[Clip]:
    if GOLDEN not in bundle.manifest.files:
        msg = f"{bundle.path}: holds no {GOLDEN} to measure with; name a media file as well"
        raise BundleError(msg)
    return [case.clip for case in Golden.from_npz((bundle.path / GOLDEN).read_bytes(), GOLDEN).cases]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def table(result: Bench) -> str:
    """Lay the figures out for a person."""
    threads = ", ".join(f"{name} {count}" for name, count in result.threads.items())
    lines = [f"{result.seconds} seconds of media; threads: {threads}", ""]
    lines += [f"  {name:<18} {took:9.2f} ms" for name, took in result.stages.items()]
    lines += [
        f"  {'sum':<18} {sum(result.stages.values()):9.2f} ms, one stage after the other",
        f"  {'whole loop':<18} {result.whole_ms:9.2f} ms for a second of media, decoding overlapped"
        f" (real-time factor {result.real_time_factor:.3f})",
        "",
        f"  model calls take {result.ratio_to_bare:.3f} times the bare interpreter's {result.invoke_ms:.2f} ms",
    ]
    return "\n".join(lines) + "\n"
