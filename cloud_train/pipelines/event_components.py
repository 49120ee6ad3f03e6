"""The components of the event pipeline: each body is one import and one call.

Their source is what Kubeflow stores and runs, so that annotations are real and nothing of this module is used in them.
"""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from .image import component


@component
def collect(data: str, preset: str, recordings: Output[Dataset]) -> None:
    """List the recordings, or render synthetic ones."""
    from cloud_train.pipelines.event_steps import collect

    collect(data=data, preset=preset, recordings=recordings)


@component
def extract(recordings: Input[Dataset], preset: str, settings: dict[str, str], features: Output[Dataset]) -> None:
    """Cut recordings into seconds and compute features: `touchline-train extract`."""
    from cloud_train.pipelines.event_steps import extract

    extract(recordings=recordings, preset=preset, settings=settings, features=features)


@component
def split(features: Input[Dataset], seed: int, parts: Output[Dataset]) -> None:
    """Give each recording a side: `touchline-train split`."""
    from cloud_train.pipelines.event_steps import split

    split(features=features, seed=seed, parts=parts)


@component
def train(
    modality: str,
    features: Input[Dataset],
    preset: str,
    settings: dict[str, str],
    run: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> None:
    """Train one modality: `touchline-train fit`."""
    from cloud_train.pipelines.event_steps import train

    train(
        modality=modality, features=features, preset=preset, settings=settings,
        run=run, metrics=metrics, report=report,
    )  # fmt: skip


@component
def fuse(
    rgb: Input[Artifact],
    flow: Input[Artifact],
    audio: Input[Artifact],
    features: Input[Dataset],
    rule: str,
    fusion: Output[Artifact],
) -> None:
    """Estimate the fusion: `touchline-train fuse`."""
    from cloud_train.pipelines.event_steps import fuse

    fuse(runs=[rgb, flow, audio], features=features, rule=rule, fusion=fusion)


@component
def evaluate(
    rgb: Input[Artifact],
    flow: Input[Artifact],
    audio: Input[Artifact],
    features: Input[Dataset],
    fusion: Input[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    report: Output[HTML],
    scores: Output[Artifact],
) -> None:
    """Judge models and fusion on the test recordings: `touchline-train evaluate`."""
    from cloud_train.pipelines.event_steps import evaluate

    evaluate(
        runs=[rgb, flow, audio], features=features, fusion=fusion,
        metrics=metrics, confusion=confusion, report=report, scores=scores,
    )  # fmt: skip


@component
def gate(scores: Input[Artifact], minimum: float) -> None:
    """Go on only where the fused F1 is good enough."""
    from cloud_train.pipelines.event_steps import gate

    gate(scores=scores, minimum=minimum)


@component
def export(
    rgb: Input[Artifact],
    flow: Input[Artifact],
    audio: Input[Artifact],
    features: Input[Dataset],
    rule: str,
    name: str,
    version: str,
    pipeline_run: str,
    bundle: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> None:
    """Write the bundle in int8: `touchline-train export`."""
    from cloud_train.pipelines.event_steps import export

    export(
        runs=[rgb, flow, audio], features=features, rule=rule, name=name, version=version,
        pipeline_run=pipeline_run, bundle=bundle, metrics=metrics, report=report,
    )  # fmt: skip


@component
def publish(bundle: Input[Model], to: str) -> str:
    """Copy the bundle to where devices fetch it."""
    from cloud_train.pipelines.event_steps import publish

    return publish(bundle=bundle, to=to)
