"""Who trains together: one process, several GPUs, or several workers over the network."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf


def task() -> dict[str, Any]:
    """Give TensorFlow's own description of the cluster and of this worker in it, from TF_CONFIG."""
    return json.loads(os.environ.get("TF_CONFIG", "{}"))


def is_chief() -> bool:
    """Say whether this process is the one that writes."""
    return int(task().get("task", {}).get("index", 0)) == 0


def strategy() -> tf.distribute.Strategy:
    """Choose how the workers of TF_CONFIG, or the GPUs of this machine, share each batch."""
    if len(task().get("cluster", {}).get("worker", ())) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
