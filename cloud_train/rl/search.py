"""A small search over hyperparameters by Ray Tune: trials of the same length, judged on the same episodes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.parallel import ray_of_our_own
from cloud_train.progress import console
from cloud_train.recordings import DataError, TrainingError
from edge.tflite import cores

from .settings import Settings, settings_for

RESULTS, TUNE, WANTED = "search.json", "tune", "wanted.json"
STOPPED = "was stopped"


@dataclass(frozen=True)
class Range:
    """Where to look for a number: evenly from `low` to `high`, in its logarithm where that is a decade or more."""

    low: float
    high: float

    @property
    def logarithmic(self) -> bool:
        """Whether decades count, not differences."""
        return self.low > 0 and self.high >= 10 * self.low


@dataclass(frozen=True)
class Search:
    """What to search: hyperparameters, each a range or some values, in trials that train for so many seconds."""

    task: str
    space: Mapping[str, Range | list[float]]
    trials: int
    budget_seconds: float
    episodes: int = 50
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """What was tried and what came of it: return of the judged episodes, ends of its 95 % interval, success, steps.

    `failed` says why there is nothing of that.
    """

    settings: dict[str, float]
    mean: float | None = None
    ci95: tuple[float, float] | None = None
    success: float | None = None
    steps: int = 0
    failed: str = ""


@dataclass(frozen=True)
class Found:
    """The trials, best first."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the highest return."""
        return self.trials[0]

    def table(self) -> str:
        """Write them in lines for a person."""
        lines = []
        for rank, trial in enumerate(self.trials, 1):
            if trial.mean is None or trial.ci95 is None:
                lines.append(f"{rank:3}  failed: {trial.failed}  ({written(trial.settings)})")
                continue
            low, high = trial.ci95
            score = f"return {trial.mean:8.1f} ({low:.1f} to {high:.1f}), success {trial.success:.3f}"
            lines.append(f"{rank:3}  {score}, {trial.steps:7} steps  {written(trial.settings)}")
        return "\n".join(lines) + "\n"


def parse(text: str) -> tuple[str, Range | list[float]]:
    """Read `NAME=LOW..HIGH` or `NAME=A,B,C`; DataError says what is wrong."""
    name, _, where = text.partition("=")
    kinds: dict[str, type] = {one.name: type(one.default) for one in fields(Settings)}
    if name not in kinds:
        msg = f"{name!r} is no hyperparameter; these are: {', '.join(kinds)}"
        raise DataError(msg)
    kind = kinds[name]
    try:
        numbers = [kind(float(number)) for number in re.split(r"\.\.|,", where)]
    except ValueError:
        numbers = []
    between = ".." in where
    if not numbers or (between and (len(numbers) != 2 or numbers[0] >= numbers[1])):
        msg = f"{text!r} is neither NAME=LOW..HIGH nor NAME=A,B,C"
        raise DataError(msg)
    return name, Range(*numbers) if between else numbers


def written(settings: Mapping[str, float]) -> str:
    """Write settings as options of `rl train`."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())


def command(wanted: Search, trial: Trial, out: Path) -> str:
    """Give the command that trains with a trial's settings."""
    options = "".join(
        f" --option {name}={msgspec.json.encode(value).decode()}" for name, value in wanted.options.items()
    )
    given = f"{options} {written(trial.settings)} --budget {wanted.budget_seconds:g}"
    return f"touchline-train rl train --env {wanted.task}{given} --out {out}"


def search(wanted: Search, folder: Path, *, jobs: int | None = None) -> Found:
    """Try, `jobs` at once, and write the results to `search.json`; what an earlier call finished is not tried again.

    Trials train by the engine `local`: one process each, which leaves the cores to more trials than RLlib's several
    would. A trial that fails does not end the others; TrainingError where all do.
    """
    _claim(wanted, folder)
    with ray_of_our_own(processors=jobs or cores()) as ray:
        del ray
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        with console.status(f"{wanted.trials} trials of {wanted.budget_seconds:.0f} s"):
            results = _tuner(wanted, folder).fit()
    trials = [_told(result) for result in results]
    if len(trials) < wanted.trials or any(trial.failed == STOPPED for trial in trials):
        raise KeyboardInterrupt
    found = Found(tuple(sorted(trials, key=lambda trial: -1e30 if trial.mean is None else trial.mean, reverse=True)))
    told = {"task": wanted.task, "budget_seconds": wanted.budget_seconds, "episodes": wanted.episodes}
    told["trials"] = [asdict(trial) for trial in found.trials]
    write_atomically(folder / RESULTS, msgspec.json.format(msgspec.json.encode(told), indent=2))
    if found.best.mean is None:
        msg = f"{folder}: every trial failed, the last one said: {found.best.failed}"
        raise TrainingError(msg)
    return found


