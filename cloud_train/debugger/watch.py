"""Rules beside a job: asked again and again while its run grows, shown as a table, acted upon."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cloud_train.recordings import DataError

from .actions import Action, act
from .judge import Judge, Verdict
from .rules import Rule
from .saved import End
from .trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

COLOURS = {"InProgress": "cyan", "NoIssuesFound": "green", "IssuesFound": "bold red", "Error": "yellow"}


def watch(
    run: str | Path,
    rules: Sequence[Rule],
    actions: Sequence[Action] = (),
    *,
    every: float = 2.0,
    wait: float = 60.0,
    console: Console | None = None,
) -> list[Verdict]:
    """Ask the rules every so many seconds until the job ends, act on each finding, and return what they came to.

    A run that has not begun is waited for, `wait` seconds. A job of this machine whose process is gone has ended.
    """
    trial = _begun(run, wait)
    judge = Judge(rules)
    with _shown(console or Console(highlight=False), trial) as show:
        while True:
            trial.refresh()
            over = trial.end is not None or gone(trial)
            for finding in judge.flush(trial) if over else judge.push(trial):
                act(actions, finding, trial.run.job)
            judge.write(run)
            show(judge.verdicts)
            if over:
                return list(judge.verdicts.values())
            time.sleep(every)


def gone(trial: Trial) -> bool:
    """Say whether the job ran on this machine and its process is no more."""
    return trial.run.host == socket.gethostname() and not psutil.pid_exists(trial.run.pid)


def ended(trial: Trial) -> str:
    """Say in a sentence how far the job is."""
    steps = trial.steps()
    where = f"at step {steps[-1]}" if steps else "before its first step"
    if trial.end is None:
        process = f"its process {trial.run.pid} is gone, and it has not said how it ended"
        return f"{trial.run.job}: {process if gone(trial) else 'running'}, {where}"
    return _sentence(trial.run.job, trial.end, where)


def _sentence(job: str, end: End, where: str) -> str:
    best = "" if end.best_step is None else f"; best step {end.best_step}"
    return f"{job}: {end.status} {where}{best}" + (f"; {end.reason}" if end.reason else "")


def _begun(run: str | Path, wait: float) -> Trial:
    deadline = time.monotonic() + wait
    while True:
        try:
            return Trial(run)
        except DataError:
            if time.monotonic() > deadline:
                raise
        time.sleep(min(0.5, max(wait, 0.01)))


@contextmanager
def _shown(console: Console, trial: Trial) -> Iterator[Callable[[Mapping[str, Verdict]], None]]:
    """Show a table that changes in place; where the output is no terminal, a line for each change."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda verdicts: live.update(_table(trial, verdicts), refresh=True)
        return
    said: dict[str, str] = {}

    def lines(verdicts: Mapping[str, Verdict]) -> None:
        for name, verdict in verdicts.items():
            line = f"{name} {verdict.status}" + (f": {_what(verdict)}" if _what(verdict) else "")
            if said.get(name) != line:
                console.print(line, soft_wrap=True, markup=False)
                said[name] = line

    yield lines
    console.print(ended(trial), soft_wrap=True, markup=False)


def _table(trial: Trial, verdicts: Mapping[str, Verdict]) -> Table:
    table = Table(caption=ended(trial), caption_justify="left")
    for head in ("rule", "status", "step", "what, and what to do"):
        table.add_column(head, overflow="fold")
    for name, verdict in verdicts.items():
        colour, finding = COLOURS[verdict.status], verdict.finding
        what = f"{finding.message}\n[dim]{finding.advice}[/dim]" if finding else verdict.error
        table.add_row(name, f"[{colour}]{verdict.status}[/]", str(finding.step) if finding else "", what)
    return table


def _what(verdict: Verdict) -> str:
    return verdict.finding.message if verdict.finding else verdict.error
