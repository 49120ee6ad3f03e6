"""Recordings as people list them: folders and tables; what is wrong is said by line."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from cloud_train.recordings import DataError, find_recordings
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


def test_a_csv_as_a_spreadsheet_saves_it(tmp_path: Path):
    (tmp_path / "list.csv").write_bytes(
        'uri,label\r\n"a, b.mp4", kyūdō \r\n\r\nhttps://h/x?y=1,unknown\r\n'.encode("utf-8-sig")
    )
    first, second = find_recordings(tmp_path / "list.csv")
    assert (first.uri, first.label, first.sha256) == (str(tmp_path / "a, b.mp4"), "kyūdō", "")
    assert (second.id, second.uri, second.label) == ("https___h_x_y_1", "https://h/x?y=1", UNKNOWN)


def test_ids_are_names_of_files_that_stay_in_their_folder(tmp_path: Path):
    names = ["..", "../../x", "é" * 300, "é" * 301]
    (tmp_path / "list.csv").write_text("uri,label,recording\n" + "".join(f"a.mp4,x,{name}\n" for name in names))
    ids = [r.id for r in find_recordings(tmp_path / "list.csv")]
    for name in ids:
        (tmp_path / "shards" / name).mkdir(parents=True)
    assert sorted(ids) == sorted(path.name for path in (tmp_path / "shards").iterdir())


def test_a_parquet_file_with_addresses(tmp_path: Path):
    rows = {"uri": ["s3://bucket/a.mp4", "https://host/b.mp4", "c.mp4"], "label": ["x", "y", "unknown"]}
    parquet.write_table(pa.table({**rows, "more": [1, 2, 3]}), tmp_path / "list.parquet")
    found = find_recordings(tmp_path / "list.parquet")
    assert [r.uri for r in found] == ["s3://bucket/a.mp4", "https://host/b.mp4", str(tmp_path / "c.mp4")]
    assert [r.label for r in found] == ["x", "y", UNKNOWN]
    assert found[0].id == "s3___bucket_a.mp4"


def test_a_parquet_file_of_other_types_is_read_as_text(tmp_path: Path):
    rows = {
        "uri": pa.array(["a.mp4", "b.mp4"], pa.large_string()),
        "label": pa.array(["x", "x"]).dictionary_encode(),
        "recording": pa.array([7, None]),
    }
    parquet.write_table(pa.table(rows), tmp_path / "list.parquet")
    assert [(r.id, r.label) for r in find_recordings(tmp_path / "list.parquet")] == [("7", "x"), ("b.mp4", "x")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"uri": ["a"], "name": ["b"]},
            "has no column 'label'; the columns are uri, label, recording, not 'uri', 'name'",
        ),
        ({"uri": ["a", "b"], "label": ["x", None]}, "list.parquet, row 2: has no label"),
        ({"uri": ["a"], "label": [["x", "y"]]}, "list.parquet: is not Parquet with columns of text"),
        ({"uri": ["a", "b"], "label": ["x", "x"], "recording": ["1", "1"]}, "row 2: recording '1' is listed twice"),
    ],
)
def test_a_bad_parquet_file_is_one_sentence(tmp_path: Path, columns: dict[str, list], sentence: str):
    parquet.write_table(pa.table(columns), tmp_path / "list.parquet")
    with pytest.raises(DataError) as failure:
        find_recordings(tmp_path / "list.parquet")
    assert sentence in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_parquet_file_that_was_cut_off_is_one_sentence(tmp_path: Path):
    parquet.write_table(pa.table({"uri": ["a"] * 9999, "label": ["x"] * 9999}), tmp_path / "list.parquet")
    whole = (tmp_path / "list.parquet").read_bytes()
    (tmp_path / "list.parquet").write_bytes(whole[:4] + bytes(40) + whole[44:])
    with pytest.raises(DataError, match=r"list.parquet: is not Parquet with columns of text \(.+\)$"):
        find_recordings(tmp_path / "list.parquet")


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("list.csv", b"", "has no column 'label'; the columns are uri, label, recording, and it has none"),
        (
            "list.csv",
            b"uri;label\na;x\n",
            "has no column 'label'; the columns are uri, label, recording, not 'uri;label'",
        ),
        ("list.csv", b"uri,label,recording\n", "list.csv: no recordings"),
        ("list.csv", b"uri,label\na,x\nb\n", "list.csv, line 3: has no label"),
        ("list.csv", b"uri,label\n ,x\n", "list.csv, line 2: has no uri"),
        ("list.csv", b"uri,label\na,x\n\xff,x\n", "list.csv, line 3: is not UTF-8 text"),
        ("list.csv", b"uri,label\na,b,c,x\n", "list.csv, line 2: has more fields than the table has columns"),
        ("list.csv", b'uri,label\n"a,x\n', "list.csv, line 2: is not CSV (unexpected end of data)"),
        ("list.csv", b"uri,label\ngs://b/a.mp4,x\n", "line 2: 'gs://b/a.mp4' is no path, and no address that begins"),
        (
            "list.csv",
            b"uri,label,recording\na,x,one\n\nb,x,one\n",
            "line 4: recording 'one' is listed twice; the first is line 2",
        ),
        ("list.parquet", b"PAR0", "list.parquet: is not Parquet"),
        ("nowhere", None, "nowhere: no such folder or table"),
    ],
)
def test_a_bad_list_is_one_sentence(tmp_path: Path, name: str, data: bytes | None, sentence: str):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as failure:
        find_recordings(tmp_path / name)
    assert sentence in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_file_whose_name_is_not_utf8_is_one_sentence(tmp_path: Path):
    (tmp_path / "calm").mkdir()
    (tmp_path / "calm" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"")
    with pytest.raises(DataError, match=r"the name 'calm/caf.*\.mp4' is not UTF-8; rename it"):
        find_recordings(tmp_path)
