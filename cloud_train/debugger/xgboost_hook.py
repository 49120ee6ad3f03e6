"""The hook for XGBoost: a callback of `xgboost.train`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import xgboost as xgb

from .hook import Hook
from .saved import Collection, RunInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULTS = {
    "metrics": Collection(5),
    "losses": Collection(5),
    "feature_importance": Collection(10),
    "predictions": Collection(10),
    "labels": Collection(10),
    "trees": Collection(0),
    "average_shap": Collection(0),
    "full_shap": Collection(0),
    "shap_rows": Collection(0),
}
"""What is saved if nothing else is asked for; the last round saves everything."""
HIGHER_IS_BETTER = ("auc", "aucpr", "map", "ndcg", "pre")
SHARES = ("error", "merror")
SHAP_ROWS = 500
TREE_PARTS = {
    "left": ("left_children", np.int32), "right": ("right_children", np.int32), "feature": ("split_indices", np.int32),
    "threshold": ("split_conditions", np.float32), "gain": ("loss_changes", np.float32),
    "cover": ("sum_hessian", np.float32), "value": ("base_weights", np.float32),
}  # fmt: skip


class _Tree(msgspec.Struct):
    """Of a tree in XGBoost's JSON, what is kept: the rest is not even read."""

    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    loss_changes: list[float]
    sum_hessian: list[float]
    base_weights: list[float]


class _Trees(msgspec.Struct, frozen=True):
    trees: list[_Tree] = []


class _Booster(msgspec.Struct):
    """Of gbtree itself, or of dart, which has one inside."""

    model: _Trees = _Trees()
    gbtree: _Booster | None = None

    @property
    def trees(self) -> list[_Tree]:
        return self.gbtree.trees if self.gbtree else self.model.trees


class _Learner(msgspec.Struct):
    gradient_booster: _Booster


class _Saved(msgspec.Struct):
    learner: _Learner


class XGBoostHook(xgb.callback.TrainingCallback):
    """Saves a boosting's metrics, importances, predictions, trees and SHAP values; ends it where `hook.stop` says so.

    Predictions, labels and SHAP values are of `validation` if there is one, else of `train`. `shap_seconds` is what
    the SHAP values, of at most 500 rows, took.
    """

    def __init__(
        self,
        hook: Hook,
        train: xgb.DMatrix,
        validation: xgb.DMatrix | None = None,
    ) -> None:
        super().__init__()
        self.hook, self._judged = hook, train if validation is None else validation
        self._labels = self._judged.get_label()
        self.last_round, self.shap_seconds = -1, 0.0
        self._saved: dict[str, dict[str, Any]] = {}
        self._trees = 0
        self._history: Mapping[str, Mapping[str, Sequence[float]]] = {}
        self._began = 0.0

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ANN401, ARG002
        """Take the time."""
        self._began = time.monotonic()
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ANN401 - as XGBoost calls it
        """Save what is due; True ends the training."""
        self.last_round, self._history = epoch, evals_log
        self.hook.sampler.step("train", epoch, time.monotonic() - self._began)
        self._saved = self._due(model, self.hook.due(epoch))
        self.hook.save(epoch, "global", self._saved)
        return self.hook.stop is not None

    def after_training(self, model: Any) -> Any:  # noqa: ANN401
        """Save all of the last round, and say how it ended."""
        if self.last_round >= 0:
            wanted = set(self.hook.save_what) - set(self._saved)
            self.hook.save(self.last_round, "global", {**self._saved, **self._due(model, wanted)})
        self.hook.end(best_step=best_round(self._history))
        return model

    def _due(self, model: xgb.Booster, wanted: set[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        metrics = {f"{data}-{name}": v[-1] for data, group in self._history.items() for name, v in group.items()}
        losses = set(loss_names({name for group in self._history.values() for name in group}))
        if "metrics" in wanted:
            found["metrics"] = metrics
        if "losses" in wanted:
            found["losses"] = {name: value for name, value in metrics.items() if name.partition("-")[2] in losses}
        if "feature_importance" in wanted:
            features = self._judged.feature_names or [f"f{i}" for i in range(self._judged.num_col())]
            found["feature_importance"] = {
                f"feature_importance/{k}": values for k, values in importances(model, features).items()
            }
        if "predictions" in wanted:
            found["predictions"] = {"predictions": model.predict(self._judged)}
        if "labels" in wanted:
            found["labels"] = {"labels": self._labels}
        if "trees" in wanted and model.num_boosted_rounds() > self._trees:
            found["trees"] = trees(model, self._trees)
            self._trees = model.num_boosted_rounds()
        if wanted & {"average_shap", "full_shap", "shap_rows"}:
            found |= {name: group for name, group in self._shap(model).items() if name in wanted}
        return found

    def _shap(self, model: xgb.Booster) -> dict[str, dict[str, Any]]:
        began, rows = time.monotonic(), self._judged.num_row()
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:SHAP_ROWS])
        sample = self._judged.slice(chosen)
        contributions = model.predict(sample, pred_contribs=True)  # [rows, features + 1] or [rows, k, features + 1]
        if contributions.ndim == 3:
            contributions = np.moveaxis(contributions, 1, 2)
        self.shap_seconds += time.monotonic() - began
        return {
            "average_shap": {"average_shap": np.abs(contributions[:, :-1]).mean(axis=0)},
            "full_shap": {"full_shap": contributions},
            "shap_rows": {"shap_rows": _dense(sample)},
        }


