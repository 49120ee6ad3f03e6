"""What can be set on a training job, under the same names on the command line and as SageMaker hyperparameters."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_type_hints

from edge.clip import MODALITIES, Modality
from edge.manifest import RuleName

from .data import feature_options
from .training import training_options

if TYPE_CHECKING:
    from cloud_train.args import Args


def add_hyperparameters(command: argparse.ArgumentParser) -> None:
    """Add all hyperparameters as options; one that is not given stays None, so that it can be told from a default."""
    _add(command)
    command.set_defaults(**dict.fromkeys(defaults()))


def defaults() -> dict[str, Any]:
    """Give every hyperparameter's name and default; None for those of training, whose defaults `DEFAULTS` has."""
    return vars(_parser().parse_args([]))


def checked(raw: Mapping[str, str]) -> dict[str, Any]:
    """Convert hyperparameters, which are strings, as the options do; DataError names a wrong one."""
    from cloud_train.recordings import DataError

    known = defaults()
    arguments: list[str] = []
    for given, value in raw.items():
        name = given.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(common())}"
            msg = f"hyperparameter {given!r} is not known; {advice}"
            raise DataError(msg)
        option = f"--{name.replace('_', '-')}"
        arguments += [option, *value.replace(",", " ").split()] if name == "modalities" else [f"{option}={value}"]
    parsed = vars(_parser().parse_args(arguments))
    return {name.replace("-", "_"): parsed[name.replace("-", "_")] for name in raw}


def args_of(settings: Mapping[str, Any], modality: Modality, default: Args | None = None) -> Args:
    """Give one modality's training settings: its own go before the common ones, and these before its defaults."""
    from cloud_train.args import DEFAULTS

    default = default or DEFAULTS[modality]
    given = {f.name: (settings.get(f"{modality}_{f.name}"), settings.get(f.name)) for f in fields(default)}
    chosen = {name: own if own is not None else common for name, (own, common) in given.items()}
    return replace(default, **{name: value for name, value in chosen.items() if value is not None})


def common() -> list[str]:
    """Name the hyperparameters, without those of one modality."""
    from cloud_train.args import Args

    own = {f"{modality}_{field.name}" for modality in MODALITIES for field in fields(Args)}
    return [name for name in defaults() if name not in own]


class _Parser(argparse.ArgumentParser):
    """A parser that raises what it has to say, for values that no one typed on this command line."""

    def error(self, message: str) -> NoReturn:
        """Raise a DataError."""
        from cloud_train.recordings import DataError

        msg = message.replace("argument --", "hyperparameter ")
        raise DataError(msg)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    _add(parser)
    return parser


def _add(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is made")
    group.add_argument(
        "--modalities",
        nargs="+",
        choices=MODALITIES,
        metavar="NAME",
        help="rgb, flow, audio (default: those there are)",
    )
    group.add_argument("--name", help="the bundle's name (default: the job's, or its folder's)")
    group.add_argument("--version", default="1.0.0", help="the bundle's version (default: 1.0.0)")
    rules = get_args(RuleName)
    group.add_argument("--rule", choices=rules, default=rules[0], help=f"how votes are fused (default: {rules[0]})")
    feature_options(command)
    training_options(command)
    _add_own(command)


def _add_own(command: argparse.ArgumentParser) -> None:
    """Add each training setting again for one modality alone."""
    from cloud_train.args import Args

    group = command.add_argument_group("one modality", "Each of training's also for one alone: --audio-epochs 200.")
    kinds = get_type_hints(Args)
    for modality in MODALITIES:
        for field in fields(Args):
            option = f"--{modality}-{field.name.replace('_', '-')}"
            choices = get_args(kinds[field.name]) or None
            group.add_argument(option, type=type(field.default), choices=choices, help=argparse.SUPPRESS)
