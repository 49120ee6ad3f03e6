"""What SageMaker gives to a training container and expects of it: folders, settings, a failure file, metric lines.

Names and places are those of AWS's documentation of custom training containers and of sagemaker-training-toolkit,
whose `SM_...` variables go before the files where they are set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.clip import MODALITIES
from edge.manifest import BundleError

from .atomic import write_atomically
from .recordings import DataError, TrainingError

BASE_DIR = "/opt/ml"
CHANNEL = "training"
FAILURE_CHARACTERS = 1024
"""DescribeTrainingJob shows so much of the failure file as FailureReason, and no more."""
METRICS = (
    *((modality, f"{side}_accuracy") for modality in MODALITIES for side in ("validation", "test")),
    ("fused", "int8_accuracy"),
)
"""Judge and name of the metrics that a job reports."""


@dataclass(frozen=True)
class Container:
    """The folders and hosts of one training container."""

    base: Path
    model: Path
    output_data: Path
    checkpoints: Path
    hosts: tuple[str, ...]
    current_host: str
    job_name: str

    @property
    def leads(self) -> bool:
        """Whether this host is the one that trains: the first by name."""
        return self.current_host == min(self.hosts)


def container(environ: Mapping[str, str]) -> Container | None:
    """Describe the training container that this process runs in; None outside SageMaker."""
    base = Path(environ.get("SAGEMAKER_BASE_DIR", BASE_DIR))
    if not (base / "input" / "config").is_dir() and "SM_MODEL_DIR" not in environ:
        return None
    resources = _json(base / "input" / "config" / "resourceconfig.json", {})
    hosts = _parsed("SM_HOSTS", environ["SM_HOSTS"]) if "SM_HOSTS" in environ else resources.get("hosts", ["algo-1"])
    return Container(
        base,
        Path(environ.get("SM_MODEL_DIR", base / "model")),
        Path(environ.get("SM_OUTPUT_DATA_DIR", base / "output" / "data")),
        base / "checkpoints",
        tuple(hosts),
        environ.get("SM_CURRENT_HOST") or resources.get("current_host", min(hosts)),
        environ.get("TRAINING_JOB_NAME", ""),
    )


def channel(here: Container, environ: Mapping[str, str]) -> Path:
    """Give the folder of the channel `training`, or of the only one there is."""
    named = {k.removeprefix("SM_CHANNEL_").lower(): Path(v) for k, v in environ.items() if k.startswith("SM_CHANNEL_")}
    root = here.base / "input" / "data"
    if not named and root.is_dir():
        named = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()}
    if CHANNEL in named:
        return named[CHANNEL]
    if len(named) == 1:
        return next(iter(named.values()))
    msg = f"{root}: no channel {CHANNEL!r} among {sorted(named) or 'none'}; InputDataConfig must name one {CHANNEL!r}"
    raise DataError(msg)


def hyperparameters(here: Container, environ: Mapping[str, str]) -> dict[str, str]:
    """Read the hyperparameters as strings; those that SageMaker's own SDK adds for itself are left out."""
    if "SM_HPS" in environ:
        raw = _parsed("SM_HPS", environ["SM_HPS"])
    else:
        raw = _json(here.base / "input" / "config" / "hyperparameters.json", {})
    if not isinstance(raw, dict):
        msg = "hyperparameters.json: is not an object of names and values"
        raise DataError(msg)
    return {name: _text(value) for name, value in raw.items() if not name.startswith("sagemaker_")}


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    """Give a value as it would be typed: the SDK sends strings in quotes, and the toolkit sends decoded numbers."""
    if isinstance(value, str) and value.startswith(('"', "[")):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _json(path: Path, default: Any) -> Any:  # noqa: ANN401 - decoded JSON
    return _parsed(str(path), path.read_text(encoding="utf-8")) if path.is_file() else default


def _parsed(name: str, text: str) -> Any:  # noqa: ANN401 - decoded JSON
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"{name}: is not JSON ({error})"
        raise DataError(msg) from None


@contextmanager
def failures_told(here: Container | None) -> Iterator[None]:
    """Write the reason of a failure where SageMaker looks for it, and let the failure go on."""
    try:
        yield
    except Exception as error:
        if here is not None:
            expected = isinstance(error, DataError | TrainingError | BundleError)
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            (here.base / "output").mkdir(parents=True, exist_ok=True)
            write_atomically(here.base / "output" / "failure", reason[:FAILURE_CHARACTERS].encode())
        raise


def metric_line(judge: str, name: str, value: float) -> str:
    """Say a metric so that the regular expressions of `metric_definitions` find it in the log."""
    return f"{judge} {name}={value:.6f};"


def metric_definitions() -> list[dict[str, str]]:
    """Give the MetricDefinitions of a job: a name and a regular expression with one group, for each of METRICS."""
    return [{"Name": f"{judge}:{name}", "Regex": rf"(?:^|\s){judge} {name}=([0-9.]+);"} for judge, name in METRICS]
