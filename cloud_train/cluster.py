"""Who trains together: one process, several GPUs, or several workers over the network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from .recordings import DataError

if TYPE_CHECKING:
    import tensorflow as tf

PORT = 2222
PARENT = "TOUCHLINE_PARENT"
"""The environment variable that names the process with which a worker ends."""


def tf_config(workers: Sequence[str], index: int) -> str:
    """Describe a cluster to TensorFlow: the `host:port` of every worker, and which of them this process is."""
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def join(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set TF_CONFIG where the platform says otherwise who the workers are.

    SageMaker names its hosts in SM_HOSTS and this one in SM_CURRENT_HOST. A Kubernetes job that is indexed gives
    JOB_COMPLETION_INDEX, and TOUCHLINE_WORKERS lists the addresses; Kubeflow's TFJob sets TF_CONFIG itself.
    """
    if "TF_CONFIG" in environment:
        return
    if "SM_HOSTS" in environment:
        hosts = sorted(json.loads(environment["SM_HOSTS"]))
        index = hosts.index(environment["SM_CURRENT_HOST"])
        workers = [f"{host}:{PORT}" for host in hosts]
    elif "TOUCHLINE_WORKERS" in environment:
        workers = environment["TOUCHLINE_WORKERS"].split(",")
        index = _index(environment, len(workers))
    else:
        return
    if len(workers) > 1:
        environment["TF_CONFIG"] = tf_config(workers, index)


def _index(environment: Mapping[str, str], workers: int) -> int:
    text = environment.get("JOB_COMPLETION_INDEX", "")
    if not text.isdecimal() or int(text) >= workers:
        msg = f"JOB_COMPLETION_INDEX is {text!r}; with {workers} TOUCHLINE_WORKERS it must be 0 to {workers - 1}"
        raise DataError(msg)
    return int(text)


def workers() -> Sequence[str]:
    """List the addresses of all workers; none where this process trains alone."""
    return _task().get("cluster", {}).get("worker", ())


def index() -> int:
    """Say which of the workers this process is; the first is the chief, which writes."""
    return int(_task().get("task", {}).get("index", 0))


def _task() -> dict[str, Any]:
    return json.loads(os.environ.get("TF_CONFIG", "{}"))


def strategy() -> tf.distribute.Strategy:
    """Choose how the workers, or the GPUs of this machine, share each batch."""
    import tensorflow as tf

    if len(workers()) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
