"""What a person gets who installs the wheel."""

import json
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import edge
from edge.extras import extra_of

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
        f"{info}/licenses/cloud_train/labels/LICENSE",
    }
    assert wanted - names == set()


def test_holds_nothing_else(wheel):
    roots = {name.partition("/")[0] for name in wheel.namelist()}
    assert roots == {"cloud_train", "edge", f"touchline-{edge.__version__}.dist-info"}


def test_installs_both_commands(wheel):
    entry_points = wheel.read(f"touchline-{edge.__version__}.dist-info/entry_points.txt").decode()
    assert "touchline = edge.__main__:main" in entry_points
    assert "touchline-train = cloud_train.__main__:main" in entry_points


def test_every_extra_is_named_to_who_lacks_it():
    named = {extra_of(re.split(r"[<>=\[; ]", line)[0]) for line in metadata.requires("touchline") if "extra ==" in line}
    assert named == set(metadata.metadata("touchline").get_all("Provides-Extra"))


@pytest.mark.parametrize(
    ("main", "module", "arguments", "sentence"),
    [
        ("edge", "rosbags", ["run", "match.mcap", "--quiet"], r"touchline: .*pip install touchline\[ros\]"),
        (
            "cloud_train",
            "gymnasium",
            ["rl", "train", "--env", "X-v0", "--out", "o"],
            r".*pip install 'touchline\[train,rl\]'",
        ),
        (
            "cloud_train",
            "matplotlib",
            [],
            r"touchline-train: matplotlib is not installed, it comes with the extra train: ",
        ),
    ],
)
def test_a_command_says_which_extra_it_needs(main, module, arguments, sentence, tmp_path):
    lacking = f"import sys; sys.modules[{module!r}] = None; from {main}.__main__ import main, _explain\n"
    run = f"sys.exit(main({arguments!r}))" if arguments else EXPLAINED
    done = subprocess.run(
        [sys.executable, "-c", lacking + run], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert re.match(sentence, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


EXPLAINED = """
try:
    import matplotlib
except ModuleNotFoundError as error:
    sys.exit(_explain(error))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wheels_and_sdist_work_outside_the_checkout_on_every_python(tmp_path):
    """On each that is here; two builds are the same, byte for byte."""
    script = ROOT / "scripts" / "try-wheels"
    figures = tmp_path / "wheels.json"
    command = [sys.executable, str(script), "--extras", "base,web", "--json", str(figures)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = json.loads(figures.read_text())
    assert tried["same"]
    here = f"{sys.version_info.major}.{sys.version_info.minor}."
    assert any(row["python"].startswith(here) for row in tried["tried"])
    assert {(row["from"], row["extra"]) for row in tried["tried"]} == {
        (".whl", "base"),
        (".gz", "base"),
        (".whl", "web"),
    }
