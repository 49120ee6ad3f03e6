"""From a run to the sections of its report: each that its saved tensors allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.debugger.judge import verdicts
from cloud_train.debugger.saved import Mode, Reduction
from cloud_train.debugger.trial import Trial, scalar
from cloud_train.debugger.usage import usage_of
from cloud_train.recordings import DataError

from . import labels as of_labels
from .answers import Answers, answers
from .confusion import confusion, over_steps, recalled
from .curves import certainty, curves
from .explain import shap, shap_classes
from .importance import importance
from .loss import Metric, metrics
from .machine import machine, steps
from .network import activity, distributions, gradients, updates
from .part import Course, Part
from .residuals import binned_errors, by_label, residuals
from .rules import rules

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_STEPS = 60
"""So many saved steps of predictions, weights or gradients show a course as well as all of them."""
SIDES = {"train": "train", "eval": "validation"}


def unit(trial: Trial) -> str:
    """What a step of the run is called."""
    return "round" if trial.run.framework == "xgboost" else "step"


def parts(trial: Trial) -> list[Part]:
    """Make all sections but the summary; DataError where nothing was saved yet."""
    if not trial.steps():
        msg = f"{trial.path}: no step was saved there yet, so there is nothing to report"
        raise DataError(msg)
    found, used = answers(trial), usage_of(trial.folder)
    made: list[Part | None] = [_loss(trial), *(_answered(trial, found) if found is not None else ())]
    made += [_importance(trial), _shap(trial), _gradients(trial), _updates(trial), _distributions(trial)]
    made += [_activity(trial), rules(verdicts(trial.path))]
    made += [machine(used), steps(used)] if used is not None else []
    return [part for part in made if part is not None]


def _loss(trial: Trial) -> Part | None:
    found = run_metrics(trial)
    if not found:
        return None
    settings = trial.run.hyperparameters
    rate = {
        name: float(settings[name])
        for name in ("eta", "learning_rate")
        if name in settings and _is_number(settings[name])
    }
    idle = [name for name, value in rate.items() if value == 0]
    hint = f"{idle[0]} is 0, so nothing is learnt: set it to 0.1 or 0.2." if idle else ""
    best = trial.end.best_step if trial.end is not None else None
    return metrics(found, unit=unit(trial), best_step=best, hint=hint)


def run_metrics(trial: Trial) -> list[Metric]:
    """Gather the metrics of a run by name, the losses first; names are `loss`, or `train-logloss` as XGBoost's."""
    losses = trial.names("losses") if "losses" in trial.collections() else []
    others = trial.names("metrics") if "metrics" in trial.collections() else []
    sides: dict[str, dict[str, Course]] = {}
    data = list(dict.fromkeys(name.partition("-")[0] for name in losses + others if "-" in name))
    for name in dict.fromkeys(losses + others):
        for mode in trial.modes(name):
            course = _course(trial, name, mode)
            if course is not None:
                side, metric = _side(name, mode, data)
                sides.setdefault(metric, {}).setdefault(side, course)
    return [Metric(name, found.get("train"), found.get("validation")) for name, found in sides.items()]


def _side(name: str, mode: Mode, data: Sequence[str]) -> tuple[str, str]:
    """Say which data a metric is of, and what it is called without them."""
    which, dash, metric = name.partition("-")
    if dash and which in data:
        return ("train" if which == "train" or (len(data) > 1 and which == data[0]) else "validation"), metric
    if name.startswith("val_"):
        return "validation", name.removeprefix("val_")
    return SIDES.get(mode, "train"), name


def _course(trial: Trial, name: str, mode: Mode) -> Course | None:
    numbers, values = trial.values(name, mode)
    single = [(n, scalar(value)) for n, value in zip(numbers, values, strict=True) if value.size == 1]
    return Course.of([n for n, _ in single], [value for _, value in single]) if single else None


def _answered(trial: Trial, found: Answers) -> Iterator[Part | None]:
    kept = _some(found.steps)
    if found.kind == "values":
        last = found.given(kept[-1])
        yield of_labels.values(found.labels, found.of)
        yield residuals(found.labels, last, found.of)
        errors = np.stack([binned_errors(found.labels, found.given(step)) for step in kept])
        yield by_label(kept, found.labels, errors, unit(trial)) if np.ptp(found.labels) > 0 else None
        return
    weighted = any(name in trial.run.hyperparameters for name in ("scale_pos_weight", "class_weight"))
    yield of_labels.classes(found.labels, found.names, found.of, weighted=weighted)
    yield confusion(found.labels, found.given(kept[-1]), found.names, found.of)
    if len(kept) > 1:
        yield over_steps(_recalls(found, kept), unit(trial))
    if found.scored:
        scores = found.scores(kept[-1])
        yield curves(found.labels, scores, found.names)
        yield certainty(found.labels == 1, scores[:, 1], found.names[1]) if len(found.names) == 2 else None


