"""The steps of the policy pipeline: an application, a learner and simulation jobs, then what is made of the policy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_train.atomic import write_atomically
from cloud_train.aws import s3_address
from cloud_train.recordings import DataError

from .gate import require
from .job_steps import job_name
from .jobs.local import JOBS_FOLDER
from .jobs.providers import provider, simulation_provider
from .jobs.ray import jobs_folder
from .jobs.spec import JobSpec, set_aside
from .step import step

if TYPE_CHECKING:
    from cloud_train.rl.settings import Settings
    from cloud_train.rl.train import PolicyRun

APP = "TOUCHLINE_APP"
LISTEN = {"local": "127.0.0.1:0", "ray": "{node}:0", "sagemaker": "0.0.0.0:9000"}
"""Where the learner listens; in a VPC the port is one that its security group lets through."""
LEARNER_RESTARTS, SIMULATION_RESTARTS = 3, 9
HANG_SECONDS = 60.0
SPARE_SECONDS = 1800.0
"""What a learner may take beside its budget: to start, to wait for simulations, to start again."""


def policy_settings(task: str, settings: Mapping[str, str], jobs: int) -> Settings:
    """Read hyperparameters of a policy's training with so many simulation jobs; DataError names a wrong one.

    There are 8 environments, or as many as jobs where those are more.
    """
    from cloud_train.rl.settings import Settings, settings_for

    kinds: dict[str, Any] = {one.name: type(one.default) for one in fields(Settings)}
    given = {}
    for name, value in settings.items():
        try:
            given[name] = kinds[name](value)
        except (KeyError, ValueError):
            msg = f"{name}={value}: is no setting of a policy's training; known are {', '.join(kinds)}"
            raise DataError(msg) from None
    made = settings_for(task, **given)
    if jobs < 1 or max(made.simulations, jobs) % jobs:
        msg = f"simulations={jobs}: so many jobs cannot share {made.simulations} environments; give 1, 2, 4, 8 or more"
        raise DataError(msg)
    return replace(made, simulations=max(made.simulations, jobs))


def app_place(on: str, cloud: Mapping[str, str], pipeline_run: str) -> str:
    """Say where a run's simulation application is: below the jobs' folder, or below the cloud's output."""
    name = job_name(pipeline_run, "app")
    if on == "sagemaker":
        return str(s3_address(cloud["output"], "output") / "apps" / name)
    jobs = jobs_folder(cloud) if on == "ray" else Path(os.environ.get(JOBS_FOLDER) or "jobs").absolute()
    return str(jobs / "apps" / name)


@step("create simulation app", kept=False)
def create_app(*, task: str, options: Mapping[str, str], on: str, cloud: Mapping[str, str], pipeline_run: str) -> str:
    """Make the application that learner and simulation jobs share; in AWS a job definition of Batch with it."""
    from cloud_train.rl.app import create

    if on == "local" and "KUBERNETES_SERVICE_HOST" in os.environ:
        msg = "on=local keeps jobs on one machine, and pods end with their step; compile with --on sagemaker"
        raise DataError(msg)
    place = app_place(on, cloud, pipeline_run)
    create(place, task, {name: _decoded(value) for name, value in options.items()})
    if simulation_provider(on) == "aws-batch":
        from .jobs.batch import BatchJobs

        BatchJobs(cloud).define(job_name(pipeline_run, "app"))
    return place


def _decoded(text: str) -> Any:  # noqa: ANN401 - what JSON holds, or the text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@step("start learner", kept=False)
def start_learner(
    *,
    app: str,
    task: str,
    simulations: int,
    budget_seconds: float,
    settings: Mapping[str, str],
    on: str,
    cloud: Mapping[str, str],
    pipeline_run: str,
) -> str:
    """Start the learner, which listens for simulation jobs."""
    chosen = asdict(policy_settings(task, settings, simulations))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    command = (
        "rl", "train", "--app", app, "--jobs", str(simulations), "--listen", LISTEN[on],
        "--budget", f"{budget_seconds:g}", "--out", "{out}", *options,
    )  # fmt: skip
    cpus, gpus = set_aside(cloud)
    spec = JobSpec(
        job_name(pipeline_run, "learner"), command, restarts=LEARNER_RESTARTS,
        max_seconds=budget_seconds + SPARE_SECONDS, cpus=cpus, gpus=gpus,
    )  # fmt: skip
    return f"{on}:{provider(on, cloud).start(spec)}"


@step("start simulations", kept=False)
def start_simulations(
    *, app: str, simulations: int, learner: str, on: str, cloud: Mapping[str, str], pipeline_run: str
) -> list[str]:
    """Start the simulation jobs, which look for the learner; the names of all."""
    where = simulation_provider(on)
    jobs = provider(where, cloud)
    environment = {APP: job_name(pipeline_run, "app"), "TOUCHLINE_LEARNER": learner}
    names = [job_name(pipeline_run, f"simulation-{k + 1}") for k in range(simulations)]
    specs = [
        JobSpec(
            name, ("rl", "simulate", app), environment=environment, restarts=SIMULATION_RESTARTS,
            hang_seconds=HANG_SECONDS,
        )
        for name in names
    ]  # fmt: skip
    return [f"{where}:{jobs.start(spec)}" for spec in specs]


