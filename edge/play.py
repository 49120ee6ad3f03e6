"""The command `touchline simulate-device`: a recording over MQTT, at the speed of the match or faster."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .address import MqttError, MqttUrl
from .broker import Protocol
from .commands import RUN_ERROR, USAGE_ERROR, Fault
from .script import RecordingError, faults_in, left_out, read_recording, script
from .simulate import Device
from .tls import Security

STAY_SECONDS = 5.0
"""How long a device whose events were left out stays there after the last question for its history."""


@dataclass(frozen=True)
class Playing:
    """How to play: `speed` times as fast as the match, 0 without waiting; `stay` in seconds."""

    speed: float = 1.0
    faults: Sequence[Fault] = ()
    seed: int = 0
    node: str | None = None
    source: str | None = None
    consumer: str | None = None
    stay: float | None = None
    security: Security | None = None
    protocol: Protocol = "auto"


def simulate(recording: str, url: str | MqttUrl, playing: Playing) -> str:
    """Play a recording and return a sentence that says what was sent; RecordingError or MqttError say what is wrong."""
    address = MqttUrl.parse(url) if isinstance(url, str) else url
    messages = read_recording(recording, node=playing.node, source=playing.source)
    steps = script(messages, playing.faults, playing.seed)
    faults = faults_in(steps)
    aside = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[sent]}"), TimeElapsedColumn()
    device = Device(
        address,
        messages,
        consumer=playing.consumer,
        security=playing.security,
        protocol=playing.protocol,
        say=lambda note: aside.print(note, markup=False, soft_wrap=True),
    )
    device.open()
    try:
        with Progress(*columns, console=aside, transient=True, disable=not aside.is_terminal) as bar:
            task = bar.add_task(f"{messages[0].node}/{messages[0].source}", total=len(steps), sent="")
            began = time.monotonic()
            for step in steps:
                if playing.speed:
                    device.wait(began + step.at / playing.speed - time.monotonic())
                device.do(step)
                bar.update(task, advance=1, sent=f"{device.events} events")
            settled = device.settle()
            bar.update(task, sent=f"{device.events} events, staying to be asked for history")
            device.stay(playing.stay if playing.stay is not None else STAY_SECONDS if "gaps" in faults else 0)
    finally:
        device.close()
    given = len(left_out(steps) & device.given)
    told = "" if settled else "; not everything was acknowledged"
    return (
        f"{recording}: {device.ticks} ticks and {device.events} events sent to {address}; "
        f"faults (seed {playing.seed}): {_named(faults, given) or 'none'}{told}"
    )


def _named(faults: dict[Fault, int], given: int) -> str:
    words = {
        "reconnects": "reconnect{s}",
        "duplicates": "sent twice",
        "late": "late",
        "gaps": f"left out ({given} of them given from history)",
        "drops": "dropped and explained",
    }
    return ", ".join(f"{number} {words[fault].format(s='s' * (number > 1))}" for fault, number in faults.items())


def run_simulate(recording: str, url: str | MqttUrl, playing: Playing) -> int:
    """Play a recording with a progress bar, print the last line and return the exit code."""
    try:
        sys.stdout.write(simulate(recording, url, playing) + "\n")
    except (RecordingError, MqttError) as error:
        sys.stderr.write(f"touchline: {error}\n")
        return USAGE_ERROR if isinstance(error, RecordingError) else RUN_ERROR
    return 0
