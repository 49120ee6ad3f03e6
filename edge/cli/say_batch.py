"""The subcommand `say` with a table of prompts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from edge.commands import RUN_ERROR
from edge.speech.batch import Outcome, run_batch
from edge.speech.finish import Finish
from edge.speech.polly import Polly
from edge.speech.prompts import Failure, Prompt, read_prompts
from edge.speech.say import planned
from edge.speech.voices import Voice
from edge.voice import VoiceError

from .figures import write_json
from .say import tell_plan


def say_batch(arguments: argparse.Namespace, voice: Voice, finish: Finish, polly: Polly) -> int:
    """Make the prompts of a table; bad rows are named at the end, and make the exit code 1."""
    prompts, failures = read_prompts(arguments.batch, voice)
    if arguments.dry_run:
        return _plan(arguments, prompts, failures, polly)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("prompts", total=len(prompts))
        outcome = run_batch(
            prompts,
            arguments.out,
            finish,
            polly=polly,
            fallback=arguments.fallback,
            parallel=arguments.parallel,
            progress=lambda: bar.advance(task),
        )
    outcome.failures[:0] = failures
    write_json(arguments.json, {"prompts": len(prompts) + len(failures), **asdict(outcome)})
    return _tell(arguments, outcome, len(prompts) + len(failures))


def _tell(arguments: argparse.Namespace, outcome: Outcome, prompts: int) -> int:
    cost = f"; {outcome.billed} characters billed in {outcome.requests} requests" if outcome.requests else ""
    sys.stdout.write(f"{arguments.out}: {outcome.made} prompts made, {outcome.kept} were there{cost}\n")
    if outcome.instead:
        said = f"{outcome.instead_of}; {outcome.instead} said by the offline voice instead, until the next run"
        sys.stderr.write(f"touchline: {said}\n")
    _tell_failures(arguments, outcome.failures)
    if outcome.stopped:
        left = prompts - outcome.made - outcome.kept - len(outcome.failures)
        sys.stderr.write(f"touchline: {outcome.stopped}; {left} prompts are left, run the same again to go on\n")
    return RUN_ERROR if outcome.failures or outcome.stopped else 0


def _tell_failures(arguments: argparse.Namespace, failures: Sequence[Failure]) -> None:
    for failure in sorted(failures, key=lambda failure: failure.line):
        sys.stderr.write(f"touchline: {arguments.batch}: {failure}\n")


def _plan(arguments: argparse.Namespace, prompts: list[Prompt], failures: list[Failure], polly: Polly) -> int:
    requests = billed = 0
    for prompt in prompts:
        try:
            more = planned(prompt.text, prompt.voice, arguments.format.rate_hz, polly=polly, ssml=prompt.ssml)
        except VoiceError as error:
            failures.append(Failure(prompt.line, prompt.id, str(error)))
        else:
            requests, billed = requests + more[0], billed + more[1]
    tell_plan(arguments, prompts=len(prompts), requests=requests, billed=billed)
    _tell_failures(arguments, failures)
    return RUN_ERROR if failures else 0
