"""What was trained, how it ended, and how good it became: the first thing to read."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from cloud_train.debugger.trial import Trial
from cloud_train.page import Section, Table

from .part import Part, listed, number, times

FRAMEWORKS = {"keras": "Keras", "xgboost": "XGBoost", "other": "a training loop of one's own"}


def summary(trial: Trial, headline: Mapping[str, str], missing: list[str], *, at: datetime | None = None) -> Part:
    """Say what the run is and how it ended; `headline` are the figures that matter, `missing` what has no section."""
    at = at or datetime.now(timezone.utc)
    run, steps = trial.run, trial.steps()
    began, ended = datetime.fromisoformat(run.started), _ended(trial)
    rows = [
        ("job", run.job),
        ("trained with", FRAMEWORKS[run.framework] + (f", {run.objective}" if run.objective else "")),
        ("started", began.strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("took", times((ended - began).total_seconds())),
        ("saved", f"{len(steps)} steps, {steps[0]} to {steps[-1]}"),
        *((f"{name} rows", f"{count:,}") for name, count in run.rows.items()),
        *((("features", f"{len(run.features):,}"),) if run.features else ()),
        *((("classes", listed(run.labels, 8)),) if run.labels else ()),
        *headline.items(),
    ]
    text = [status(trial, at)]
    if missing:
        text.append(f"Not in this report, not saved or not fit for this objective: {listed(missing)}.")
    settings = [(name, _setting(value)) for name, value in run.hyperparameters.items()]
    tables = [Table(("", ""), rows)]
    tables += [Table(("hyperparameter", "value"), settings)] if settings else []
    facts = {"steps": len(steps), "seconds": (ended - began).total_seconds(), "headline": dict(headline)}
    return Part(Section("Summary", text, tables), (), facts)


def status(trial: Trial, at: datetime) -> str:
    """Say in a sentence how a run ended, or that it had not when it was read."""
    end, last = trial.end, trial.steps()[-1]
    if end is None:
        ago = times((at - trial.last_saved()).total_seconds())
        if _gone(trial):
            return f"The job is gone without having said how it ended: killed, perhaps. Its last saved step is {last}."
        return (
            f"The run had not ended when this was written: its last saved step is {last}, of {ago} before. What follows"
            " holds up to there."
        )
    why = f": {end.reason}" if end.reason else ""
    return f"The run was {end.status} at step {last}{why}." if end.status == "stopped" else _done(end.status, last, why)


def _done(how: str, last: int, why: str) -> str:
    return f"The run {how} at step {last}{why}."


def _gone(trial: Trial) -> bool:
    """Say whether the job's process, if it ran on this machine, is no more."""
    if trial.run.host != socket.gethostname():
        return False
    try:
        os.kill(trial.run.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _ended(trial: Trial) -> datetime:
    return datetime.fromisoformat(trial.end.ended) if trial.end is not None else trial.last_saved()


def _setting(value: Any) -> str:  # noqa: ANN401 - a hyperparameter
    return number(value) if isinstance(value, float) else str(value)
