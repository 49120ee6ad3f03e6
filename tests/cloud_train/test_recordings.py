"""Recordings as people list them: folders, tables, Sports-1M's own files; what is wrong is said by row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from cloud_train.recordings import DataError, Recording, find_recordings
from cloud_train.sports1m import LABELS, MIXED, load_labels, video_id
from edge.clip import UNKNOWN


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two classes of recordings; nobody opens them here."""
    for name in ("calm/0.mp4", "calm/1.mp4", "calm/only.wav", "wild/0.mp4", "wild/1.mp4", "wild/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_of_class_folders(world: Path):
    found = find_recordings(world)
    assert [(r.id, r.label) for r in found[:2]] == [("calm--0.mp4", "calm"), ("calm--1.mp4", "calm")]
    assert len(found) == 5


def test_a_csv_with_paths_beside_it(world: Path):
    (world / "list.csv").write_text("uri,label,recording\ncalm/0.mp4,calm,first\nwild/1.mp4,wild,second half\n")
    first, second = find_recordings(world / "list.csv")
    assert (first.id, first.uri, first.label) == ("first", str(world / "calm/0.mp4"), "calm")
    assert second.id == "second_half"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("uri,name\na,b\n", "has no column 'label'; the columns are uri, label, recording"),
        ("uri,label,recording\n", "no recordings"),
        ("uri,label,recording\na,x,one\nb,x,one\n", "recording 'one' is listed twice"),
    ],
)
def test_a_bad_csv_is_one_sentence(tmp_path: Path, text: str, sentence: str):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        find_recordings(tmp_path / "list.csv")


def test_a_parquet_file_with_addresses(tmp_path: Path):
    rows = {"uri": ["s3://bucket/a.mp4", "https://host/b.mp4", "c.mp4"], "label": ["x", "y", "unknown"]}
    parquet.write_table(pa.table({**rows, "more": [1, 2, 3]}), tmp_path / "list.parquet")
    found = find_recordings(tmp_path / "list.parquet")
    assert [r.uri for r in found] == ["s3://bucket/a.mp4", "https://host/b.mp4", str(tmp_path / "c.mp4")]
    assert [r.label for r in found] == ["x", "y", UNKNOWN]
    assert found[0].id == "s3___bucket_a.mp4"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("list.csv", b"uri,label\na,\n", "list.csv: row 1 has no label"),
        ("list.csv", b"uri,label\n\xff,x\n", "is not CSV in UTF-8"),
        ("list.parquet", b"PAR0", "list.parquet: is not Parquet"),
        ("part.txt", b"http://v/a 1,2\nhttp://v/b\n", "part.txt, line 2: expected an address, a space and label"),
        ("part.txt", b"http://v/a 487\n", "part.txt, line 1: label 487 is outside 0 to 486"),
        ("part.txt", b"\xff\n", "part.txt: is not UTF-8 text"),
    ],
)
def test_a_bad_list_is_one_sentence(tmp_path: Path, name: str, data: bytes, sentence: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as failure:
        find_recordings(tmp_path / name)
    assert sentence in str(failure.value)
    assert "\n" not in str(failure.value)


def test_sports1m_lists_become_classes_unknown_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "tttt.mkv").write_bytes(b"")
    (tmp_path / "part.txt").write_text(
        "http://www.youtube.com/watch?v=tttt 54\n"
        "http://www.youtube.com/watch?v=both 54,356\n"
        "http://www.youtube.com/watch?v=none 0\n"
        "http://www.youtube.com/watch?v=run1 202,205\n"
    )
    found = find_recordings(tmp_path / "part.txt", media=tmp_path / "media")
    assert [(r.id, r.label) for r in found] == [("tttt", "tennis"), ("none", UNKNOWN), ("run1", "athletics")]
    assert found[0].uri == str(tmp_path / "media" / "tttt.mkv")
    assert found[1].uri == "http://www.youtube.com/watch?v=none"
    assert "left out: 1 videos with labels of several classes" in capsys.readouterr().err


def test_the_89_labels_make_the_25_classes_of_the_reference():
    table = load_labels()
    assert len(table.classes) == 89
    assert len(set(table.classes.values())) == 25
    assert max(table.classes) < LABELS
    assert len(load_labels(extra=True).classes) == 151
    assert table(frozenset({356, 386})) == "soccer"
    assert load_labels("s1m25-v1-literal")(frozenset({356})) == "football"
    assert table(frozenset({54, 0})) == "tennis", "a label of no class takes none away"
    assert table(frozenset({54, 1})) == MIXED
    with pytest.raises(DataError, match="label table 'v9' is not one of s1m25-v1, s1m25-v1-literal"):
        load_labels("v9")


def test_the_classes_are_those_of_the_demo_in_the_reference_s_order():
    from cloud_train.synth import LABELS as CLASSES

    assert tuple(dict.fromkeys(load_labels().classes.values())) == CLASSES


def test_a_video_s_id_is_its_own():
    assert video_id("http://www.youtube.com/watch?v=ABPsSSS2uY0&x=1") == "ABPsSSS2uY0"
    assert video_id("https://host/path/clip.01.mp4") == "clip.01"
    assert Recording("a", "b", "c").sha256 == ""
