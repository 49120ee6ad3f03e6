"""`touchline diff`: what another bundle would have said of the same recording."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.bundle import DEMO, Bundle
from edge.clip import Event, Second
from edge.diff import Watched, compare, figures
from edge.diff_report import summary, table
from edge.fusion import Majority, write_fusion

MATCH = Path(__file__).parent.parent.parent / "examples" / "match.mp4"
SECOND = Second(0.0, "tennis", 22, 0.9, (), (), "audio", None, "majority", 1.0)


def event(label: str, start: float, end: float) -> Event:
    return Event("end", "x", label, 0, start, end, 0.8, round(end - start), SECOND)


def watched(*events: Event, labels: str = "") -> Watched:
    seconds = tuple(replace(SECOND, start=float(k), label=label) for k, label in enumerate(labels))
    return Watched(Bundle.read(DEMO), seconds, events)


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """The shipped bundle with another fusion."""
    demo = Bundle.read(DEMO)
    files = {name: (DEMO / name).read_bytes() for name in demo.manifest.files}
    files[demo.manifest.fusion] = write_fusion(Majority())
    return Bundle.save(tmp_path_factory.mktemp("bundles") / "other", demo.manifest, files).path


def test_events_are_the_same_moved_gained_or_lost():
    before = watched(event("tennis", 0, 6), event("rugby", 10, 15), event("judo", 20, 22))
    after = watched(event("tennis", 0, 6), event("rugby", 12, 15), event("golf", 20, 22), event("tennis", 30, 33))
    difference = compare(before, after)
    assert [(change.kind, change.label) for change in difference.changes] == [
        ("same", "tennis"), ("moved", "rugby"), ("lost", "judo"), ("gained", "golf"), ("gained", "tennis"),
    ]  # fmt: skip
    assert difference.changes[1].shift == (2, 0)


def test_an_event_is_matched_with_the_one_that_it_overlaps_most():
    before = watched(event("tennis", 0, 10))
    after = watched(event("tennis", 0, 3), event("tennis", 4, 10))
    kinds = {(change.kind, change.start) for change in compare(before, after).changes}
    assert kinds == {("moved", 0), ("gained", 0)}
    touching = compare(watched(event("tennis", 0, 3)), watched(event("tennis", 3, 6)))
    assert sorted(change.kind for change in touching.changes) == ["gained", "lost"]


def test_agreement_is_over_the_seconds_that_both_have():
    difference = compare(watched(labels="aabb"), watched(labels="aaabcc"))
    assert (difference.common_seconds, difference.agreement) == (4, 0.75)
    assert [(a.label, b.label) for a, b in difference.differing] == [("b", "a")]
    assert compare(watched(), watched()).agreement == 1.0


def test_a_bundle_beside_itself_differs_in_nothing(capsys, tmp_path):
    assert main(["diff", str(DEMO), str(DEMO), str(MATCH), "--json", str(tmp_path / "f.json")]) == 0
    assert "events: 0 gained, 0 lost, 0 moved, 5 same; seconds: 100.0% of 27 the same" in capsys.readouterr().out
    found = json.loads((tmp_path / "f.json").read_text())
    assert (found["same"], found["agreement"]) == (5, 1.0)
    assert [one["label"] for one in found["events"]] == ["tennis", "badminton", "rugby", "football", "swimming"]


def test_another_fusion_is_shown_with_pictures(capsys, tmp_path, other):
    page = tmp_path / "diff.html"
    assert main(["diff", str(DEMO), str(other), str(MATCH), "-o", str(page), "--json", str(tmp_path / "f.json")]) == 0
    assert "seconds: " in capsys.readouterr().out
    found, text = json.loads((tmp_path / "f.json").read_text()), page.read_text()
    assert found["agreement"] < 1
    assert found["lost"] + found["moved"] > 0
    rows = found["gained"] + found["lost"] + found["moved"] + found["same"] + len(found["seconds"])
    assert text.count("<img") == rows
    assert not re.search(r"(src|href)='?(?!data:)http", text)
    assert list(tmp_path.glob(".*")) == []


def test_the_table_names_both_bundles_and_every_event():
    difference = compare(watched(event("rugby", 10, 15)), watched(event("rugby", 12, 15)))
    said = table(difference)
    assert "0:00:10 to 0:00:15" in said
    assert "start +2 s, end +0 s" in said
    assert summary(difference).startswith("events: 0 gained, 0 lost, 1 moved, 0 same")
    assert figures(difference)["moved"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["/nowhere", str(DEMO), str(MATCH)], 1, "/nowhere: is not a bundle directory"),
        ([str(DEMO), str(MATCH.parent / "policies" / "follow"), str(MATCH)], 1, "holds a policy and no classifiers"),
        ([str(DEMO), str(DEMO), "/nowhere.mp4"], 2, "/nowhere.mp4: no such file"),
        ([str(DEMO), str(DEMO), str(MATCH), "-o", "/nowhere/a.html"], 1, "/nowhere/a.html: cannot be written"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(capsys, arguments, code, said):
    assert main(["diff", *arguments]) == code
    assert said in capsys.readouterr().err
