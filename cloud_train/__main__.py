"""The command `touchline-train`: each subcommand is one function; TensorFlow is loaded only where it is needed."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from edge import __version__
from edge.commands import RUN_ERROR, USAGE_ERROR

from .cli import cloud, data, debugging, inspecting, judging, pipelines, policies, reporting, training

TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 2 for usage and data, 1 for failure at run time.

    143 after SIGTERM, when what was under way has been saved.
    """
    arguments = parser().parse_args(argv)
    return explained(lambda: arguments.command(arguments))


def explained(command: Callable[[], int]) -> int:
    """Run what a command line asks for; say an expected error in one sentence and give its exit code."""
    try:
        return command()
    except KeyboardInterrupt:
        sys.stderr.write("\ntouchline-train: stopped; finished work is kept\n")
        return 130
    except Exception as error:  # noqa: BLE001 - what is not expected is raised again
        return _explain(error)


def _explain(error: Exception) -> int:
    """Say an expected error in one sentence; anything else is a bug and keeps its traceback."""
    from edge.extras import advice
    from edge.manifest import BundleError
    from edge.sources import SourceError

    from .aws import CloudError
    from .recordings import DataError, TrainingError
    from .stop import Stopped

    if isinstance(error, ModuleNotFoundError) and (said := advice(error)):
        sys.stderr.write(f"touchline-train: {said}\n")
        return USAGE_ERROR
    if isinstance(error, OSError) and error.strerror:  # a disk that is full, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"touchline-train: {where}{error.strerror.lower()}; finished work is kept\n")
        return RUN_ERROR
    if not isinstance(error, DataError | TrainingError | CloudError | BundleError | SourceError | Stopped):
        raise error
    sys.stderr.write(f"touchline-train: {error}\n")
    if isinstance(error, Stopped):
        return TERMINATED
    return USAGE_ERROR if isinstance(error, DataError) else RUN_ERROR


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(
        prog="touchline-train",
        description="Labelled recordings into a bundle of models for the device.",
        epilog="example: touchline-train all --preset demo --out /tmp/demo",
    )
    top.add_argument("--version", action="version", version=f"touchline {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        training.add_all,
        data.add_synth,
        data.add_extract,
        data.add_split,
        inspecting.add_inspect,
        training.add_fit,
        judging.add_fuse,
        judging.add_export,
        judging.add_refuse,
        judging.add_evaluate,
        cloud.add_train,
        cloud.add_submit,
        policies.add_rl,
        pipelines.add_pipeline,
        pipelines.add_runs,
        debugging.add_xgboost,
        debugging.add_watch,
        reporting.add,
    ):
        add(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
