"""The pipelines by name, and what can be set on each: checked here, before anything starts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from cloud_train.atomic import write_atomically
from cloud_train.recordings import DataError
from edge.clip import MODALITIES
from edge.manifest import RuleName

CLOUD = (
    "image", "role", "output", "instance_type", "volume_gb", "max_hours", "spot", "region", "queue", "simulation_image",
    "job_role", "tags", "subnets", "security_groups", "address", "storage", "cpus", "gpus",
)  # fmt: skip
"""What a job in a cloud or on a cluster may need to know; collected into the pipeline's parameter `cloud`."""


@dataclass(frozen=True)
class Order:
    """A pipeline with all that was set: `shape` changes which tasks there are, `arguments` what they are told."""

    pipeline: str
    on: str = "local"
    shape: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def order(name: str, given: Mapping[str, str], on: str = "local") -> Order:
    """Sort what was set on a pipeline, each value in its type; DataError names what cannot be."""
    chosen = given.get("modalities", " ".join(MODALITIES))
    shape = {"modalities": _modalities(chosen)} if name == "event" else {}
    if on != "local" and name == "debug":
        msg = f"--on {on}: the debug pipeline runs on local alone"
        raise DataError(msg)
    made = Order(name, on, shape)
    types = parameters(graph(made))
    hyper = _hyperparameters(name)
    groups: dict[str, dict[str, str]] = {"settings": {}, "options": {}, "cloud": {}}
    arguments: dict[str, Any] = {}
    for key, value in given.items():
        head, _, tail = key.partition(".")
        if key in types and types[key] != "STRUCT":
            arguments[key] = _typed(key, value, types[key])
        elif key in hyper and "settings" in types:
            groups["settings"][key] = value
        elif key in CLOUD and "cloud" in types:
            groups["cloud"][key] = value
        elif head == "option" and tail and "options" in types:
            groups["options"][tail] = value
        elif key not in shape:
            _refuse(key, [*types, *shape, *hyper, *(CLOUD if "cloud" in types else ())])
    arguments |= {key: group for key, group in groups.items() if group}
    found = Order(name, on, shape, arguments)
    _check(found)
    return found


def graph(wanted: Order) -> Any:  # noqa: ANN401 - a pipeline of kfp's
    """Build the pipeline; DataError where kfp is not installed."""
    try:
        import kfp.dsl  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "kfp":
            raise
        msg = "pipelines need kfp, which is not installed: pip install 'touchline[pipelines]'"
        raise DataError(msg) from None
    if wanted.pipeline == "event":
        from .event import event_pipeline

        return event_pipeline(wanted.shape["modalities"], wanted.on)
    if wanted.pipeline == "policy":
        from .policy import policy_pipeline

        return policy_pipeline(wanted.on)
    from .debug import debug_pipeline

    return debug_pipeline()


def parameters(pipeline: Any) -> dict[str, str]:  # noqa: ANN401 - a pipeline of kfp's
    """Name a pipeline's parameters with kfp's names of their types."""
    from kfp.pipeline_spec.pipeline_spec_pb2 import ParameterType

    found = pipeline.pipeline_spec.root.input_definitions.parameters
    return {name: ParameterType.ParameterTypeEnum.Name(spec.parameter_type) for name, spec in found.items()}


def _modalities(text: str) -> list[str]:
    named = text.replace(",", " ").split()
    if not named or set(named) - set(MODALITIES):
        msg = f"modalities={text}: name one or more of {', '.join(MODALITIES)}"
        raise DataError(msg)
    return [name for name in MODALITIES if name in named]


def _hyperparameters(name: str) -> tuple[str, ...]:
    if name == "event":
        from cloud_train.cli.hyperparameters import defaults

        return tuple(key for key in defaults() if key not in ("modalities", "name", "version", "rule"))
    if name == "policy":
        from dataclasses import fields

        from cloud_train.rl.settings import Settings

        return tuple(one.name for one in fields(Settings))
    return ()


def _typed(key: str, value: str, kind: str) -> Any:  # noqa: ANN401 - of that type
    convert: dict[str, Callable[[str], Any]] = {
        "NUMBER_DOUBLE": float,
        "NUMBER_INTEGER": int,
        "BOOLEAN": json.loads,
        "LIST": lambda text: text.replace(",", " ").split(),
    }
    try:
        return convert.get(kind, str)(value)
    except ValueError:
        what = {"NUMBER_DOUBLE": "a number", "NUMBER_INTEGER": "a whole number", "BOOLEAN": "true or false"}[kind]
        msg = f"{key}={value}: must be {what}"
        raise DataError(msg) from None


def _refuse(key: str, known: Sequence[str]) -> None:
    near = difflib.get_close_matches(key, known, n=1)
    short = sorted({name for name in known if not name.startswith(tuple(f"{m}_" for m in MODALITIES))})
    advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(short)}"
    msg = f"--set {key}: this pipeline has no such parameter; {advice}"
    raise DataError(msg)


def _check(wanted: Order) -> None:
    """Raise a DataError for a value that would fail in a step, minutes later."""
    arguments = wanted.arguments
    settings = arguments.get("settings", {})
    if wanted.pipeline == "event":
        from .settings import draft, training_args

        rule = arguments.get("rule", get_args(RuleName)[0])
        if rule not in get_args(RuleName):
            msg = f"rule={rule}: must be one of {', '.join(get_args(RuleName))}"
            raise DataError(msg)
        draft(arguments.get("preset", "demo"), settings)
        for modality in wanted.shape["modalities"]:
            training_args(arguments.get("preset", "demo"), settings, modality)
        if data := arguments.get("data"):
            _require_data(data)
    elif wanted.pipeline == "policy":
        from .policy import SIMULATIONS
        from .policy_steps import policy_settings

        jobs = arguments.get("simulations", SIMULATIONS)
        policy_settings(arguments.get("task", "FollowTarget-v0"), settings, jobs)
    elif wanted.pipeline == "debug":
        from cloud_train.debugger.rules import read_rules

        read_rules(arguments.get("rules", ""))
        if (data := arguments.get("data")) and not Path(data).is_file():
            msg = f"data={data}: no such file; give a CSV with the label in column 0"
            raise DataError(msg)
    publish = arguments.get("publish", "")
    if publish and not publish.startswith("s3://"):
        from cloud_train.job import refuse_foreign

        refuse_foreign(Path(publish))


def _require_data(data: str) -> None:
    from cloud_train.job import listed
    from cloud_train.recordings import find_recordings

    if "://" not in data:
        find_recordings(listed(Path(data)))


def compile_to(wanted: Order, file: Path, image: str = "") -> None:
    """Write the pipeline as the YAML that Kubeflow runs, with `image` for its steps, and what was set as defaults."""
    from kfp import compiler

    scratch = file.with_name(f".{file.stem}.tmp.yaml")  # kfp looks at the ending
    file.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(graph(wanted), str(scratch), pipeline_parameters=dict(wanted.arguments) or None)
    text = scratch.read_text(encoding="utf-8")
    scratch.unlink()
    if image:
        from .image import IMAGE

        text = text.replace(f"image: {IMAGE}\n", f"image: {image}\n")
    write_atomically(file, text.encode())
