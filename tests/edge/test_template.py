"""`touchline init`: a configuration that says everything and means the defaults."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.config import Config, read_config
from edge.template import COMMENTS, template


def keys() -> set[str]:
    found = set()
    for name, value in dataclasses.asdict(Config()).items():
        found |= {name, *(f"{name}.{key}" for key in value)} if isinstance(value, dict) else {name}
    return found


def test_every_key_is_explained_and_nothing_else():
    assert set(COMMENTS) == keys()


def test_it_means_the_defaults_also_with_every_key_switched_on(tmp_path: Path):
    path = tmp_path / "t.toml"
    path.write_text(template({}))
    assert read_config(path) == Config()
    path.write_text(re.sub(r"^#(\w+ = )", r"\1", template({}), flags=re.MULTILINE))
    assert read_config(path) == Config()
    assert sum(line.startswith(tuple("abcdefghijklmnopqrstuvwxyz")) for line in path.read_text().splitlines()) == len(
        keys()
    ) - sum(isinstance(value, dict) for value in dataclasses.asdict(Config()).values())


def test_init_writes_what_it_is_told_and_replaces_nothing(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--source", "match.mp4", "--mqtt", "mqtt://broker.local", "--node", "truck1"]) == 0
    assert capsys.readouterr().out == "touchline.toml: written; next: touchline run --config touchline.toml\n"
    config = read_config("touchline.toml")
    assert (config.source.url, config.mqtt.url, config.mqtt.node) == ("match.mp4", "mqtt://broker.local", "truck1")
    before = Path("touchline.toml").read_text()
    assert main(["init"]) == 2
    assert "touchline.toml: is there already" in capsys.readouterr().err
    assert Path("touchline.toml").read_text() == before
    assert main(["init", "--force"]) == 0
    assert read_config("touchline.toml") == Config()
    assert main(["init", "no/touchline.toml"]) == 1
    assert "cannot be written (no such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize("odd", ['a "quoted" name', "späte Übertragung", "back\\slash"])
def test_odd_values_are_written_as_toml(tmp_path: Path, odd: str):
    (tmp_path / "t.toml").write_text(template({"source.url": odd}), encoding="utf-8")
    assert read_config(tmp_path / "t.toml").source.url == odd
