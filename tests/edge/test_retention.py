"""Quotas on disk: the oldest events go first, whole, and what is young stays."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import made

from edge.__main__ import main
from edge.retention import Retention
from edge.sinks import JsonLines

KILOBYTE = 1024
MATCH = Path(__file__).parents[2] / "examples" / "match.mp4"


def event(folder: Path, name: str, *, age: float, kilobytes: int = 64) -> Path:
    """An event's folder that last changed `age` seconds ago."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "clip.mp4").write_bytes(os.urandom(kilobytes * KILOBYTE))
    (path / "event.json").write_text("{}")
    for each in (*path.iterdir(), path):
        os.utime(each, (time.time() - age,) * 2)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_oldest_go_until_the_quota_is_kept(tmp_path: Path):
    for k in range(10):
        event(tmp_path, f"e{k}", age=1000 - 10 * k)
    retention = Retention({tmp_path: 400 * KILOBYTE})
    retention(made.event_message(1, "new"))
    assert len(names(tmp_path)) == 10
    retention(made.event_message(2, "end"))
    left = names(tmp_path)
    assert left == {f"e{k}" for k in range(10 - len(left), 10)}
    assert 4 <= len(left) <= 5


def test_what_is_young_stays_whatever_the_quota(tmp_path: Path):
    event(tmp_path, "old", age=1000)
    event(tmp_path, "young", age=5)
    Retention({tmp_path: 0}).look()
    assert names(tmp_path) == {"young"}


def test_a_disk_that_fills_up_costs_old_events_too(tmp_path: Path):
    event(tmp_path, "oldest", age=1000, kilobytes=4000)
    event(tmp_path, "old", age=500, kilobytes=4000)
    free = shutil.disk_usage(tmp_path).free
    Retention({tmp_path: 10**12}, free_bytes=free - 1_000_000_000).look()
    assert names(tmp_path) == {"oldest", "old"}
    Retention({tmp_path: 10**12}, free_bytes=shutil.disk_usage(tmp_path).free + 10**10).look()
    assert names(tmp_path) == set()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path):
    kept = event(tmp_path / "elsewhere", "kept", age=1000)
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    Retention({folder: -1, tmp_path / "missing": 0}).look()
    assert names(folder) == set()
    assert names(kept) == {"clip.mp4", "event.json"}


def test_json_lines_turn_over_at_their_limit(tmp_path: Path):
    path = tmp_path / "all.jsonl"
    sink = JsonLines(path, limit_bytes=4 * KILOBYTE)
    for k in range(20):
        sink(made.tick(k, float(k)))
    sink.close()
    lines = [*(tmp_path / "all.jsonl.1").read_bytes().splitlines(), *path.read_bytes().splitlines()]
    assert b'"seq":19,' in lines[-1]
    assert names(tmp_path) == {"all.jsonl", "all.jsonl.1"}
    assert max(file.stat().st_size for file in tmp_path.iterdir()) < 6 * KILOBYTE


def test_a_run_keeps_to_its_quotas(tmp_path: Path, state_home: Path):
    clips = state_home / "touchline" / "clips"
    for k in range(5):
        event(clips, f"e{k}", age=1000 - k, kilobytes=600)
    config = tmp_path / "t.toml"
    config.write_text("[quotas]\nclips_mb = 1\nfree_mb = 0\njsonl_mb = -1\n")
    arguments = ["run", str(MATCH), "--quiet", "--config", str(config)]
    assert main(arguments) == 2
    config.write_text("[quotas]\nclips_mb = 1\nfree_mb = 0\n")
    assert main(arguments) == 0
    assert names(clips) == {"e4"}
