"""`touchline diff`: what another bundle would have said of the same recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .clip import Event, Packet, Second
from .events import Segmenter, SegmenterConfig
from .pipeline import Pipeline
from .runtime import open_media
from .windows import clips

THUMBNAIL_WIDTH = 160
Kind = Literal["gained", "lost", "moved", "same"]


@dataclass(frozen=True)
class Watched:
    """What a bundle decided on a recording: every second, every event that ended; a JPEG for each second, if kept."""

    bundle: Bundle
    seconds: tuple[Second, ...]
    events: tuple[Event, ...]
    thumbnails: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """An event of either bundle, or of both: `before` as A has it, `after` as B has it."""

    kind: Kind
    label: str
    before: Event | None
    after: Event | None

    @property
    def start(self) -> float:
        """Where it begins, in media seconds."""
        return min(event.start for event in (self.before, self.after) if event is not None)

    @property
    def shift(self) -> tuple[float, float]:
        """By how many seconds start and end have moved from A to B."""
        if self.before is None or self.after is None:
            return 0.0, 0.0
        return self.after.start - self.before.start, (self.after.end or 0) - (self.before.end or 0)


@dataclass(frozen=True)
class Difference:
    """Two bundles on one recording: events by what became of them, and the seconds on which they do not agree."""

    before: Watched
    after: Watched
    changes: tuple[Change, ...]
    common_seconds: int
    differing: tuple[tuple[Second, Second], ...]

    @property
    def agreement(self) -> float:
        """The share of common seconds on which both say the same."""
        return 1 - len(self.differing) / self.common_seconds if self.common_seconds else 1.0


def watch(
    bundle: Bundle, url: str, config: SegmenterConfig, *, keep: bool, progress: Callable[[float], None]
) -> Watched:
    """Let a bundle judge a recording; `keep` a thumbnail of each second; `progress` is told the media time reached."""
    pipeline = Pipeline(bundle)
    source, windower = open_media(url, bundle)
    thumbnails: dict[int, bytes] = {}
    segmenter = Segmenter(config, "diff")
    seconds, events = [], []
    with source:
        packets = _kept(source, thumbnails) if keep else source
        for clip in clips(packets, windower):
            second = pipeline(clip)
            progress(clip.start + 1)
            if second is not None:
                seconds.append(second)
                events += segmenter.push(second)
    events += segmenter.flush()
    ended = tuple(event for event in events if event.type == "end")
    return Watched(bundle, tuple(seconds), ended, thumbnails)


def compare(before: Watched, after: Watched) -> Difference:
    """Match events of the same label that overlap, those that overlap most first; list what became of each."""
    left, right = list(before.events), list(after.events)
    overlaps = sorted(
        ((_overlap(a, b), i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a.label == b.label),
        reverse=True,
    )
    pairs: dict[int, int] = {}
    for overlap, i, j in overlaps:
        if overlap > 0 and i not in pairs and j not in pairs.values():
            pairs[i] = j
    changes = [_change(left[i], right[j]) for i, j in pairs.items()]
    changes += [Change("lost", event.label, event, None) for i, event in enumerate(left) if i not in pairs]
    matched = set(pairs.values())
    changes += [Change("gained", event.label, None, event) for j, event in enumerate(right) if j not in matched]
    there = {second.start: second for second in after.seconds}
    both = [(second, there[second.start]) for second in before.seconds if second.start in there]
    differing = tuple((a, b) for a, b in both if a.label != b.label)
    ordered = tuple(sorted(changes, key=lambda change: change.start))
    return Difference(before, after, ordered, len(both), differing)


def figures(difference: Difference) -> dict[str, object]:
    """Sum up as plain data, for JSON."""
    counts = {
        kind: sum(change.kind == kind for change in difference.changes) for kind in ("gained", "lost", "moved", "same")
    }
    return {
        "a": _named(difference.before.bundle),
        "b": _named(difference.after.bundle),
        **counts,
        "common_seconds": difference.common_seconds,
        "agreement": round(difference.agreement, 4),
        "events": [
            {
                "kind": change.kind,
                "label": change.label,
                "a": _times(change.before),
                "b": _times(change.after),
                "shift_seconds": list(change.shift),
            }
            for change in difference.changes
        ],
        "seconds": [{"start": a.start, "a": a.label, "b": b.label} for a, b in difference.differing],
    }


def _named(bundle: Bundle) -> dict[str, str]:
    return {"bundle": f"{bundle.manifest.name}-{bundle.manifest.version}", "sha256": bundle.sha256}


def _times(event: Event | None) -> dict[str, float] | None:
    if event is None or event.end is None:
        return None
    return {"start": event.start, "end": event.end, "score": round(event.score, 4)}


def _change(a: Event, b: Event) -> Change:
    return Change("same" if (a.start, a.end) == (b.start, b.end) else "moved", a.label, a, b)


def _overlap(a: Event, b: Event) -> float:
    return min(a.end or 0, b.end or 0) - max(a.start, b.start)


def _kept(packets: Iterable[Packet], thumbnails: dict[int, bytes]) -> Iterator[Packet]:
    for packet in packets:
        if packet.frame is not None and int(packet.time) not in thumbnails:
            thumbnails[int(packet.time)] = _jpeg(packet.frame)
        yield packet


def _jpeg(frame: av.VideoFrame | NDArray[np.uint8]) -> bytes:
    if not isinstance(frame, av.VideoFrame):
        frame = av.VideoFrame.from_ndarray(frame, "rgb24")
    height = max(1, round(frame.height * THUMBNAIL_WIDTH / frame.width))
    picture = frame.reformat(THUMBNAIL_WIDTH, height, "bgr24").to_ndarray()
    return cv2.imencode(".jpg", np.rot90(picture, round(frame.rotation / 90) % 4))[1].tobytes()
