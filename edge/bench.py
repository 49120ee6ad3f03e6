"""`touchline bench`: where the time of one second goes, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .bundle import GOLDEN, Bundle
from .clip import Clip
from .features import features
from .fusion import vote
from .golden import Golden
from .manifest import BundleError
from .pipeline import Pipeline
from .sources import ahead
from .tflite import default_threads, quantize
from .windows import clips

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .sources import Source
    from .windows import Windower

T = TypeVar("T")
MINIMUM_CLIPS = 20


@dataclass(frozen=True)
class Bench:
    """Milliseconds per second of media, stage by stage and whole.

    `stages` were measured one after the other; `whole_ms` is the real loop, decoding overlapped with the rest.
    `invoke_ms` is the bare interpreter on the same tensors: `ratio_to_bare` is all model calls divided by it.
    """

    seconds: int
    threads: int
    stages: dict[str, float]
    invoke_ms: float
    ratio_to_bare: float
    whole_ms: float
    real_time_factor: float


def bench(bundle: Bundle, open_source: Callable[[], tuple[Source, Windower]] | None, threads: int | None) -> Bench:
    """Measure a bundle on a source, or on its own golden clips when there is none."""
    stages: dict[str, float] = {}
    if open_source is None:
        media = _golden_clips(bundle)
    else:
        source, windower = open_source()
        with source:
            media, stages["decode and scale"] = _timed(lambda: list(clips(source, windower)))
    repeats = -(-MINIMUM_CLIPS // len(media))
    count = len(media) * repeats
    models = {name: bundle.model(name, threads) for name in bundle.manifest.models}
    invoke_seconds = model_seconds = fusion_seconds = 0.0
    for clip in media * repeats:
        votes = []
        for name, model in models.items():
            tensor, took = _timed(lambda: features(clip, bundle.manifest, name))  # noqa: B023 - called at once
            stages[f"{name} features"] = stages.get(f"{name} features", 0.0) + took / repeats
            if tensor is None:
                continue
            stored = quantize(tensor.reshape(-1, *model.input.shape), model.input)
            _, bare = _timed(lambda: [model.invoke(item) for item in stored])  # noqa: B023
            scores, took = _timed(lambda: model(tensor))  # noqa: B023
            stages[f"{name} model"] = stages.get(f"{name} model", 0.0) + took / repeats
            invoke_seconds, model_seconds = invoke_seconds + bare, model_seconds + took
            votes.append(vote(name, scores, bundle.manifest.labels))
        fusion_seconds += _timed(lambda: bundle.fusion(votes))[1] if votes else 0.0  # noqa: B023
    stages["fusion"] = fusion_seconds / repeats
    whole = _whole(bundle, media, open_source, threads)
    return Bench(
        seconds=len(media),
        threads=threads or default_threads(),
        stages={name: round(1000 * took / len(media), 3) for name, took in stages.items()},
        invoke_ms=round(1000 * invoke_seconds / count, 3),
        ratio_to_bare=round(model_seconds / invoke_seconds, 3) if invoke_seconds else 0.0,
        whole_ms=round(1000 * whole, 3),
        real_time_factor=round(whole, 4),
    )


def _whole(
    bundle: Bundle,
    media: Sequence[Clip],
    open_source: Callable[[], tuple[Source, Windower]] | None,
    threads: int | None,
) -> float:
    """Time the real loop, in seconds per second of media."""
    pipeline = Pipeline(bundle, threads)

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
    lines = [f"{result.seconds} seconds of media, {result.threads} threads for each model", ""]
    lines += [f"  {name:<18} {took:9.2f} ms" for name, took in result.stages.items()]
    lines += [
        f"  {'sum':<18} {sum(result.stages.values()):9.2f} ms, one stage after the other",
        f"  {'whole loop':<18} {result.whole_ms:9.2f} ms for a second of media, decoding overlapped"
        f" (real-time factor {result.real_time_factor:.3f})",
        "",
        f"  model calls take {result.ratio_to_bare:.3f} times the bare interpreter's {result.invoke_ms:.2f} ms",
    ]
    return "\n".join(lines) + "\n"
