"""What the rules have found, and what to do about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cloud_train.debugger.judge import Verdict
from cloud_train.page import Section, Table

from .part import Part, counted

ORDER = ("IssuesFound", "Error", "InProgress", "NoIssuesFound")


def rules(verdicts: Sequence[Verdict]) -> Part:
    """List every rule that was asked, those with a finding first."""
    if not verdicts:
        text = "No rule was asked. Ask beside the job, or now: touchline-train watch RUN --rules A,B."
        return Part(Section("Rules", [text]))
    counts = Counter(verdict.status for verdict in verdicts)
    text = f"{counts['IssuesFound']} of {counted(len(verdicts), 'rule')} found something"
    text += f", {counts['Error']} could not judge." if counts["Error"] else "."
    ordered = sorted(verdicts, key=lambda verdict: (ORDER.index(verdict.status), verdict.rule))
    rows = [_row(verdict) for verdict in ordered]
    section = Section("Rules", [text], [Table(("rule", "status", "step", "what", "what to do"), rows)])
    advice = tuple(f"{v.rule}: {v.finding.message}. {v.finding.advice}" for v in ordered if v.finding is not None)
    return Part(section, advice, {"counts": dict(counts)})


def _row(verdict: Verdict) -> tuple[str, ...]:
    found = verdict.finding
    if found is None:
        return (verdict.rule, verdict.status, "", verdict.error, "")
    return (verdict.rule, verdict.status, str(found.step), found.message, found.advice)