def loss_names(metrics: set[str]) -> list[str]:
    """Give those metrics that a training lowers: no scores, and shares of errors only where there is no other."""
    lower = [name for name in sorted(metrics) if name.partition("@")[0] not in HIGHER_IS_BETTER]
    return [name for name in lower if name.partition("@")[0] not in SHARES] or lower


def best_round(history: Mapping[str, Mapping[str, Sequence[float]]]) -> int | None:
    """Give the round with the lowest loss on the last data set, the validation's where there is one; None without."""
    if not history:
        return None
    last = history[list(history)[-1]]
    losses = loss_names(set(last))
    if not losses or not len(last[losses[0]]):
        return None
    values = np.asarray(last[losses[0]], float)
    return int(np.nanargmin(values)) if np.isfinite(values).any() else None


def importances(model: xgb.Booster, features: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Give the importance of each feature of each kind, adding up to 1; 0 for those that no tree uses.

    Gain and cover are means: totals over how often a feature splits.
    """

    def scores(kind: str) -> NDArray[np.float64]:
        found = model.get_score(importance_type=kind)
        return np.array([found.get(name, 0.0) for name in features], np.float64)

    weight, gain, cover = (scores(kind) for kind in ("weight", "total_gain", "total_cover"))
    splits = np.maximum(weight, 1)
    found = {"weight": weight, "gain": gain / splits, "cover": cover / splits, "total_gain": gain, "total_cover": cover}
    return {kind: (values / (values.sum() or 1.0)).astype(np.float32) for kind, values in found.items()}


def trees(model: xgb.Booster, first_round: int) -> dict[str, NDArray[Any]]:
    """Give all nodes of the trees from a round on as arrays; `trees/tree` says which tree a node is of.

    Children are numbers within a tree, -1 at a leaf.
    """
    tail = model[first_round:] if first_round else model
    booster = msgspec.json.decode(bytes(tail.save_raw("json")), type=_Saved).learner.gradient_booster
    made = booster.trees
    before = first_round * (len(made) // max(1, tail.num_boosted_rounds()))
    parts = {
        f"trees/{name}": np.array([value for tree in made for value in getattr(tree, key)], kind)
        for name, (key, kind) in TREE_PARTS.items()
    }
    number = np.repeat(np.arange(before, before + len(made), dtype=np.int32), [len(t.left_children) for t in made])
    return {"trees/tree": number, **parts}


def _dense(data: xgb.DMatrix) -> NDArray[np.float32]:
    """Give a DMatrix as an array, NaN where a value is missing."""
    sparse = data.get_data()  # missing values are not stored in it, zeros are
    rows = np.full(sparse.shape, np.nan, np.float32)
    row = np.repeat(np.arange(sparse.shape[0]), np.diff(sparse.indptr))
    rows[row, sparse.indices] = sparse.data
    return rows


def run_info(
    job: str,
    parameters: Mapping[str, Any],
    train: xgb.DMatrix,
    validation: xgb.DMatrix | None = None,
    *,
    labels: Sequence[str] = (),
) -> RunInfo:
    """Describe a boosting for its run."""
    features = train.feature_names or [f"f{i}" for i in range(train.num_col())]
    rows = {"train": train.num_row()} | ({} if validation is None else {"validation": validation.num_row()})
    return RunInfo(
        "xgboost", job, hyperparameters=dict(parameters),
        objective=str(parameters.get("objective", "reg:squarederror")),
        labels=tuple(labels), features=tuple(features), predicted="train" if validation is None else "validation",
        rows=rows,
    )  # fmt: skip
