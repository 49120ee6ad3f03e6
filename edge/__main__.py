"""The command `touchline`: each subcommand is one function, and imports what it needs only when called."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import __version__
from .cli import appliance, overlay, say, voices, web
from .cli.figures import write_json, write_text
from .commands import (
    RUN_ERROR,
    USAGE_ERROR,
    Commands,
    add_command,
    add_security_options,
    address_of,
    faults,
    positive,
    security_of,
    speed,
    topic_level,
)

if TYPE_CHECKING:
    from rich.progress import TaskID

    from .bundle import Bundle


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 2 for usage and configuration, 1 for failure at run time."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="touchline: %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # tells each time where it found its settings
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 - what is not expected is raised again
        return _explain(error)


def _explain(error: Exception) -> int:
    """Say an expected error in one sentence; anything else is a bug and keeps its traceback."""
    from .extras import advice

    if isinstance(error, ModuleNotFoundError) and (said := advice(error)):
        sys.stderr.write(f"touchline: {said}\n")
        return USAGE_ERROR

    from .config import ConfigError
    from .loudspeaker import SpeakerError
    from .manifest import BundleError
    from .mqtt import MqttError
    from .outbox import OutboxError
    from .sinks import SinkError
    from .sources import SourceError, SourceNotFoundError
    from .speech.prompts import PromptsError
    from .speech.refusals import NotConfiguredError, UnavailableError
    from .voice import VoiceError
    from .wording import AnnounceError

    usage = ConfigError | MqttError | SourceNotFoundError | AnnounceError | PromptsError | NotConfiguredError
    at_run_time = OutboxError | SinkError | BundleError | SourceError | SpeakerError | UnavailableError
    if not isinstance(error, usage | at_run_time | VoiceError):
        raise error
    sys.stderr.write(f"touchline: {error}\n")
    return RUN_ERROR if isinstance(error, at_run_time) and not isinstance(error, usage) else USAGE_ERROR


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(
        prog="touchline",
        description="Watch and listen, one second at a time: decisions and events from a recording.",
        epilog="example: touchline run match.mp4 --mqtt mqtt://localhost --pace realtime",
    )
    top.add_argument("--version", action="version", version=f"touchline {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_run,
        _add_check,
        _add_info,
        _add_bench,
        _add_diff,
        _add_subscribe,
        _add_simulate,
        say.add,
        voices.add,
        web.add,
        overlay.add,
        appliance.add,
    ):
        add(commands)
    return top


def _add_run(commands: Commands) -> None:
    run = add_command(
        commands,
        _run,
        "run",
        "watch a recording or live sources: decisions to the terminal, events to MQTT and a file",
        "touchline run rtsp://camera.local/stream1 --mqtt mqtt://localhost --jsonl match.jsonl",
    )
    run.add_argument(
        "source",
        nargs="*",
        metavar="SOURCE",
        help="a media file; or live, one or several: rtsp:// srt:// udp:// rtp:// http:// v4l2:///dev/video0 mic://",
    )
    run.add_argument("--config", metavar="F.toml", help="settings; the options here go before what it says")
    run.add_argument("--bundle", metavar="DIR", help="models to use (default: the shipped demo bundle)")
    run.add_argument("--mqtt", metavar="URL", help="mqtt[s]://[user[:password]@]host[:port][/base]")
    run.add_argument("--jsonl", metavar="FILE", help="write every message to this file, one JSON a line")
    run.add_argument("--web", metavar="HOST:PORT", help="show a page there, with the token that is printed")
    run.add_argument("--pace", choices=("realtime", "fast"), help="as a live source would come, or as fast as possible")
    run.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads for each model (default: 1 if small, else the cores, at most 4)",
    )
    run.add_argument("--delegate", metavar="LIB.so", help="a TFLite delegate, a GPU's for one (default: the CPU)")
    run.add_argument("--quiet", action="store_true", help="no table in the terminal")
    add_security_options(run)


def _add_check(commands: Commands) -> None:
    check = add_command(
        commands,
        _check,
        "check",
        "verify a bundle: hashes, tensors, features, scores, fusion",
        "touchline check bundles/match",
    )
    check.add_argument("bundle", metavar="BUNDLE")
    check.add_argument("--json", metavar="F", help="write the steps to this file as JSON")


def _add_info(commands: Commands) -> None:
    info = add_command(
        commands,
        _info,
        "info",
        "show what a bundle is and where it comes from",
        "touchline info bundles/match",
    )
    info.add_argument("bundle", metavar="BUNDLE")
    info.add_argument("--json", metavar="F", help="write the manifest to this file as JSON")


def _add_bench(commands: Commands) -> None:
    bench = add_command(
        commands,
        _bench,
        "bench",
        "measure where the time of one second goes on this machine",
        "touchline bench bundles/match match.mp4 --json figures.json",
    )
    bench.add_argument("bundle", metavar="BUNDLE")
    bench.add_argument("source", nargs="?", metavar="SOURCE", help="a media file (default: the bundle's golden clips)")
    bench.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads for each model (default: 1 if small, else the cores, at most 4)",
    )
    bench.add_argument("--delegate", metavar="LIB.so", help="a TFLite delegate, a GPU's for one (default: the CPU)")
    bench.add_argument("--json", metavar="F", help="write the figures to this file as JSON")


def _add_diff(commands: Commands) -> None:
    diff = add_command(
        commands,
        _diff,
        "diff",
        "compare two bundles on one recording: events gained, lost and moved",
        "touchline diff bundles/match bundles/match-2 match.mp4 -o diff.html",
    )
    diff.add_argument("a", metavar="A", help="the bundle that is in use")
    diff.add_argument("b", metavar="B", help="the bundle that would replace it")
    diff.add_argument("recording", metavar="RECORDING", help="a media file, or a recording of ROS (.mcap, rosbag2)")
    diff.add_argument("--config", metavar="F.toml", help="settings; its [events] say what makes an event")
    diff.add_argument("-o", "--out", metavar="F.html", help="write a page with pictures to this file")
    diff.add_argument("--json", metavar="F", help="write the figures to this file as JSON")


def _add_subscribe(commands: Commands) -> None:
    subscribe = add_command(
        commands,
        _subscribe,
        "subscribe",
        "print the events that devices publish, each once",
        "touchline subscribe mqtt://localhost:1883/touchline",
    )
    subscribe.add_argument("url", metavar="URL", help="mqtt[s]://[user[:password]@]host[:port][/base]")
    subscribe.add_argument("--json", action="store_true", help="print each event as one line of JSON")
    subscribe.add_argument("--count", type=positive, metavar="N", help="stop after N events")
    subscribe.add_argument("--timeout", type=float, metavar="S", help="stop after S seconds")
    subscribe.add_argument(
        "--history", action="store_true", help="ask devices for what came before, and for what is missing"
    )
    subscribe.add_argument(
        "--consumer", type=topic_level, metavar="NAME", help="acknowledge what is printed to devices that wait for NAME"
    )
    add_security_options(subscribe)


def _add_simulate(commands: Commands) -> None:
    simulate = add_command(
        commands,
        _simulate,
        "simulate-device",
        "play a recorded match as a device would, with faults on request",
        "touchline simulate-device examples/match.jsonl --mqtt mqtt://localhost --fast --faults gaps,duplicates",
    )
    simulate.add_argument("recording", metavar="RECORDING.jsonl", help="what touchline run --jsonl wrote")
    simulate.add_argument("--mqtt", metavar="URL", required=True, help="mqtt[s]://[user[:password]@]host[:port][/base]")
    pace = simulate.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=speed, default=1.0, metavar="N", help="N times as fast as the match (default: 1)")
    pace.add_argument("--fast", dest="speed", action="store_const", const=0.0, help="without waiting")
    simulate.add_argument(
        "--faults",
        type=faults,
        default=(),
        metavar="F,...",
        help="of: reconnects, duplicates, late, gaps (left out, to be had from history), "
        "drops (left out for good, and said); or: all",
    )
    simulate.add_argument("--seed", type=int, default=0, metavar="N", help="where the faults are (default: 0)")
    simulate.add_argument("--node", type=topic_level, metavar="NAME", help="play as this node (default: as recorded)")
    simulate.add_argument("--source", type=topic_level, metavar="NAME", help="and as this source")
    simulate.add_argument(
        "--consumer", type=topic_level, metavar="NAME", help="send again what NAME has not acknowledged"
    )
    simulate.add_argument(
        "--stay",
        type=float,
        metavar="S",
        help="stay until not asked for history for S seconds (default: 5 with gaps, else 0)",
    )
    add_security_options(simulate)


def _run(arguments: argparse.Namespace) -> int:
    from .retention import within
    from .runtime import run, source_name
    from .settings import configured
    from .sinks import Terminal
    from .supervisor import Supervisor

    config, supervisor = configured(arguments), Supervisor()
    terminal = [] if arguments.quiet else [Terminal(sources=list(map(source_name, config.sources)))]
    run(config, [*terminal, within(config), supervisor], supervisor.beat)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .check import check

    steps = []
    for step in check(arguments.bundle):
        steps.append(step)
        sys.stdout.write(f"{'ok  ' if step.ok else 'FAIL'}  {step.name:<9} {step.detail}\n")
        sys.stdout.flush()
    write_json(arguments.json, [asdict(step) for step in steps])
    return 0 if steps[-1].ok else RUN_ERROR


def _info(arguments: argparse.Namespace) -> int:
    from .bundle import Bundle
    from .describe import describe

    bundle = Bundle.read(arguments.bundle)
    sys.stdout.write(describe(bundle))
    write_json(arguments.json, json.loads(bundle.manifest.to_json()))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from .bench import bench, table
    from .bundle import Bundle
    from .runtime import open_media

    bundle = Bundle.load(arguments.bundle)
    open_source = (lambda: open_media(arguments.source, bundle)) if arguments.source else None
    result = bench(bundle, open_source, arguments.threads, arguments.delegate or "")
    sys.stdout.write(table(result))
    write_json(arguments.json, asdict(result))
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from .bundle import Bundle
    from .config import Config, read_config
    from .diff import compare, figures, watch
    from .diff_report import page, table

    config = read_config(arguments.config) if arguments.config else Config()
    bundles = [Bundle.load(path) for path in (arguments.a, arguments.b)]
    watched = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for k, bundle in enumerate(bundles):
            task = progress.add_task("AB"[k], total=_duration(arguments.recording, bundle))

            def reached(seconds: float, task: TaskID = task) -> None:
                progress.update(task, completed=seconds)

            watched.append(watch(bundle, arguments.recording, config.events, keep=k == 0, progress=reached))
    difference = compare(*watched)
    sys.stdout.write(table(difference))
    if arguments.out is not None:
        write_text(arguments.out, page(difference, arguments.recording))
    write_json(arguments.json, figures(difference))
    return 0


def _duration(url: str, bundle: Bundle) -> float | None:
    from .runtime import open_media

    if not bundle.manifest.models:
        return None
    source, _ = open_media(url, bundle)
    with source:
        return source.duration


def _subscribe(arguments: argparse.Namespace) -> int:
    from .listen import run_subscribe

    return run_subscribe(
        address_of(arguments.url, arguments),
        json_lines=arguments.json,
        count=arguments.count,
        timeout_seconds=arguments.timeout,
        consumer=arguments.consumer,
        history=arguments.history,
        security=security_of(arguments),
        protocol=arguments.protocol or "auto",
    )


def _simulate(arguments: argparse.Namespace) -> int:
    from .play import Playing, run_simulate

    playing = Playing(
        speed=arguments.speed,
        faults=arguments.faults,
        seed=arguments.seed,
        node=arguments.node,
        source=arguments.source,
        consumer=arguments.consumer,
        stay=arguments.stay,
        security=security_of(arguments),
        protocol=arguments.protocol or "auto",
    )
    return run_simulate(arguments.recording, address_of(arguments.mqtt, arguments), playing)


if __name__ == "__main__":
    sys.exit(main())
