"""The docs and the code say the same: links lead somewhere, generated parts are fresh, commands exist.

`python tests/test_docs.py` writes the generated parts anew.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
import typing
from pathlib import Path

import pytest

from cloud_train.__main__ import parser as train_parser
from edge.__main__ import parser as edge_parser
from edge.config import Config
from edge.manifest import Manifest
from edge.speech.formats import SYSTEMS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def definitions(path: Path) -> set[str]:
    """The names that a Python file defines at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def anchors(path: Path) -> set[str]:
    """The anchors of a Markdown page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_to_a_name_in_it(page: Path):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, name = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {link} leads nowhere"
        if name:
            known = definitions(path) if path.suffix == ".py" else anchors(path)
            assert name in known, f"{page.name}: {link}: {path.name} has no {name}"


def test_the_walk_names_each_file_of_the_device_half():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in ("clip", "bundle", "sources", "windows", "features", "tflite", "fusion", "pipeline", "events", "sinks"):
        assert f"../edge/{name}.py" in page


def commands(page: Path) -> list[list[str]]:
    """The touchline commands in a page's code blocks."""
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if re.match(r"(\.venv/bin/)?touchline(-train)? ", line)]
    return [[Path(line[0]).name, *line[1:]] for line in words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_documented_command_is_understood(page: Path):
    for program, *arguments in commands(page):
        chosen = edge_parser() if program == "touchline" else train_parser()
        try:
            chosen.parse_args(arguments)
        except SystemExit as end:
            assert end.code == 0, f"{page.name}: {program} {shlex.join(arguments)}"  # noqa: PT017


def manifest_table() -> str:
    """The objects of the manifest with their fields, from its dataclasses."""
    rows = ["| object | fields | what |", "|---|---|---|"]

    def walk(cls: type, path: str) -> None:
        hints, nested = typing.get_type_hints(cls), {}
        for name, hint in hints.items():
            part = next((part for part in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(part)), None)
            if part is not None:
                nested[f"{path}{name}" + (".NAME" if typing.get_origin(hint) is dict else "")] = part
        fields = ", ".join(f"`{f.name}`" for f in dataclasses.fields(cls))
        rows.append(f"| `{path.rstrip('.') or 'manifest.json'}` | {fields} | {cls.__doc__.splitlines()[0]} |")
        for key, part in nested.items():
            walk(part, f"{key}.")

    walk(Manifest, "")
    return "\n".join(rows)


def settings() -> str:
    """The configuration with its defaults, as TOML."""
    config = dataclasses.asdict(Config())
    tables = {name: value for name, value in config.items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in config.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(["```toml", *lines, "```"])


def systems() -> str:
    """The phone systems whose formats are known by name."""
    rows = ["| `--format` | is | as documented at |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | `{each.format}` | {each.source} |" for name, each in SYSTEMS.items())])


GENERATED = {
    ("docs/bundle.md", "manifest-keys"): manifest_table,
    ("docs/speech.md", "systems"): systems,
    ("README.md", "settings"): settings,
}


def generated(page: Path, mark: str, content: str) -> str:
    """The page's text with the part between the marks replaced."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {mark}: generated by tests/test_docs.py -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"{page.name} has no part marked {mark}"
    return f"{before}{begin}\n{content}\n{end}{after}"


@pytest.mark.parametrize(("name", "mark"), GENERATED)
def test_generated_parts_are_fresh(name: str, mark: str):
    page = ROOT / name
    fresh = generated(page, mark, GENERATED[name, mark]())
    assert page.read_text(encoding="utf-8") == fresh, "run: python tests/test_docs.py"


if __name__ == "__main__":
    for (page_name, part), make in GENERATED.items():
        target_page = ROOT / page_name
        target_page.write_text(generated(target_page, part, make()), encoding="utf-8")
