"""The steps of the debug pipeline: a table, boosted trees under rules, and no further where one fires."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cloud_train.atomic import write_atomically
from cloud_train.recordings import TrainingError

from .step import step

HELD_OUT = 0.2


class FindingError(TrainingError):
    """A training in which a rule found something; the message says which, and what to do."""


@step("table", "table")
def make_table(*, data: str, table: Any) -> None:  # noqa: ANN401 - artifacts are kfp's
    """Copy the table at `data`, or write the handwritten digits of scikit-learn, the label in column 0."""
    import io

    if data:
        write_atomically(Path(table.path), Path(data).read_bytes())
        return
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    text = io.StringIO()
    text.write(",".join(["digit", *(f"pixel{k}" for k in range(x.shape[1]))]) + "\n")
    np.savetxt(text, np.column_stack([y, x]), fmt="%d", delimiter=",")
    write_atomically(Path(table.path), text.getvalue().encode())


@step("train xgboost", "run", "metrics", "report")
def boost(
    *,
    table: Any,  # noqa: ANN401
    objective: str,
    rounds: int,
    rules: str,
    parameters: Mapping[str, float],
    run: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
) -> str:
    """Train under the rules, of which any ends the training early; what was found, empty where nothing was."""
    from cloud_train import stop
    from cloud_train.boost import train
    from cloud_train.debugger.actions import stop_request
    from cloud_train.debugger.report.write import write_report
    from cloud_train.debugger.rules import read_rules
    from cloud_train.debugger.trial import Trial

    stop.listen()
    result = train(
        _read(table), run.path, objective=objective, rounds=rounds, parameters=dict(parameters),
        rules=read_rules(rules), actions=[stop_request(run.path)],
    )  # fmt: skip
    write_report(Trial(run.path), Path(report.path), None)
    metrics.log_metric("rounds", result.rounds)
    for verdict in result.verdicts:
        metrics.metadata[verdict.rule] = verdict.status
    run.metadata.update(stopped=result.stopped, **{v.rule: v.status for v in result.verdicts})
    return "; ".join(f"{one.rule}: {one.message}. {one.advice}" for one in result.findings)


def _read(table: Any) -> Any:  # noqa: ANN401 - a Table
    """Read the table, under a name with an ending, and hold out the same rows each time."""
    import shutil
    import tempfile

    from cloud_train.tabular import held_out, read_table

    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "table.csv"
        shutil.copyfile(table.path, named)
        return held_out(read_table(named), HELD_OUT)


@step("rules", kept=False)
def require_no_finding(*, found: str) -> None:
    """End the run where a rule found something."""
    if found:
        raise FindingError(found)


@step("evaluate", "metrics", "confusion")
def evaluate_trees(
    *,
    table: Any,  # noqa: ANN401
    run: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
    confusion: Any,  # noqa: ANN401
) -> None:
    """Judge the best round's trees on the rows that were held out."""
    import xgboost as xgb
    from sklearn.metrics import accuracy_score, confusion_matrix

    from cloud_train.boost import BEST

    rows = _read(table)
    model = xgb.Booster(model_file=Path(run.path) / BEST)
    known = rows.validation
    given = model.predict(xgb.DMatrix(rows.x[known], feature_names=list(rows.features)))
    if given.ndim > 1:
        given = given.argmax(axis=1)
    truth, given = rows.y[known].astype(int), np.rint(given).astype(int)
    names = sorted(set(truth) | set(given))
    metrics.log_metric("accuracy", round(float(accuracy_score(truth, given)), 4))
    counts = confusion_matrix(truth, given, labels=names)
    confusion.log_confusion_matrix([str(name) for name in names], counts.tolist())