def _recalls(found: Answers, kept: Sequence[int]) -> dict[str, Course]:
    shares = np.stack([recalled(found.labels, found.given(step), len(found.names)) for step in kept])
    there = np.isfinite(shares[0])
    return {name: Course.of(kept, shares[:, k].tolist()) for k, name in enumerate(found.names) if there[k]}


def _importance(trial: Trial) -> Part | None:
    names = trial.names(regex="^feature_importance/")
    kinds = {name.partition("/")[2]: trial.tensor(name, trial.steps(name)[-1]).astype(float) for name in names}
    kinds = {kind: kinds[kind] for kind in ("gain", "weight", "cover", "total_gain", "total_cover") if kind in kinds}
    return importance(kinds, trial.run.features) if kinds else None


def _shap(trial: Trial) -> Part | None:
    saved = sorted(set(trial.steps("full_shap")) & set(trial.steps("shap_rows")))
    if not saved:
        return None
    values, rows = (
        trial.tensor("full_shap", saved[-1]).astype(float),
        trial.tensor("shap_rows", saved[-1]).astype(float),
    )
    if values.ndim == 2:
        return shap(values[:, :-1], rows, trial.run.features)
    classes = trial.run.labels or tuple(map(str, range(values.shape[2])))
    return shap_classes(values[:, :-1], trial.run.features, classes)


def _gradients(trial: Trial) -> Part | None:
    names, numbers, sizes = _table(trial, "gradients", "abs_mean")
    return gradients(names, numbers, sizes) if np.isfinite(sizes).any() else None


def _updates(trial: Trial) -> Part | None:
    """Relative change where weights were saved whole at two steps or more."""
    names, numbers = _whole(trial, "weights")
    if len(numbers) < 2 or not names:
        return None
    ratios = np.full((len(names), len(numbers) - 1), np.nan)
    for i, name in enumerate(names):
        before = trial.tensor(name, numbers[0]).astype(float)
        for j, step in enumerate(numbers[1:]):
            now = trial.tensor(name, step).astype(float)
            ratios[i, j] = float(np.linalg.norm(now - before)) / max(float(np.linalg.norm(before)), 1e-12)
            before = now
    return updates(names, numbers[1:], ratios)


def _distributions(trial: Trial) -> Part | None:
    found = {}
    for name in _names(trial, "weights"):
        numbers = trial.steps(name)
        pair = [_histogram(trial, name, step) for step in (numbers[0], numbers[-1])]
        if len(numbers) > 1 and pair[0] is not None and pair[1] is not None:
            found[name] = (*pair[0], *pair[1])
    return distributions(found) if found else None


def _histogram(trial: Trial, name: str, step: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    saved = trial.reduction(name, step, "histogram")
    if saved is not None:
        return saved[0], saved[1, :-1]
    if not trial.whole(name, step):
        return None
    values = trial.tensor(name, step).astype(float)
    counts, edges = np.histogram(values[np.isfinite(values)], 64)
    return edges, counts


def _activity(trial: Trial) -> Part | None:
    shares: dict[Reduction, dict[str, NDArray[np.float64]]] = {"active": {}, "saturated": {}}
    for name in _names(trial, "layer_outputs"):
        for kind, kept in shares.items():
            units = trial.reduction(name, trial.steps(name)[-1], kind)
            if units is not None:
                kept[name] = units.astype(float).reshape(-1)
    return activity(shares["active"], shares["saturated"]) if any(shares.values()) else None


def _table(trial: Trial, collection: str, kind: Reduction) -> tuple[list[str], list[int], NDArray[np.float64]]:
    """Give one number for each tensor of a collection and saved step: `[tensors, steps]`."""
    names = _names(trial, collection)
    numbers = _some(sorted({step for name in names for step in trial.steps(name)}))
    own = {name: set(trial.steps(name)) for name in names}
    values = [[trial.number(n, s, kind) if s in own[n] else np.nan for s in numbers] for n in names]
    return names, list(numbers), np.array(values, float).reshape(len(names), len(numbers))


def _whole(trial: Trial, collection: str) -> tuple[list[str], list[int]]:
    """Give the tensors of a collection that were saved themselves, and the steps at which all of them were."""
    names = [n for n in _names(trial, collection) if all(trial.whole(n, s) for s in trial.steps(n))]
    common = set.intersection(*(set(trial.steps(name)) for name in names)) if names else set()
    return names, list(_some(sorted(common)))


def _names(trial: Trial, collection: str) -> list[str]:
    return trial.names(collection) if collection in trial.collections() else []


def _some(numbers: Sequence[int]) -> tuple[int, ...]:
    """Give at most so many of the steps, evenly, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_STEPS)).round().astype(int))
    return tuple(numbers[i] for i in kept)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - a hyperparameter, text where it came from a command line
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
