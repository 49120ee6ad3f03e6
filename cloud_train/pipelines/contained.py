"""A subcommand as a job in a container: `python -m cloud_train.pipelines.contained fit rgb ...`.

Data come from the channel, work goes on in the checkpoints, and what is finished lies in the model folder; a job that
was asked to stop ends with 0 and an empty model folder, one that failed leaves its reason where SageMaker looks for it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence

from cloud_train.__main__ import explained, parser
from cloud_train.cluster import PARENT
from cloud_train.parallel import end_with
from cloud_train.recordings import TrainingError
from cloud_train.sagemaker import channel, container, failures_told
from cloud_train.stop import Stopped, listen

from .jobs.spec import NODE

WORK = "work"


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand; `{data}` and `{out}` in its arguments become the container's folders, `{node}` its address."""
    here = container(os.environ)
    listen()
    if PARENT in os.environ:
        end_with(int(os.environ[PARENT]))
    with failures_told(here):
        if here is None:
            msg = "this is no container: /opt/ml/input/config is missing"
            raise TrainingError(msg)
        out = here.checkpoints / WORK
        places = {
            "{out}": lambda: str(out),
            "{data}": lambda: str(channel(here, os.environ)),
            "{node}": lambda: os.environ[NODE],
        }
        chosen = parser().parse_args([_filled(argument, places) for argument in arguments])
        try:
            code: int = chosen.command(chosen)
        except Stopped as end:
            sys.stdout.write(f"{end}\n")
            return 0
        if code == 0 and out.is_dir():
            for file in (file for file in out.iterdir() if file.is_file() and not file.name.startswith(".")):
                shutil.copy2(file, here.model / file.name)
        return code


def _filled(argument: str, places: dict[str, Callable[[], str]]) -> str:
    for place, where in places.items():
        if place in argument:
            argument = argument.replace(place, where())
    return argument


if __name__ == "__main__":
    sys.exit(explained(lambda: main(sys.argv[1:])))
