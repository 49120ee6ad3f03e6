"""Many prompts into a folder: side by side, each paid for once, and going on where it was killed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from edge.voice import VoiceError

from .cache import cache_key
from .finish import Finish, finished
from .polly import Polly
from .prompts import Failure, Prompt, PromptsError
from .refusals import UnavailableError
from .say import PARALLEL, Said, say
from .voices import Voice
from .wav import write_sound

JOURNAL = ".touchline-say.jsonl"
"""In the folder: for each prompt that is there, what it was made of."""


@dataclass
class Outcome:
    """What became of a batch: how many were made, how many `kept` as they were; what Polly was asked and billed.

    `instead` counts those the offline voice said instead, `instead_of` says why. `stopped` says why the rest were not
    tried; empty: all were.
    """

    made: int = 0
    kept: int = 0
    requests: int = 0
    billed: int = 0
    instead: int = 0
    instead_of: str = ""
    stopped: str = ""
    failures: list[Failure] = field(default_factory=list)


def run_batch(
    prompts: Sequence[Prompt],
    folder: str | Path,
    finish: Finish,
    *,
    polly: Polly | None,
    fallback: Voice | None = None,
    parallel: int = PARALLEL,
    progress: Callable[[], None] = lambda: None,
) -> Outcome:
    """Make each prompt that is not there as it should be; a bad one does not stop the others.

    Raises PromptsError if the folder cannot be written or another run writes into it.
    """
    outcome = Outcome()
    with _journal(Path(folder)) as (journal, known), ThreadPoolExecutor(parallel) as pool:
        waiting: dict[Future[Said], Prompt] = {}
        for prompt in prompts:
            file = Path(folder) / f"{prompt.id}{finish.format.suffix}"
            if known.get(file.name) == _made_of(prompt, finish) and file.is_file():
                outcome.kept += 1
                progress()
            else:
                waiting[pool.submit(_make, prompt, file, finish, polly, fallback=fallback)] = prompt
        try:
            for done in as_completed(waiting):
                _take(done, waiting[done], outcome, finish, journal)
                progress()
        finally:
            pool.shutdown(cancel_futures=True)
    return outcome


def _make(prompt: Prompt, file: Path, finish: Finish, polly: Polly | None, *, fallback: Voice | None) -> Said:
    said = say(prompt.text, prompt.voice, finish.format.rate_hz, polly=polly, ssml=prompt.ssml, fallback=fallback)
    write_sound(file, finished(said.speech, finish)[1])
    return said


def _take(done: Future[Said], prompt: Prompt, outcome: Outcome, finish: Finish, journal: IO[str]) -> None:
    try:
        said = done.result()
    except UnavailableError as error:
        outcome.stopped = str(error)
    except VoiceError as error:
        outcome.failures.append(Failure(prompt.line, prompt.id, str(error)))
    except OSError as error:
        outcome.failures.append(Failure(prompt.line, prompt.id, f"cannot be written ({error.strerror or error})"))
    else:
        outcome.made += 1
        outcome.requests += said.requests
        outcome.billed += said.billed
        if said.instead_of:  # not what was asked for: the next run tries again
            outcome.instead, outcome.instead_of = outcome.instead + 1, said.instead_of
        else:
            entry = {"file": f"{prompt.id}{finish.format.suffix}", "made_of": _made_of(prompt, finish)}
            journal.write(json.dumps(entry) + "\n")
            journal.flush()


def _made_of(prompt: Prompt, finish: Finish) -> str:
    return cache_key([prompt.text, prompt.ssml, asdict(prompt.voice), asdict(finish)])


@contextmanager
def _journal(folder: Path) -> Iterator[tuple[IO[str], dict[str, str]]]:
    """Open the folder's journal for this process alone, and read which file was made of what; torn lines are none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journal = (folder / JOURNAL).open("a+", encoding="utf-8")
    except OSError as error:
        msg = f"folder {folder}: cannot be written ({(error.strerror or str(error)).lower()})"
        raise PromptsError(msg) from None
    with journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"folder {folder}: another run writes into it"
            raise PromptsError(msg) from None
        for unfinished in folder.glob(".*.part"):  # of a run that was killed
            unfinished.unlink(missing_ok=True)
        journal.seek(0)
        lines = journal.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            journal.write("\n")
        yield journal, dict(_entries(lines))


def _entries(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        try:
            entry = json.loads(line)
            yield entry["file"], entry["made_of"]
        except (ValueError, TypeError, KeyError):
            continue
