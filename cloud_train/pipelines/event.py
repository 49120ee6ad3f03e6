"""The event pipeline: recordings to a published bundle."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from edge.clip import MODALITIES, Modality

from . import event_components as steps
from . import job_components as jobs
from .needs import RUN, needs


def event_pipeline(modalities: Sequence[Modality] = MODALITIES, on: str = "local") -> Any:  # noqa: ANN401
    """Give the pipeline that trains these modalities, as steps of its own or as training jobs elsewhere."""

    @dsl.pipeline(name="event", description="Recordings into a bundle that detects sports events.")
    def event(
        data: str = "",
        preset: str = "demo",
        settings: dict[str, str] = {},  # noqa: B006 - kfp copies it
        seed: int = 0,
        rule: str = "class_model_table",
        minimum: float = 0.5,
        name: str = "event",
        version: str = "1.0.0",
        publish: str = "",
        cloud: dict[str, str] = {},  # noqa: B006
    ) -> str:
        collected = needs(steps.collect(data=data, preset=preset), "recordings", cpu="2", memory="4G")
        extracted = needs(
            steps.extract(recordings=collected.outputs["recordings"], preset=preset, settings=settings),
            "extract", cpu="4", memory="8G",
        )  # fmt: skip
        divided = needs(steps.split(features=extracted.outputs["features"], seed=seed), "split")
        parts = divided.outputs["parts"]
        if on != "local":
            runs = _trained_in_jobs(modalities, parts, preset=preset, settings=settings, cloud=cloud, on=on)
        else:
            runs = {m: _trained(m, parts, preset, settings) for m in modalities}
        models = {modality: runs.get(modality, parts) for modality in MODALITIES}
        fused = needs(steps.fuse(**models, features=parts, rule=rule), "fuse")
        judged = needs(
            steps.evaluate(**models, features=parts, fusion=fused.outputs["fusion"]), "evaluate", memory="4G"
        )
        passed = needs(steps.gate(scores=judged.outputs["scores"], minimum=minimum), "gate", retries=0, cached=False)
        exported = steps.export(**models, features=parts, rule=rule, name=name, version=version, pipeline_run=RUN)
        exported.after(passed)
        needs(exported, "export", cpu="4", memory="8G")
        published = steps.publish(bundle=exported.outputs["bundle"], to=publish)
        return needs(published, "publish", cached=False).output

    return event


def _trained(modality: Modality, parts: Any, preset: Any, settings: Any) -> Any:  # noqa: ANN401
    task = steps.train(modality=modality, features=parts, preset=preset, settings=settings)
    needs(task, f"train {modality}", cpu="4", memory="16G", gpu=True)
    return task.outputs["run"]


def _trained_in_jobs(
    modalities: Sequence[Modality],
    parts: Any,  # noqa: ANN401
    *,
    preset: Any,  # noqa: ANN401
    settings: Any,  # noqa: ANN401
    cloud: Any,  # noqa: ANN401
    on: str,
) -> dict[str, Any]:
    """Start a job for each modality, then wait for all at once, so that one which fails stops its siblings."""
    started = []
    for modality in modalities:
        task = jobs.start_training(
            modality=modality, features=parts, preset=preset, settings=settings, on=on, cloud=cloud, pipeline_run=RUN
        )
        started.append(needs(task, f"start {modality}", cached=False))
    task = jobs.wait_for_training(jobs=[one.output for one in started], modalities=list(modalities), cloud=cloud)
    needs(task, "wait for training", cached=False)
    return {modality: task.outputs[modality] for modality in modalities}
