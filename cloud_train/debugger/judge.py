"""Rules over a run, again and again while it grows: what each has come to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .finding import Finding
from .rules import Rule
from .saved import FINDINGS, FORMAT, debug_place, from_json, to_json
from .trial import Trial

log = logging.getLogger(__name__)

Status = Literal["InProgress", "NoIssuesFound", "IssuesFound", "Error"]


@dataclass(frozen=True)
class Verdict:
    """What a rule has come to: its status, its finding if it has one, and why it could not judge if it could not."""

    rule: str
    status: Status = "InProgress"
    parameters: dict[str, Any] = field(default_factory=dict)
    finding: Finding | None = None
    error: str = ""


@dataclass(frozen=True)
class Verdicts:
    """What all rules of a run have come to, as its `findings.json` holds it."""

    rules: tuple[Verdict, ...]
    format: int = FORMAT


class Judge:
    """Asks rules about a trial: `push` after each saved step, `flush` when there will be no more."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self.verdicts = {rule.name: Verdict(rule.name, parameters=dict(rule.parameters)) for rule in rules}

    def push(self, trial: Trial) -> list[Finding]:
        """Ask each rule that has found nothing yet; return what is new."""
        found = []
        with ThreadPoolExecutor(1) as thread:  # a rule may raise anything: a future keeps it, and the others go on
            for name, verdict in self.verdicts.items():
                if verdict.finding is not None:
                    continue
                asked = thread.submit(self._rules[name], trial)
                error = asked.exception()
                if error is not None:
                    self._fail(verdict, error)
                    continue
                finding = asked.result()
                status: Status = "IssuesFound" if finding else "InProgress"
                self.verdicts[name] = replace(verdict, status=status, finding=finding, error="")
                found += [finding] if finding else []
        return found

    def flush(self, trial: Trial) -> list[Finding]:
        """Ask once more, at the end; what has found nothing has no issues."""
        found = self.push(trial)
        for name, verdict in self.verdicts.items():
            if verdict.status == "InProgress":
                self.verdicts[name] = replace(verdict, status="NoIssuesFound")
        return found

    def write(self, run: str | Path) -> None:
        """Leave the verdicts with the run, beside those of other rules that were asked before."""
        others = {verdict.rule: verdict for verdict in verdicts(run)}
        debug_place(run).write(FINDINGS, to_json(Verdicts(tuple({**others, **self.verdicts}.values()))))

    def _fail(self, verdict: Verdict, error: BaseException) -> None:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if verdict.error != said:
            log.warning("rule %s cannot judge: %s", verdict.rule, said)
        log.debug("rule %s", verdict.rule, exc_info=error)
        self.verdicts[verdict.rule] = replace(verdict, status="Error", error=said)


def verdicts(run: str | Path) -> tuple[Verdict, ...]:
    """Read what the rules of a run have come to; nothing where none was asked."""
    place = debug_place(run)
    found = place.read(FINDINGS)
    return () if found is None else from_json(found, Verdicts, f"{place}/{FINDINGS}").rules
