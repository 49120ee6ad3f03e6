"""Whether a Ray cluster can run a pipeline's jobs: every node is asked, before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from cloud_train.aws import CloudError
from cloud_train.pipelines.step import code_sha256

from .ray import connected, jobs_folder, named

LOOK_SECONDS = 120.0
"""How long the nodes may take to answer: each starts a process."""


def require_cluster(cloud: Mapping[str, str], *, cpus: float, gpus: float, beside: int = 0) -> None:
    """Raise a DataError or CloudError where the cluster is not there, too small, or does not see storage and code.

    `cpus` and `gpus` are what a training job sets aside, `beside` how many simulations run beside it.
    """
    address, storage = named(cloud, "address"), jobs_folder(cloud).parent
    ray = connected(address)
    try:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        _require_room(address, [node["Resources"] for node in nodes], cpus=cpus, gpus=gpus, beside=beside)
        marker = storage / f".touchline-{token_hex(4)}"
        marker.touch()
        try:
            _require_view(ray, nodes, marker)
        finally:
            marker.unlink()
    finally:
        ray.shutdown()


def _require_room(address: str, nodes: list[Any], *, cpus: float, gpus: float, beside: int) -> None:
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        msg = f"address={address}: no node of the cluster has {cpus:g} processors and {gpus:g} GPUs for a job"
        raise CloudError(msg)
    there = sum(node["CPU"] for node in nodes)
    if there < cpus + beside:
        msg = (
            f"address={address}: the cluster has {there:g} processors, and a learner with {beside} simulations needs"
            f" {cpus + beside:g} at once"
        )
        raise CloudError(msg)


def _require_view(ray: Any, nodes: list[Any], marker: Path) -> None:  # noqa: ANN401 - the module
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        question = ray.remote(missing).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[node["NodeManagerAddress"]] = question.remote(str(marker), code_sha256())
    for host, answer in asked.items():
        try:
            lacks = ray.get(answer, timeout=LOOK_SECONDS)
        except (ray.exceptions.RayError, ModuleNotFoundError, AttributeError) as error:
            lacks = f"does not answer, or has no Touchline ({type(error).__name__})"
        if lacks:
            msg = f"node {host} of the Ray cluster {lacks}"
            raise CloudError(msg)


def missing(marker: str, code: str) -> str:
    """Say, on a node, what this node lacks; nothing where it lacks nothing."""
    if not Path(marker).exists():
        return f"does not see {Path(marker).parent}; storage must be a folder that all nodes share"
    if not os.access(Path(marker).parent, os.W_OK):
        return f"may not write to {Path(marker).parent}"
    if code_sha256() != code:
        return "has other code of Touchline than this machine; install the same on both"
    return ""
