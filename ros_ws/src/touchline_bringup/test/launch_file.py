"""Launch files read where `launch`, which they import, is not installed."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

LAUNCH = Path(__file__).parents[1] / "launch"


def without_launch(name: str) -> SimpleNamespace:
    """Run a launch file but for its imports of `launch`: its tables and those functions that need none of it."""
    path = LAUNCH / name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("launch"))
    ]
    names = {"__file__": str(path), "__name__": path.stem}
    exec(compile(tree, path, "exec"), names)
    return SimpleNamespace(**names)
