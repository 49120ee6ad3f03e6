"""What rules have found in a run, on its way into a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_train.recordings import DataError

from .judge import verdicts


def findings_of(run: str | Path, accepted: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Give what each rule has come to in a run, for the manifest; nothing for a run that nobody watched.

    DataError where there is a finding whose rule is not `accepted`.
    """
    found: list[dict[str, Any]] = []
    for verdict in verdicts(run):
        record: dict[str, Any] = {"rule": verdict.rule, "status": verdict.status}
        if verdict.finding is not None:
            record |= {"message": verdict.finding.message, "step": verdict.finding.step, "accepted": True}
        found.append(record | ({"error": verdict.error} if verdict.error else {}))
    open_ = [record for record in found if "message" in record and record["rule"] not in accepted]
    if open_:
        what = "; ".join(f"{record['rule']}: {record['message']}" for record in open_)
        names = ",".join(record["rule"] for record in open_)
        msg = f"{run}: {what}; train again, or take it as it is with --accept-findings {names}"
        raise DataError(msg)
    return found
