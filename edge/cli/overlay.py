"""`touchline overlay`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from edge.commands import Commands, add_command


def add(commands: Commands) -> None:
    """Add the subcommand."""
    command = add_command(
        commands,
        overlay,
        "overlay",
        "draw the decisions into a recording: bars each second for picture, motion, sound and all of them fused",
        "touchline overlay match.mp4 -o match-bars.mp4",
    )
    command.add_argument("video", metavar="VIDEO", help="a media file with a picture")
    command.add_argument("-o", "--out", metavar="OUT.mp4", required=True, help="the file to write: H.264, sound kept")
    command.add_argument("--bundle", metavar="DIR", help="models to use (default: the shipped demo bundle)")
    command.add_argument("--config", metavar="F.toml", help="settings; its [events] say what makes an event")


def overlay(arguments: argparse.Namespace) -> int:
    """Decide every second of the recording as `run` does, then write it with what was decided drawn in."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from edge.bundle import DEMO, Bundle
    from edge.config import Config, read_config
    from edge.diff import watch
    from edge.overlay import draw, length_of

    out = _target(arguments.out, arguments.video)
    config = read_config(arguments.config) if arguments.config else Config()
    bundle = Bundle.load(arguments.bundle or config.bundle or DEMO)
    length = length_of(arguments.video)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def reached(task: TaskID, seconds: float) -> None:
            progress.update(task, completed=seconds)

        deciding, drawing = (partial(reached, progress.add_task(name, total=length)) for name in ("decide", "draw"))
        watched = watch(bundle, arguments.video, config.events, keep=False, progress=deciding)
        draw(arguments.video, out, watched, drawing)
    sys.stdout.write(f"{out}: {len(watched.seconds)} seconds, {len(watched.events)} events\n")
    return 0


def _target(out: str, video: str) -> Path:
    import cv2

    from edge.config import ConfigError

    if not hasattr(cv2, "FontFace"):
        msg = f"overlay needs OpenCV 5, installed is {cv2.__version__}: pip install 'opencv-python-headless>=5'"
        raise ConfigError(msg)
    path = Path(out)
    if path.suffix.lower() not in {".mp4", ".m4v"}:
        msg = f"{out}: what is written is MP4; name it so, as in {path.stem}.mp4"
        raise ConfigError(msg)
    if path.resolve() == Path(video).resolve():
        msg = f"{out}: is the recording itself; name another file"
        raise ConfigError(msg)
    return path
