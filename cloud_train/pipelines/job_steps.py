"""Steps that start training elsewhere: they start a job and hand its name on; waiting is a step of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.clip import Modality

from .event_steps import describe_run
from .jobs.spec import JobSpec, set_aside
from .step import step

RESTARTS = 2


def job_name(pipeline_run: str, what: str) -> str:
    """Make a name that SageMaker and Batch take of the run's name and the job's."""
    run = re.sub(r"[^a-zA-Z0-9]+", "-", pipeline_run).strip("-")[-50:].strip("-")
    return f"{run}-{what}"


@step("start {modality}", kept=False)
def start_training(
    *,
    modality: Modality,
    features: Any,  # noqa: ANN401 - artifacts are kfp's
    preset: str,
    settings: Mapping[str, str],
    on: str,
    cloud: Mapping[str, str],
    pipeline_run: str,
) -> str:
    """Start a training job for one modality."""
    from .jobs.providers import provider
    from .settings import training_args

    args = training_args(preset, settings, modality)
    options = tuple(f"--{name.replace('_', '-')}={value}" for name, value in asdict(args).items())
    command = ("fit", modality, "--data", "{data}", "--out", "{out}", *options)
    cpus, gpus = set_aside(cloud)
    spec = JobSpec(
        job_name(pipeline_run, modality), command, str(features.path), restarts=RESTARTS, cpus=cpus, gpus=gpus
    )
    return f"{on}:{provider(on, cloud).start(spec)}"


@step("wait for training", "rgb", "flow", "audio", "metrics", "report", kept=False)
def wait_for_training(
    *,
    jobs: Sequence[str],
    modalities: Sequence[str],
    cloud: Mapping[str, str],
    rgb: Any,  # noqa: ANN401
    flow: Any,  # noqa: ANN401
    audio: Any,  # noqa: ANN401
    metrics: Any,  # noqa: ANN401
    report: Any,  # noqa: ANN401
) -> None:
    """Wait for the training jobs of all modalities, and fetch what they made; one that fails stops the others."""
    from cloud_train import stop
    from cloud_train.runs import Run

    from .jobs.providers import provider
    from .jobs.wait import wait

    stop.listen()
    wait(jobs, cloud=cloud)
    places = {"rgb": rgb, "flow": flow, "audio": audio}
    for artifact in places.values():
        Path(artifact.path).mkdir(parents=True, exist_ok=True)
    for modality, job in zip(modalities, jobs, strict=True):
        where, _, name = job.partition(":")
        shutil.rmtree(places[modality].path, ignore_errors=True)
        Path(places[modality].path).mkdir(parents=True)
        provider(where, cloud).fetch(name, places[modality].path)
        describe_run(Run.load(places[modality].path), places[modality], _Named(metrics, modality), report)


class _Named:
    """Metrics of several trainings in one artifact, each with its modality before it."""

    def __init__(self, metrics: Any, modality: str) -> None:  # noqa: ANN401
        self._metrics, self._modality = metrics, modality

    def log_metric(self, name: str, value: float) -> None:
        """Log a figure."""
        self._metrics.log_metric(f"{self._modality} {name}", value)
