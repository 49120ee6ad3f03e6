"""Boosted trees on a table, watched by rules: `touchline-train xgboost`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import write_atomically
from .debugger.actions import Action
from .debugger.finding import Finding
from .debugger.hook import Hook
from .debugger.judge import Status, Verdict
from .debugger.rules import Rule
from .debugger.saved import Collection
from .progress import bar
from .recordings import DataError
from .tabular import Table

if TYPE_CHECKING:
    import xgboost as xgb

MODEL, BEST = "model.ubj", "best.ubj"
OBJECTIVES = (
    "binary:hinge", "binary:logistic", "binary:logitraw", "count:poisson", "multi:softmax", "multi:softprob",
    "rank:map", "rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:gamma", "reg:logistic", "reg:pseudohubererror",
    "reg:quantileerror", "reg:squarederror", "reg:squaredlogerror", "reg:tweedie", "survival:aft", "survival:cox",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a boosting came to. `stopped` is why it ended early, empty where it did not; rounds count from 0.

    `shap_seconds` is what the SHAP values of the last round took.
    """

    run: Path
    verdicts: tuple[Verdict, ...]
    rounds: int
    best_round: int | None
    stopped: str
    seconds: float
    shap_seconds: float

    @property
    def statuses(self) -> dict[str, Status]:
        """What each rule has come to."""
        return {verdict.rule: verdict.status for verdict in self.verdicts}

    @property
    def findings(self) -> list[Finding]:
        """What was found."""
        return [verdict.finding for verdict in self.verdicts if verdict.finding is not None]


def train(
    table: Table,
    out: str | Path,
    *,
    objective: str,
    rounds: int,
    num_class: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    rules: Sequence[Rule] = (),
    save: Mapping[str, Collection] | None = None,
    actions: Sequence[Action] = (),
) -> Result:
    """Train, save what the hook saves to `out`, let `rules` judge each save, and end when one says stop.

    `out` gets the model of all rounds and that of the best. DataError for parameters that XGBoost refuses.
    """
    import xgboost as xgb

    from .debugger.xgboost_hook import DEFAULTS, XGBoostHook, best_round, run_info

    out = Path(out)
    settings = _settings(table, objective, num_class, parameters or {})
    training, validation = _matrices(table)
    info = run_info(out.resolve().name, {**settings, "num_round": rounds}, training, validation, labels=table.labels)
    evals = [(training, "train")] + ([] if validation is None else [(validation, "validation")])
    history: dict[str, dict[str, list[float]]] = {}
    began = time.monotonic()
    with Hook(out, info, save={**DEFAULTS, **(save or {})}, rules=rules, actions=actions) as hook:
        hooked = XGBoostHook(hook, training, validation)
        try:
            with bar("boosting", rounds) as advance:
                callbacks = [_progress(advance), hooked]
                model = xgb.train(
                    settings, training, rounds, evals=evals, evals_result=history, verbose_eval=False,
                    callbacks=callbacks,
                )  # fmt: skip
        except (xgb.core.XGBoostError, ValueError) as error:
            msg = f"XGBoost refuses this: {_first_line(error)}"
            raise DataError(msg) from None
    best = best_round(history)
    _save_model(model, out / MODEL)
    _save_model(model if best is None else model[: best + 1], out / BEST)
    return Result(
        out, tuple(hook.judge.verdicts.values()), hooked.last_round + 1, best, hook.stop or "",
        time.monotonic() - began, hooked.shap_seconds,
    )  # fmt: skip


def _settings(table: Table, objective: str, num_class: int | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    if objective not in OBJECTIVES:
        near = get_close_matches(objective, OBJECTIVES, n=1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(OBJECTIVES)}"
        msg = f"no objective {objective!r}; {advice}"
        raise DataError(msg)
    settings: dict[str, Any] = {"verbosity": 1, **parameters, "objective": objective}
    most = float(table.y.max())
    if objective.startswith(("multi:", "binary:")):
        if (table.y < 0).any() or (table.y != np.floor(table.y)).any():
            msg = f"{objective} needs classes 0, 1, ... in column 0, and there is {_odd(table.y)}"
            raise DataError(msg)
        if objective.startswith("binary:") and most > 1:
            msg = f"{objective} needs labels 0 and 1 in column 0, and there is {most:g}; multi:softprob takes more"
            raise DataError(msg)
    if objective.startswith("multi:"):
        settings["num_class"] = num_class or int(most) + 1
        if most >= settings["num_class"]:
            msg = f"--num-class {num_class}: column 0 holds class {most:g}, so there are at least {most + 1:g}"
            raise DataError(msg)
    return settings


def _odd(y: Any) -> str:  # noqa: ANN401 - an array
    return f"{y[(y < 0) | (y != np.floor(y))][0]:g}"


def _matrices(table: Table) -> tuple[xgb.DMatrix, xgb.DMatrix | None]:
    import xgboost as xgb

    def matrix(rows: Any) -> xgb.DMatrix:  # noqa: ANN401 - an index
        return xgb.DMatrix(table.x[rows], table.y[rows], feature_names=list(table.features))

    if table.validation is None:
        return matrix(slice(None)), None
    return matrix(~table.validation), matrix(table.validation)


def _progress(advance: Any) -> xgb.callback.TrainingCallback:  # noqa: ANN401 - of a bar
    import xgboost as xgb

    class Progress(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ANN401, ARG002
            scores = (f"{data} {name} {v[-1]:.4f}" for data, group in evals_log.items() for name, v in group.items())
            advance(", ".join(scores))
            return False

    return Progress()


def _save_model(model: xgb.Booster, file: Path) -> None:
    write_atomically(file, bytes(model.save_raw("ubj")))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if "Stack trace" not in line), type(error).__name__)
    return said.rpartition("] ")[2] or said
