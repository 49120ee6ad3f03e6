"""Sports-1M: its labels as the 25 classes of the reference, its lists as recordings."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from cloud_train.recordings import DataError, find_recordings
from cloud_train.sports1m import CLOSE, LABELS, MIXED, TABLES, VERSIONS, load_labels, video_id
from cloud_train.synth import LABELS as CLASSES
from edge.clip import UNKNOWN

WATCH = "https://www.youtube.com/watch?v="


@pytest.mark.parametrize("version", VERSIONS)
def test_each_table_puts_every_label_once_into_one_of_the_25_classes(version: str):
    data = (TABLES / f"{version}.csv").read_bytes()
    rows = list(csv.DictReader(data.decode().splitlines()))
    indices = [int(row["index"]) for row in rows]
    assert len(indices) == len(set(indices)) == 151
    assert all(0 <= index < LABELS for index in indices)
    assert {row["kind"] for row in rows} == {"core", "extra"}
    table = load_labels(version)
    assert tuple(dict.fromkeys(table.classes.values())) == CLASSES
    assert not table.classes.keys() & table.close.keys()
    assert table.classes.keys() | table.close.keys() == load_labels(version, extra=True).classes.keys() == set(indices)
    assert table.sha256 == hashlib.sha256(data).hexdigest()


def test_the_89_labels_of_the_reference_are_core():
    assert len(load_labels().classes) == 89
    names = {
        int(r["index"]): r["label"] for r in csv.DictReader((TABLES / "s1m25-v1.csv").read_text("utf-8").splitlines())
    }
    assert (names[7], names[356]) == ("cycling", "association football")
    assert names[100] == "yağlı güreş"  # noqa: RUF001 - its name


def test_the_literal_reading_differs_in_three_labels():
    table, literal = (load_labels(version, extra=True).classes for version in VERSIONS)
    assert {index for index in table if table[index] != literal[index]} == {356, 388}
    assert (load_labels(VERSIONS[0]).close[189], load_labels(VERSIONS[1]).classes[189]) == ("football", "football")


@pytest.mark.parametrize(
    ("labels", "core", "extra"),
    [
        ({356, 386}, "soccer", "soccer"),
        ({54, 0}, "tennis", "tennis"),
        ({0, 486}, UNKNOWN, UNKNOWN),
        ({54, 1}, MIXED, MIXED),
        ({210}, CLOSE, "athletics"),
        ({210, 0}, CLOSE, "athletics"),
        ({210, 202}, "athletics", "athletics"),
        ({54, 210}, MIXED, MIXED),
    ],
)
def test_a_video_s_labels_mean_a_class_or_unknown_or_leave_it_out(labels: set[int], core: str, extra: str):
    assert load_labels()(frozenset(labels)) == core
    assert load_labels(extra=True)(frozenset(labels)) == extra


def test_an_unknown_table_is_one_sentence():
    with pytest.raises(DataError, match="label table 'v9' is not one of s1m25-v1, s1m25-v1-literal"):
        load_labels("v9")


def test_a_list_becomes_recordings_and_counts_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lines = ["tttt 54", "both 54,356", "none 0", "run1 202, 205", "half 210", "two1 54", "two1 1"]
    (tmp_path / "part.txt").write_text("".join(f"{WATCH}{line}\n" for line in lines))
    found = find_recordings(tmp_path / "part.txt")
    assert [(r.id, r.label) for r in found] == [("tttt", "tennis"), ("none", UNKNOWN), ("run1", "athletics")]
    assert found[0].uri == f"{WATCH}tttt"
    told = capsys.readouterr().err
    assert "left out: 2 videos with labels of several classes" in told
    assert "left out: 1 videos with no label of a class, but one close to it" in told
    assert "half" in {r.id for r in find_recordings(tmp_path / "part.txt", extra=True)}


def test_a_list_may_name_files_and_other_addresses(tmp_path: Path):
    (tmp_path / "part.txt").write_text("videos/a match.mp4 54\ns3://bucket/b.mp4\t54\r\n\n")
    first, second = find_recordings(tmp_path / "part.txt")
    assert (first.id, first.uri) == ("a_match", str(tmp_path / "videos/a match.mp4"))
    assert (second.id, second.uri) == ("b", "s3://bucket/b.mp4")


def test_videos_that_are_here_are_taken_and_not_their_thumbnails(tmp_path: Path):
    (tmp_path / "media").mkdir()
    for name, size in (("tttt.jpg", 10), ("tttt.mkv", 100), ("tttt.webp", 20)):
        (tmp_path / "media" / name).write_bytes(bytes(size))
    (tmp_path / "part.txt").write_text(f"{WATCH}tttt 54\n{WATCH}else 54\n")
    here, elsewhere = find_recordings(tmp_path / "part.txt", media=tmp_path / "media")
    assert here.uri == str(tmp_path / "media" / "tttt.mkv")
    assert elsewhere.uri == f"{WATCH}else"
    with pytest.raises(DataError, match="nowhere: no such folder of videos"):
        find_recordings(tmp_path / "part.txt", media=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"http://v/a 1,2\nhttp://v/b\n", "part.txt, line 2: expected an address, a space and label numbers such as"),
        (b"http://v/a 1,\n", "part.txt, line 1: expected an address"),
        (b"http://v/a tennis\n", "part.txt, line 1: expected an address"),
        (b"http://v/a -1\n", "part.txt, line 1: expected an address"),
        (b"http://v/a 12345678901234567890\n", "part.txt, line 1: expected an address"),
        (b"http://v/a 486\nhttp://v/b 3,487\n", "part.txt, line 2: label 487 is outside 0 to 486"),
        (b"http://v/a 1\n\xff\n", "part.txt, line 2: is not UTF-8 text"),
        (b"http://v/a 1\nhttp://w/a 1\n", "part.txt, line 2: recording 'a' is listed twice; the first is line 1"),
        (b"ftp://v/a 1\n", "part.txt, line 1: 'ftp://v/a' is no path, and no address that begins with http://"),
        (b"\n", "part.txt: no recordings"),
    ],
)
def test_a_bad_list_is_one_sentence(tmp_path: Path, data: bytes, sentence: str):
    (tmp_path / "part.txt").write_bytes(data)
    with pytest.raises(DataError) as failure:
        find_recordings(tmp_path / "part.txt")
    assert sentence in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://www.youtube.com/watch?v=ABPsSSS2uY0&x=1", "ABPsSSS2uY0"),
        ("http://www.youtube.com/watch?v=../../out", ".._.._out"),
        ("https://host/path/clip.01.mp4", "clip.01"),
        ("http://[host/a.mp4", "http____host_a.mp4"),
    ],
)
def test_a_video_s_id_is_its_own_and_the_name_of_a_file(uri: str, name: str):
    assert video_id(uri) == name
