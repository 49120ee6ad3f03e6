"""The components that train the event pipeline's models elsewhere: each body is one import and one call."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from .image import component


@component
def start_training(
    modality: str,
    features: Input[Dataset],
    preset: str,
    settings: dict[str, str],
    on: str,
    cloud: dict[str, str],
    pipeline_run: str,
) -> str:
    """Start a training job for one modality, and return its name at once."""
    from cloud_train.pipelines.job_steps import start_training

    return start_training(
        modality=modality, features=features, preset=preset, settings=settings, on=on, cloud=cloud,
        pipeline_run=pipeline_run,
    )  # fmt: skip


@component
def wait_for_training(
    jobs: list[str],
    modalities: list[str],
    cloud: dict[str, str],
    rgb: Output[Artifact],
    flow: Output[Artifact],
    audio: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> None:
    """Wait for the training jobs, reflect their states and logs, and fetch their models."""
    from cloud_train.pipelines.job_steps import wait_for_training

    wait_for_training(
        jobs=jobs, modalities=modalities, cloud=cloud, rgb=rgb, flow=flow, audio=audio, metrics=metrics, report=report
    )
