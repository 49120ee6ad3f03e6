"""What may not cross: imports from cloud to edge, weight at start-up, size, and traces of one machine."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_ON_A_DEVICE = {"cloud_train", "keras", "rclpy", "tensorflow", "xgboost"}
NOT_AT_START = {"ai_edge_litert", "av", "cv2", "numpy"}
START_SECONDS = 0.3
MOST_LINES = 400
# In two halves, or this file would find itself.
OF_ONE_MACHINE = re.compile("|".join([r"pypi\." + "org", "python" + "hosted", r"(?<!\w)/wo" + r"rk/"]))


def files_of_the_repository() -> list[Path]:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def test_edge_never_imports_the_cloud():
    modules = sorted((ROOT / "edge").rglob("*.py"))
    assert modules
    crossing = {str(path.relative_to(ROOT)): imported(path.read_text()) & NOT_ON_A_DEVICE for path in modules}
    assert {name: roots for name, roots in crossing.items() if roots} == {}


@pytest.mark.parametrize("arguments", [["-c", "import edge"], ["-m", "edge", "--help"]], ids=" ".join)
class TestStart:
    def test_imports_nothing_heavy(self, arguments):
        command = [sys.executable, "-X", "importtime", *arguments]
        ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
        assert "edge" in loaded
        assert loaded & NOT_AT_START == set()

    def test_is_quick(self, arguments):
        assert min(seconds([sys.executable, *arguments]) for _ in range(5)) <= START_SECONDS


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def test_no_python_file_is_long():
    modules = [path for path in files_of_the_repository() if path.suffix == ".py"]
    assert modules
    lines = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in modules}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_text_file_names_a_registry_or_a_path_of_one_machine():
    found = {}
    for path in files_of_the_repository():
        data = path.read_bytes()
        if b"\0" not in data and (match := OF_ONE_MACHINE.search(data.decode(errors="replace"))):
            found[str(path.relative_to(ROOT))] = match.group()
    assert found == {}
