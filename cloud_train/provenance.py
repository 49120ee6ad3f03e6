"""Where a bundle comes from, so that anyone can make it again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runs import Run

PIPELINE_RUN = "TOUCHLINE_PIPELINE_RUN"
"""The environment variable that names the run of a pipeline in which something is made."""


def provenance(runs: Sequence[Run]) -> dict[str, Any]:
    """Record code, data, settings and library versions of the runs that a bundle is made of."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **made_by(),
        "data_sha256": runs[0].data_sha256,
        "runs": {run.modality: {**asdict(run.args), "training_seconds": round(run.seconds, 1)} for run in runs},
        "libraries": {name: version(name) for name in ("keras", "numpy", "opencv-python-headless")},
    }


def made_by() -> dict[str, str]:
    """Name the code, and the run of a pipeline where there is one."""
    run = os.environ.get(PIPELINE_RUN)
    return {"git_commit": git_commit(), **({"pipeline_run": run} if run else {})}


def git_commit() -> str:
    """Give the commit of this code, with `+changes` if it was edited, or `unknown` outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+changes"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
