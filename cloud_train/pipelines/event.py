"""The event pipeline: recordings to a published bundle."""

from collections.abc import Sequence
from typing import Any, Dict  # noqa: UP035 - kfp reads this spelling on every Python

from kfp import dsl

from edge.clip import MODALITIES, Modality

from . import event_components as steps
from .needs import RUN, needs


def event_pipeline(modalities: Sequence[Modality] = MODALITIES, on: str = "local") -> Any:  # noqa: ANN401
    """Give the pipeline that trains these modalities, as steps of its own or, `on` sagemaker, as training jobs."""

    @dsl.pipeline(name="event", description="Recordings into a bundle that detects sports events.")
    def event(
        data: str = "",
        preset: str = "demo",
        settings: Dict[str, str] = {},  # noqa: B006 - kfp copies it
        seed: int = 0,
        rule: str = "class_model_table",
        minimum: float = 0.5,
        name: str = "event",
        version: str = "1.0.0",
        publish: str = "",
        cloud: Dict[str, str] = {},  # noqa: B006
    ) -> str:
        collected = needs(steps.collect(data=data, preset=preset), "recordings", cpu="2", memory="4G")
        extracted = needs(
            steps.extract(recordings=collected.outputs["recordings"], preset=preset, settings=settings),
            "extract", cpu="4", memory="8G",
        )  # fmt: skip
        divided = needs(steps.split(features=extracted.outputs["features"], seed=seed), "split")
        parts = divided.outputs["parts"]
        if on == "sagemaker":
            from .sagemaker_steps import train_in_jobs

            runs = train_in_jobs(modalities, parts, preset=preset, settings=settings, cloud=cloud)
        else:
            runs = {m: _trained(m, parts, preset, settings) for m in modalities}
        models = {modality: runs.get(modality, parts) for modality in MODALITIES}
        fused = needs(steps.fuse(**models, features=parts, rule=rule), "fuse")
        judged = needs(
            steps.evaluate(**models, features=parts, fusion=fused.outputs["fusion"]), "evaluate", memory="4G"
        )
        passed = needs(
            steps.gate(scores=judged.outputs["scores"], minimum=minimum), "gate", retries=0, cached=False
        )
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
