"""The process in which kfp runs a compiled pipeline: `python -m cloud_train.pipelines.execute FOLDER`.

Everything that kfp and the steps print goes where this process prints; what matters is in the log of steps.
"""

from __future__ import annotations

import copy
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.parallel import end_with

from .record import YAML, load, steps
from .step import RUNNER

OUTPUT = "output.json"
ALWAYS = "ALL_UPSTREAM_TASKS_COMPLETED"
"""The trigger policy by which the compiled pipeline marks the task of an exit handler."""


def main(folder: Path) -> int:
    """Run the pipeline of a run's folder; 1 where a step failed, after what cleans up has run."""
    import kfp.local

    end_with(os.getppid())
    signal.signal(signal.SIGTERM, lambda *_: None)  # steps end by themselves; this process cleans up after them
    os.environ[RUNNER] = str(os.getpid())
    arguments = load(folder).arguments
    kfp.local.init(kfp.local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "kfp"), raise_on_error=False)
    text = (folder / YAML).read_text(encoding="utf-8")
    output = _call(text, arguments)
    found = steps(folder).values()
    failed = not found or any(step.state not in ("done", "kept") for step in found)
    if failed:
        for cleaning in _exit_tasks(text):
            _call(cleaning, arguments)
        return 1
    write_atomically(folder / OUTPUT, msgspec.json.encode(output))
    return 0


def _call(text: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the pipeline's output
    from kfp import components

    task = components.load_component_from_text(text)(**arguments)
    return task.outputs.get("Output") if task.outputs else None


def _exit_tasks(text: str) -> list[str]:
    """Give, for each exit handler, a pipeline of its exit task alone.

    kfp's local runner runs an exit task only after success (2.16, and 2.17 for some graphs), so that it is run here
    after a failure; twice does no harm.
    """
    import yaml

    whole = yaml.safe_load(text)
    found = []
    for name, task in whole["root"]["dag"]["tasks"].items():
        if task.get("triggerPolicy", {}).get("strategy") == ALWAYS:
            alone = copy.deepcopy(whole)
            kept = {key: value for key, value in task.items() if key not in ("dependentTasks", "triggerPolicy")}
            alone["root"]["dag"] = {"tasks": {name: kept}}
            alone["root"].pop("outputDefinitions", None)
            found.append(yaml.safe_dump(alone))
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
