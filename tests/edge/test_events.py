"""The Segmenter: hysteresis, minimum length, merge gap, and one id from new to end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.clip import Event, Second
from edge.events import Segmenter, SegmenterConfig

LABELS = ("tennis", "golf")


def second(start: float, label: str, score: float = 0.9) -> Second:
    index = LABELS.index(label) if label in LABELS else -1
    rest = 0.0 if index >= 0 else score
    probabilities = tuple(score if i == index else rest for i in range(len(LABELS)))
    return Second(start, label, index, score, probabilities, (), "rgb", None, "majority", 0.0)


def segment(seconds: list[Second], config: SegmenterConfig = SegmenterConfig()) -> list[Event]:  # noqa: B008
    segmenter = Segmenter(config, "boot")
    return [event for s in seconds for event in segmenter.push(s)] + segmenter.flush()


def told(events: list[Event]) -> list[tuple[str, str, float, float | None]]:
    return [(e.type, e.label, e.start, e.end) for e in events]


def test_a_run_of_seconds_becomes_one_event_with_one_id():
    events = segment([second(t, "tennis") for t in range(4)])
    assert told(events) == [("new", "tennis", 0, None), ("end", "tennis", 0, 4)]
    assert {e.id for e in events} == {"boot-000001"}
    assert events[-1].seconds == 4


def test_one_second_is_too_short():
    assert segment([second(0, "tennis"), second(1, "golf"), second(2, "tennis")]) == []


def test_a_hole_up_to_the_merge_gap_does_not_end_the_event():
    seconds = [second(t, "tennis") for t in (0, 1)] + [second(2, "unknown", 0.2), second(3, "unknown", 0.2)]
    assert told(segment([*seconds, second(4, "tennis")]))[-1] == ("end", "tennis", 0, 5)
    longer = [*seconds, second(4, "unknown", 0.2), second(5, "tennis"), second(6, "tennis")]
    assert told(segment(longer)) == [
        ("new", "tennis", 0, None), ("end", "tennis", 0, 2), ("new", "tennis", 5, None), ("end", "tennis", 5, 7),
    ]  # fmt: skip


def test_missing_seconds_count_as_a_hole():
    seconds = [second(t, "tennis") for t in (0, 1, 10, 11)]
    assert told(segment(seconds))[1] == ("end", "tennis", 0, 2)


def test_hysteresis_carries_on_below_the_score_that_opens():
    low = [second(t, "tennis", 0.35) for t in range(3)]
    assert segment(low) == []
    assert told(segment([second(t, "tennis") for t in (0, 1)] + [second(t, "tennis", 0.35) for t in (2, 3)]))[-1] == (
        "end", "tennis", 0, 4,
    )  # fmt: skip


def test_another_label_ends_the_event_once_it_has_lasted():
    seconds = [second(t, "tennis") for t in range(3)] + [second(t, "golf") for t in range(3, 6)]
    assert told(segment(seconds)) == [
        ("new", "tennis", 0, None), ("end", "tennis", 0, 3), ("new", "golf", 3, None), ("end", "golf", 3, 6),
    ]  # fmt: skip


def test_updates_come_in_the_configured_rhythm():
    events = segment([second(t, "tennis") for t in range(13)], SegmenterConfig(update_seconds=5))
    assert [(e.type, e.seconds) for e in events] == [("new", 2), ("update", 7), ("update", 12), ("end", 13)]


@given(st.lists(st.tuples(st.sampled_from([*LABELS, "unknown"]), st.sampled_from([0.1, 0.4, 0.9])), max_size=60))
def test_every_event_is_opened_once_ended_once_and_ordered(told_seconds: list[tuple[str, float]]):
    seconds = [second(t, "unknown" if score < 0.3 else label, score) for t, (label, score) in enumerate(told_seconds)]
    events = segment(seconds)
    by_id: dict[str, list[Event]] = {}
    for event in events:
        by_id.setdefault(event.id, []).append(event)
    for group in by_id.values():
        assert [e.type for e in group] == ["new", *["update"] * (len(group) - 2), "end"]
        assert group[-1].end is not None
        assert group[-1].end - group[0].start >= 2
    ends = [e for e in events if e.type == "end"]
    assert all(a.end <= b.start for a, b in pairwise(ends) if a.end is not None)