@step("wait for training", "run", "metrics", "report", kept=False)
def wait_for_policy(
    *,
    learner: str,
    simulations: Sequence[str],
    cloud: Mapping[str, str],
    run: Any,  # noqa: ANN401 - artifacts are kfp's
    metrics: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
) -> None:
    """Wait for the learner and fetch what it made; simulation jobs that die are started again, and counted."""
    from cloud_train import stop

    from .jobs.wait import wait

    stop.listen()
    ended = wait([learner], simulations, cloud=cloud)
    from cloud_train.rl.train import PolicyRun  # it loads TensorFlow, which would take time from the learner

    where, _, name = learner.partition(":")
    shutil.rmtree(run.path, ignore_errors=True)
    Path(run.path).mkdir(parents=True)
    provider(where, cloud).fetch(name, run.path)
    trained = PolicyRun.load(run.path)
    run.metadata.update(task=trained.task, data_sha256=trained.identity, commit=trained.commit)
    figures = {
        "steps": trained.steps, "seconds": round(trained.seconds, 1), "best return": round(trained.best, 2),
        "steps dropped": trained.dropped, "simulation jobs lost": trained.restarts,
        "simulation jobs started again": sum(ended[one].restarts for one in simulations),
        "learner started again": ended[learner].restarts,
    }  # fmt: skip
    for what, value in figures.items():
        metrics.log_metric(what, value)
    write_atomically(Path(report.path), _curve_page(trained).encode())


def _curve_page(trained: PolicyRun) -> str:
    """Lay the curve that the learner drew out as a page of its own."""
    from cloud_train.rl.progress import PICTURE

    drawn = (trained.path / PICTURE).read_text(encoding="utf-8").partition("<svg")
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{trained.task}</title>\n'
        f"<h1>{trained.task}</h1>\n<p>{trained.steps} steps in {trained.seconds:.0f} s, best return"
        f" {trained.best:.1f}; {trained.restarts} simulation jobs lost, {trained.dropped} steps dropped.</p>\n"
        f"<figure><svg{drawn[2]}</figure>\n</html>\n"
    )


@step("evaluate", "metrics", "report", "scores")
def evaluate_policy(
    *,
    run: Any,  # noqa: ANN401
    episodes: int,
    metrics: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
    scores: Any,  # noqa: ANN401
) -> None:
    """Judge the network in simulation, beside the controller made by hand and chance."""
    from cloud_train.backend import load_tensorflow

    load_tensorflow()
    from cloud_train.page import Section, Table, page
    from cloud_train.rl.evaluate import compare
    from cloud_train.rl.export import as_trained
    from cloud_train.rl.tasks import maker
    from cloud_train.rl.train import PolicyRun

    trained = PolicyRun.load(run.path)
    found = compare(trained.task, maker(trained.task, **trained.options), as_trained(trained), episodes)
    base = found.get("pd")
    share = found["policy"].mean / base.mean if base is not None and base.mean > 0 else found["policy"].success
    what = "share of the controller's return" if base is not None else "success"
    figures = {what: round(share, 4)}
    figures |= {f"{name} return": round(score.mean, 2) for name, score in found.items()}
    figures |= {f"{name} success": round(score.success, 4) for name, score in found.items()}
    for name, value in figures.items():
        metrics.log_metric(name, value)
    rows = [
        (name, f"{s.mean:.1f}", f"{s.ci95[0]:.1f} to {s.ci95[1]:.1f}", f"{s.success:.3f}") for name, s in found.items()
    ]
    table = Table(("who", "return", "95 % interval", "success"), rows)
    text = f"{trained.task}, {episodes} episodes from the same seeds."
    write_atomically(Path(report.path), page("Evaluation", [Section("Return", [text], [table])]).encode())
    write_atomically(Path(scores.path), json.dumps({n: asdict(s) for n, s in found.items()}, indent=2).encode())
    scores.metadata.update(what=what, measured=round(share, 4))


@step("gate", kept=False)
def gate_policy(*, scores: Any, minimum: float) -> None:  # noqa: ANN401
    """Go on only where the policy is good enough."""
    require(scores.metadata["what"], scores.metadata["measured"], minimum)


@step("export", "bundle", "metrics")
def export_policy(
    *,
    run: Any,  # noqa: ANN401
    episodes: int,
    version: str,
    pipeline_run: str,  # noqa: ARG001 - the step's frame hands it to what writes provenance
    bundle: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
) -> None:
    """Write the policy into a bundle, in float32 or int8 by what is measured."""
    from cloud_train.backend import load_tensorflow

    load_tensorflow()
    from cloud_train.rl.export import export
    from cloud_train.rl.train import PolicyRun

    trained = PolicyRun.load(run.path)
    made = export(trained, bundle.path, episodes=episodes, version=version)
    measured = made.manifest.metrics["policy"]
    metrics.log_metric("return lost", round(measured["return_lost"], 4))
    bundle.metadata.update(
        bundle_sha256=made.sha256, precision=measured["precision"], data_sha256=trained.identity,
        commit=made.manifest.provenance["git_commit"],
    )  # fmt: skip


@step("delete simulation app", kept=False, always=True)
def delete_app(*, on: str, cloud: Mapping[str, str], pipeline_run: str) -> None:
    """Stop what is left of a run's jobs and remove its application, in AWS with its job definition."""
    from cloud_train.rl.app import delete

    for where in dict.fromkeys((on, simulation_provider(on))):
        jobs = provider(where, cloud)
        for job in jobs.names(job_name(pipeline_run, "")):
            if jobs.describe(job).status == "InProgress":
                jobs.stop(job)
    delete(app_place(on, cloud, pipeline_run))
    if simulation_provider(on) == "aws-batch":
        from .jobs.batch import BatchJobs

        BatchJobs(cloud).undefine(job_name(pipeline_run, "app"))