def _claim(wanted: Search, folder: Path) -> None:
    """Refuse a folder that holds another search; its trials would be mixed up with ours."""
    folder.mkdir(parents=True, exist_ok=True)
    said = msgspec.json.encode(asdict(wanted))
    if (folder / WANTED).is_file():
        if (folder / WANTED).read_bytes() != said:
            msg = f"{folder}: holds another search; name another folder, or remove this one"
            raise DataError(msg)
    else:
        write_atomically(folder / WANTED, said)


def _tuner(wanted: Search, folder: Path) -> Any:  # noqa: ANN401 - Tune's
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # or an environment of one's own would not be found
    from ray import tune
    from ray.tune.search.basic_variant import BasicVariantGenerator

    class Said(tune.Callback):
        """Says what came of a trial as soon as it is over."""

        def on_trial_complete(self, iteration: int, trials: Sequence[Any], trial: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
            from cloud_train.progress import console  # Tune pickles this class with the globals it names

            mean = trial.last_result.get("mean")
            score = trial.last_result.get("failed") if mean is None else f"return {mean:.1f}"
            over = sum(one.is_finished() for one in trials)
            console.print(f"{over} of {wanted.trials}: {written(trial.config)}: {score}", highlight=False)

    trial = tune.with_resources(tune.with_parameters(_trial, wanted=wanted, folder=str(folder.resolve())), {"cpu": 1})
    if tune.Tuner.can_restore(str((folder / TUNE).resolve())):
        return tune.Tuner.restore(
            str((folder / TUNE).resolve()),
            trial,
            resume_unfinished=True,
            restart_errored=True,
        )
    defaults = {name: getattr(settings_for(wanted.task), name) for name in wanted.space}
    return tune.Tuner(
        trial,
        param_space={name: _domain(name, where) for name, where in wanted.space.items()},
        tune_config=tune.TuneConfig(
            num_samples=wanted.trials, search_alg=BasicVariantGenerator([defaults], random_state=wanted.seed)
        ),
        run_config=tune.RunConfig(storage_path=str(folder.resolve()), name=TUNE, verbose=0, callbacks=[Said()]),
    )


def _domain(name: str, where: Range | list[float]) -> Any:  # noqa: ANN401 - Tune's
    from ray import tune

    if not isinstance(where, Range):
        return tune.choice(where)
    if isinstance(getattr(Settings, name), int):
        return (tune.lograndint if where.logarithmic else tune.randint)(int(where.low), int(where.high) + 1)
    return (tune.loguniform if where.logarithmic else tune.uniform)(where.low, where.high)


def _trial(config: dict[str, Any], *, wanted: Search, folder: str) -> None:
    """Train and judge in a process of Ray's; killed and begun again, it goes on where it was."""
    from ray import tune

    from cloud_train.backend import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    from .evaluate import greedy, judge
    from .tasks import maker
    from .train import Wanted, train

    tf.config.threading.set_intra_op_parallelism_threads(1)
    make = maker(wanted.task, **wanted.options)
    out = Path(folder) / "trials" / tune.get_context().get_trial_id()
    try:
        settings = settings_for(wanted.task, **rounded(config))
        run = train(Wanted(wanted.task, settings, wanted.budget_seconds, wanted.options), out)
        policy, interface = run.policy(), make().interface
        score = judge(make, lambda _seed: greedy(interface, lambda seen: policy(seen).numpy()), wanted.episodes)
    except (DataError, TrainingError) as error:
        tune.report({"failed": str(error)})
        return
    tune.report({**asdict(score), "steps": run.steps})


def rounded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep three digits, so that what was tried can be written down."""
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in settings.items()}


def _told(result: Any) -> Trial:  # noqa: ANN401 - Tune's
    settings, metrics = rounded(result.config), result.metrics or {}
    if metrics.get("mean") is None:
        why = metrics.get("failed") or (str(result.error).strip().splitlines()[-1] if result.error else STOPPED)
        return Trial(settings, failed=why)
    return Trial(settings, metrics["mean"], tuple(metrics["ci95"]), metrics["success"], metrics["steps"])
