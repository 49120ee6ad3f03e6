"""What a task of a pipeline asks a cluster for."""

from __future__ import annotations

from typing import Any

from kfp import dsl

RUN = dsl.PIPELINE_JOB_ID_PLACEHOLDER
"""Kubeflow's id of the run; on this machine `step` knows ours, and that goes first."""
GPU = "nvidia.com/gpu"


def needs(
    task: Any,  # noqa: ANN401 - a task of kfp's
    name: str,
    *,
    cpu: str = "1",
    memory: str = "2G",
    gpu: bool = False,
    retries: int = 2,
    cached: bool = True,
) -> Any:  # noqa: ANN401
    """Say a task's name, resources, retries (of pods that are lost; twice as long apart each time) and caching."""
    task.set_display_name(name)
    task.set_cpu_request(cpu).set_cpu_limit(cpu).set_memory_request(memory).set_memory_limit(memory)
    if gpu:
        task.set_accelerator_type(GPU).set_accelerator_limit(1)
    if retries:
        task.set_retry(retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
    return task.set_caching_options(cached)
