"""The images: their recipes are sound, and all that they copy is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = ["Dockerfile.jetson", "Dockerfile.train"]
STEP = ROOT / "scripts" / "image-step"


def instructions(recipe: str) -> list[list[str]]:
    """A recipe's instructions as words, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / recipe).read_text(), flags=re.MULTILINE)
    return [line.split() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def of(recipe: str, name: str) -> list[list[str]]:
    return [words[1:] for words in instructions(recipe) if words[0] == name]


@pytest.mark.parametrize("recipe", RECIPES)
def test_hadolint_finds_nothing(recipe: str):
    options = ["--ignore", "DL3013"] if recipe == "Dockerfile.train" else []  # it installs this project, unpinned
    hadolint = [str(Path(sys.executable).with_name("hadolint")), "--no-color", *options]
    done = subprocess.run([*hadolint, str(ROOT / recipe)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    wrong = subprocess.run(
        [*hadolint, "-"], check=False, capture_output=True, input="FROM debian\nRUN cd /x\n", text=True
    )
    assert wrong.returncode == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_copied_is_there_and_sent(recipe: str):
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [words for words in of(recipe, "COPY") if not words[0].startswith("--from")]
    assert copied
    for words in copied:
        for name in words[:-1]:
            assert (ROOT / name).exists(), name
            assert any(name == one or one.startswith(f"{name}/") or name.startswith(f"{one}/") for one in sent), name


def test_what_is_passed_from_stage_to_stage_is_named():
    stages = {words[2] for words in of("Dockerfile.jetson", "FROM") if words[1:2] == ["AS"]}
    taken = {
        words[0].removeprefix("--from=") for words in of("Dockerfile.jetson", "COPY") if words[0].startswith("--from")
    }
    assert taken == stages == {"build"}


def test_the_appliance_runs_as_nobody_in_particular_and_says_how_it_is():
    assert of("Dockerfile.jetson", "USER") == [["10001"]]
    assert of("Dockerfile.jetson", "ENTRYPOINT") == [['["touchline"]']]
    (health,) = of("Dockerfile.jetson", "HEALTHCHECK")
    alive = next(
        word for words in of("Dockerfile.jetson", "ENV") for word in words if word.startswith("TOUCHLINE_ALIVE=")
    )
    assert alive.partition("=")[2] in " ".join(health)


def test_every_package_of_the_appliance_is_pinned_with_its_hash():
    for lock in ("appliance", "image", "robot"):
        text = (ROOT / "locks" / f"{lock}.txt").read_text()
        packages = re.findall(
            r"^([a-z0-9-]+)==\S+( ;[^\\]*)?(.*)(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE
        )
        assert len(packages) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 5, lock


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("E: You don't have enough free space: No space left on device", "the disk is full"),
        (
            "Temporary failure resolving 'somewhere'",
            "packages cannot be fetched, as there is no network or no name server",
        ),
        ("ERROR: No matching distribution found for av==18.1.0", "a pinned package has no wheel for"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "a package is not the one that is pinned in locks/"),
        ("gcc: internal error", "ended with 7, as said above"),
    ],
)
def test_a_step_that_fails_ends_with_one_sentence(said: str, sentence: str):
    command = [str(STEP), "sh", "-c", f"echo {shlex.quote(said)}; exit 7"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 7
    assert said in done.stdout
    (last,) = done.stderr.splitlines()
    assert last.startswith("The image cannot be built: ")
    assert sentence in last


def test_a_step_that_works_says_its_last_line():
    done = subprocess.run([str(STEP), "sh", "-c", "echo a; echo b"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b\n", "")


def test_compose_understands_the_appliance(tmp_path: Path):
    compose = shutil.which("docker-compose")
    assert compose, "docker-compose is missing; make test installs it"
    done = subprocess.run([compose, "config"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in re.findall(r"^      - \./(examples/\S+?):", (ROOT / "compose.yaml").read_text(), re.MULTILINE):
        assert (ROOT / name).is_file(), name
    (tmp_path / "docker-compose.yml").write_text((ROOT / "compose.yaml").read_text().replace("restart:", "restarts:"))
    wrong = subprocess.run([compose, "config"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert wrong.returncode != 0


def test_shell_scripts_parse():
    for script in ("scripts/build-arm64", "scripts/image-step", "scripts/apt-need"):
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
