"""What a person gets who installs the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edge

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_holds_both_packages_the_licence_and_the_demo_bundle(wheel):
    names = set(wheel.namelist())
    info = f"touchline-{edge.__version__}.dist-info"
    wanted = {
        "cloud_train/__init__.py",
        "edge/__init__.py",
        "edge/bundles/demo/manifest.json",
        f"{info}/METADATA",
        f"{info}/licenses/LICENSE",
    }
    assert wanted - names == set()


def test_holds_nothing_else(wheel):
    roots = {name.partition("/")[0] for name in wheel.namelist()}
    assert roots == {"cloud_train", "edge", f"touchline-{edge.__version__}.dist-info"}


def test_installs_both_commands(wheel):
    entry_points = wheel.read(f"touchline-{edge.__version__}.dist-info/entry_points.txt").decode()
    assert "touchline = edge.__main__:main" in entry_points
    assert "touchline-train = cloud_train.__main__:main" in entry_points
