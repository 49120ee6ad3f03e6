"""The unit that `touchline install-service` writes, as systemd's own tools judge it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge import service
from edge.__main__ import main
from edge.template import template


@pytest.fixture
def systemd() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing; make test installs it")


def analyzed(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments, str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def unit(tmp_path) -> Path:
    """The unit with a program that is there, as `verify` wants one."""
    path = tmp_path / service.NAME
    path.write_text(service.unit(Path("/bin/true"), Path("/etc/touchline/touch line 100%.toml")))
    return path


@pytest.mark.usefixtures("systemd")
def test_systemd_has_nothing_to_say_against_it(unit: Path):
    done = analyzed(unit, "verify")
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=often\nWatchdogg=1"))
    wrong = analyzed(unit, "verify").stderr
    assert "often" in wrong
    assert "Watchdogg" in wrong


@pytest.mark.usefixtures("systemd")
def test_it_is_exposed_no_more_than_2_of_10(unit: Path):
    done = analyzed(unit, "security", "--offline=true", "--threshold=20")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert analyzed(unit, "security", "--offline=true", "--threshold=5").returncode != 0


def test_odd_paths_reach_the_command_whole(unit: Path):
    assert 'ExecStart=/bin/true run --quiet --config "/etc/touchline/touch line 100%%.toml"\n' in unit.read_text()


def test_dry_run_prints_it_and_changes_nothing(tmp_path: Path, capsys):
    assert main(["install-service", "--dry-run", "--config", "/etc/touchline/t.toml", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed == service.unit(service.installed(), Path("/etc/touchline/t.toml"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("systemd")
def test_it_goes_into_an_image_and_starts_at_boot(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(service, "installed", lambda: Path("/opt/touchline/bin/touchline"))
    config = tmp_path / "etc" / "touchline" / "touchline.toml"
    config.parent.mkdir(parents=True)
    arguments = ["install-service", "--root", str(tmp_path)]
    for text, sentence in (
        (None, "touchline.toml: cannot be read"),
        ("[source]\nurll = 1\n", "urll"),
        (template({}), "names no source"),
    ):
        if text is not None:
            config.write_text(text)
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err
    config.write_text(template({"source.url": "/srv/match.mp4"}))
    assert main(arguments) == 0
    installed = tmp_path / service.FOLDER / service.NAME
    assert "ExecStart=/opt/touchline/bin/touchline run" in installed.read_text()
    wanted = tmp_path / service.FOLDER / "multi-user.target.wants" / service.NAME
    assert wanted.is_symlink()


def test_what_a_service_cannot_read_is_refused(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(service, "installed", lambda: Path("/home/me/venv/bin/touchline"))
    config = tmp_path / "etc" / "touchline" / "touchline.toml"
    config.parent.mkdir(parents=True)
    config.write_text(template({"source.url": "/srv/match.mp4"}))
    assert main(["install-service", "--root", str(tmp_path)]) == 2
    assert "a service sees nothing below /home; put it below /opt or /etc" in capsys.readouterr().err
    assert not (tmp_path / service.FOLDER).exists()
