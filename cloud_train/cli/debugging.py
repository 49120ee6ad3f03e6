"""Trainings that rules watch: xgboost, watch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from edge.commands import Commands, add_command, positive

if TYPE_CHECKING:
    from cloud_train.debugger.actions import Action
    from cloud_train.debugger.judge import Verdict

RULES_HELP = "A,B:key=value,key=value,FILE.py:FUNCTION: rules with their parameters (docs/debugger.md)"


def add_xgboost(commands: Commands) -> None:
    """Add `xgboost`."""
    boost = add_command(
        commands,
        _xgboost,
        "xgboost",
        "train boosted trees on a table, watched by rules that stop a bad training; prints NAME STATUS for each rule",
        "touchline-train xgboost digits.csv --objective multi:softmax --num-class 10 --param eta=0.2 --rounds 50"
        " --rules LossNotDecreasing,Overtraining:patience_train=10,patience_validation=20 --out runs/digits",
    )
    boost.add_argument(
        "table", metavar="CSV", help="label in column 0; also libsvm, and the Higgs boson challenge's file"
    )
    boost.add_argument("--objective", required=True, metavar="O", help="such as binary:logistic")
    boost.add_argument("--num-class", type=positive, metavar="N", help="classes (default: as many as there are labels)")
    boost.add_argument(
        "--param", action="append", default=[], type=_pair, metavar="K=V", help="of XGBoost, such as max_depth=6"
    )
    boost.add_argument("--rounds", required=True, type=positive, metavar="N")
    boost.add_argument("--validation", metavar="CSV", help="another table to validate on")
    boost.add_argument(
        "--hold-out", type=_share, default=0.2, metavar="SHARE",
        help="of the rows, to validate on where nothing else says which (default: 0.2; 0: none)",
    )  # fmt: skip
    boost.add_argument("--rules", default="", metavar="A,B", help=RULES_HELP)
    boost.add_argument(
        "--save", default="", metavar="C:k=v", help="collections to save otherwise, such as average_shap:interval=5"
    )
    boost.add_argument("--out", required=True, metavar="RUN")
    action_options(boost)


def add_watch(commands: Commands) -> None:
    """Add `watch`."""
    watch = add_command(
        commands,
        _watch,
        "watch",
        "ask rules about a training while it runs, show what they say, and act",
        "touchline-train watch runs/rgb --rules LossNotDecreasing,ExplodingTensor --stop",
    )
    watch.add_argument("run", metavar="RUN", help="a folder, or an s3:// prefix")
    watch.add_argument("--rules", required=True, metavar="A,B", help=RULES_HELP)
    watch.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (default: 2)")
    watch.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for the run to begin (default: 60)")
    watch.add_argument("--stop", action="store_true", help="ask the job to end when a rule finds something")
    watch.add_argument(
        "--stop-training-job", metavar="PREFIX", help="stop the SageMaker training job whose name begins so"
    )
    watch.add_argument("--region", help="AWS region of that job")
    action_options(watch)


def action_options(command: argparse.ArgumentParser) -> None:
    """Add what is done about a finding."""
    group = command.add_argument_group("actions", "about each finding")
    group.add_argument("--mqtt", metavar="URL", help="publish it to BASE/training/JOB/finding")
    group.add_argument("--webhook", metavar="URL", help="POST it as JSON")
    group.add_argument("--run-command", metavar="COMMAND", help="run this, with the finding as JSON on its input")


def actions_of(arguments: argparse.Namespace) -> list[Action]:
    """Read the options of `action_options`; what is wrong with them is said before anything begins."""
    from cloud_train.debugger import actions
    from edge.address import MqttUrl

    found = []
    if arguments.mqtt:
        found.append(actions.mqtt_message(MqttUrl.parse(arguments.mqtt)))
    if arguments.webhook:
        found.append(actions.webhook(arguments.webhook))
    if arguments.run_command:
        found.append(actions.command(arguments.run_command))
    return found


def _xgboost(arguments: argparse.Namespace) -> int:
    from cloud_train import stop
    from cloud_train.boost import train
    from cloud_train.debugger.rules import read_rules
    from cloud_train.debugger.spelling import read_collections
    from cloud_train.debugger.xgboost_hook import DEFAULTS
    from cloud_train.tabular import held_out, read_table, with_validation

    rules, actions = read_rules(arguments.rules), actions_of(arguments)
    save = read_collections(arguments.save, DEFAULTS)
    table = read_table(arguments.table)
    if arguments.validation:
        table = with_validation(table, read_table(arguments.validation), arguments.validation)
    stop.listen()
    result = train(
        held_out(table, arguments.hold_out), arguments.out, objective=arguments.objective, rounds=arguments.rounds,
        num_class=arguments.num_class, parameters=dict(arguments.param), rules=rules, save=save, actions=actions,
    )  # fmt: skip
    for verdict in result.verdicts:
        sys.stdout.write(f"{verdict.rule} {verdict.status}\n")
    write_verdicts(result.verdicts, sys.stderr)
    best = "" if result.best_round is None else f", best round {result.best_round}"
    how = f"stopped after {result.rounds} rounds by {result.stopped}" if result.stopped else f"{result.rounds} rounds"
    sys.stderr.write(f"{result.run}: {how}{best}, {result.seconds:.1f} s; SHAP {result.shap_seconds:.1f} s of it\n")
    return 0


def write_verdicts(verdicts: Iterable[Verdict], file: TextIO) -> None:
    """Say in words what rules have found, or why one could not judge."""
    for verdict in verdicts:
        if verdict.finding is not None:
            file.write(f"{verdict.rule}: {verdict.finding.message}\n  {verdict.finding.advice}\n")
        if verdict.error:
            file.write(f"{verdict.rule} could not judge: {verdict.error}\n")


def _watch(arguments: argparse.Namespace) -> int:
    from cloud_train.debugger import actions
    from cloud_train.debugger.rules import read_rules
    from cloud_train.debugger.watch import watch

    rules, doing = read_rules(arguments.rules), actions_of(arguments)
    if arguments.stop:
        doing.append(actions.stop_request(arguments.run))
    prefixes = [arguments.stop_training_job] + [
        rule.parameters.get("training_job_name_prefix") for rule in rules if rule.stops
    ]
    for prefix in filter(None, prefixes):
        from cloud_train.aws import connect

        doing.append(actions.stop_training_job(connect(arguments.region), prefix))
    verdicts = watch(arguments.run, rules, doing, every=arguments.every, wait=arguments.wait)
    return int(any(verdict.finding is not None for verdict in verdicts))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        msg = f"{text!r} is not NAME=VALUE"
        raise argparse.ArgumentTypeError(msg)
    return name, value


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        msg = f"{text!r} is not a share from 0 to below 1"
        raise argparse.ArgumentTypeError(msg)
    return share
