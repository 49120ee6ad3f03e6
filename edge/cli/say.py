"""The subcommand `say`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from edge.commands import Commands, add_command, positive
from edge.speech.formats import FORMATS, SYSTEMS, Format, FormatError, format_of
from edge.speech.voices import ENGINES, OFFLINE, Voice

from .figures import write_json

if TYPE_CHECKING:
    from edge.speech.finish import Finish
    from edge.speech.polly import Polly
    from edge.speech.say import Said
    from edge.voice import Speech

STANDARD = "-"
"""Standard input or output, where a file could be named."""


def add(commands: Commands) -> None:
    """Add it."""
    say = add_command(
        commands,
        _say,
        "say",
        "say text or SSML by Amazon Polly or offline, as a WAV file that phone systems play",
        'touchline say "Welcome. Press one for tickets." --voice Joanna --format ulaw-8k -o welcome.wav',
    )
    what = say.add_mutually_exclusive_group()
    what.add_argument("text", nargs="?", metavar="TEXT", help="with <speak> in it: SSML; without TEXT: standard input")
    what.add_argument("--ssml", metavar="FILE", help="say this SSML file; -: standard input")
    what.add_argument(
        "--batch", metavar="FILE.csv", help="say a table of id,text; -o is then a folder, a file for each id"
    )
    say.add_argument(
        "-o", "--out", metavar="OUT", required=True, help="file to write; -: standard output; or the folder"
    )
    say.add_argument("--plain", action="store_true", help="<speak> is text to be said, not a tag")
    _add_voice_options(say)
    sound = say.add_argument_group("sound")
    names = ", ".join(map(str, FORMATS))
    sound.add_argument(
        "--format",
        type=_format,
        default=FORMATS[1],
        metavar="F",
        help=f"{names}; other rates such as pcm16-22050; headerless with -raw behind; or of a system: "
        f"{', '.join(SYSTEMS)} (default: {FORMATS[1]})",
    )
    sound.add_argument("--silence", type=_silence, default=(0.0, 0.0), metavar="S[,S]", help="seconds before and after")
    sound.add_argument("--loudness", type=float, metavar="LUFS", help="bring it to a loudness (EBU R128), such as -19")
    run = say.add_argument_group("cost")
    run.add_argument("--cache", default="", metavar="DIR", help="folder of what was paid for; none: pay again")
    run.add_argument("--dry-run", action="store_true", help="tell what Polly would bill, and say nothing")
    run.add_argument("--parallel", type=positive, default=8, metavar="N", help="rows of a batch at once (default: 8)")
    run.add_argument("--json", metavar="F", help="write the figures to this file as JSON")


def _add_voice_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("voice")
    group.add_argument(
        "--voice",
        default="Matthew",
        metavar="NAME",
        help="of Polly; offline: espeak-ng; offline:NAME: one of its voices, such as offline:de (default: Matthew)",
    )
    group.add_argument("--engine", choices=ENGINES, default="standard", help="of Polly's voice (default: standard)")
    group.add_argument("--language", default="", metavar="CODE", help="for a voice that speaks several, such as en-IN")
    group.add_argument(
        "--lexicon", action="append", default=[], metavar="NAME", help="pronunciations stored in the region; up to 5"
    )
    group.add_argument("--region", default="", metavar="NAME", help="of AWS (default: as AWS is configured)")
    group.add_argument(
        "--fallback", type=_offline, metavar=OFFLINE, help="say it with this voice where Polly cannot be used"
    )


def _format(name: str) -> Format:
    try:
        return format_of(name)
    except FormatError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _offline(name: str) -> Voice:
    if not Voice(name).offline:
        msg = f"{name!r} is not {OFFLINE} or {OFFLINE}:NAME"
        raise argparse.ArgumentTypeError(msg)
    return Voice(name)


def _silence(text: str) -> tuple[float, float]:
    before, comma, after = text.partition(",")
    try:
        return float(before), float(after if comma else before)
    except ValueError:
        msg = f"{text!r} is not seconds, such as 0.2, or 0.2,0.5 for before and after"
        raise argparse.ArgumentTypeError(msg) from None


def _say(arguments: argparse.Namespace) -> int:
    from edge.speech.cache import cache_folder
    from edge.speech.finish import Finish
    from edge.speech.polly import Polly

    before, after = arguments.silence
    finish = Finish(arguments.format, before, after, arguments.loudness)
    voice = Voice(arguments.voice, arguments.engine, arguments.language, tuple(arguments.lexicon))
    polly = Polly(arguments.region, cache_folder(arguments.cache))
    if arguments.batch:
        from .say_batch import say_batch

        return say_batch(arguments, voice, finish, polly)
    return _say_one(arguments, voice, finish, polly)


def _say_one(arguments: argparse.Namespace, voice: Voice, finish: Finish, polly: Polly) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from edge.speech.finish import finished
    from edge.speech.say import planned, say

    text, ssml = _text(arguments)
    rate_hz = finish.format.rate_hz
    if arguments.dry_run:
        requests, billed = planned(text, voice, rate_hz, polly=polly, ssml=ssml)
        return tell_plan(arguments, prompts=1, requests=requests, billed=billed)
    _check_target(arguments.out)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("pieces", total=None)

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        said = say(text, voice, rate_hz, polly=polly, ssml=ssml, fallback=arguments.fallback, progress=progress)
    speech, data = finished(said.speech, finish)
    _write(arguments.out, data)
    _tell(arguments, said, speech)
    return 0


def _tell(arguments: argparse.Namespace, said: Said, heard: Speech) -> None:
    from edge.speech.levels import loudness_lufs, peak_dbfs

    if said.instead_of:
        sys.stderr.write(f"touchline: {said.instead_of}; said by the offline voice instead\n")
    cost = f"; {said.billed} characters billed" if said.requests else "; from the cache" if said.kept else ""
    what = f"{arguments.out}: {heard.seconds:.2f} s, {arguments.format}, {said.voice}{cost}\n"
    (sys.stderr if arguments.out == STANDARD else sys.stdout).write(what)
    if arguments.json is not None:
        figures = {
            "file": arguments.out,
            "format": str(arguments.format),
            "seconds": heard.seconds,
            "loudness_lufs": loudness_lufs(heard),
            "peak_dbfs": peak_dbfs(heard),
            "voice": said.voice.name,
            "instead_of": said.instead_of,
            "requests": said.requests,
            "billed": said.billed,
            "kept": said.kept,
        }
        write_json(arguments.json, figures)


def tell_plan(arguments: argparse.Namespace, *, prompts: int, requests: int, billed: int) -> int:
    """Tell what it would cost."""
    sys.stdout.write(f"prompts: {prompts}; Polly would bill {billed} characters in {requests} requests\n")
    write_json(arguments.json, {"prompts": prompts, "requests": requests, "billed": billed})
    return 0


def _text(arguments: argparse.Namespace) -> tuple[str, bool | None]:
    """Find the text, and whether it is SSML: None where it has to be found out."""
    from pathlib import Path

    from edge.voice import VoiceError

    ssml = False if arguments.plain else None
    if arguments.text is not None and arguments.text != STANDARD:
        return arguments.text, ssml
    source = arguments.ssml if arguments.ssml is not None else STANDARD
    ssml = True if arguments.ssml is not None else ssml
    try:
        if source == STANDARD:
            return sys.stdin.buffer.read().decode(), ssml
        return Path(source).read_text(encoding="utf-8"), ssml
    except OSError as error:
        msg = f"{source}: cannot be read ({(error.strerror or str(error)).lower()})"
        raise VoiceError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{source if source != STANDARD else 'standard input'}: is not UTF-8 (byte {error.start})"
        raise VoiceError(msg) from None


def _check_target(out: str) -> None:
    """Refuse before anything is paid for what could not be written afterwards."""
    from pathlib import Path

    from edge.voice import VoiceError

    if out == STANDARD:
        if sys.stdout.isatty():
            msg = "-o -: a terminal cannot play sound; send it into a file or a program, such as | aplay"
            raise VoiceError(msg)
    elif not Path(out).absolute().parent.is_dir() or Path(out).is_dir():
        msg = f"{out}: cannot be written ({'is a folder' if Path(out).is_dir() else 'no such folder'})"
        raise VoiceError(msg)


def _write(out: str, data: bytes) -> None:
    from edge.sinks import SinkError
    from edge.speech.wav import write_sound

    try:
        if out == STANDARD:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            write_sound(out, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        msg = f"{out}: cannot be written ({(error.strerror or str(error)).lower()})"
        raise SinkError(msg) from None
