"""Recordings that lie elsewhere, fetched for as long as they are read: http(s) and S3.

A fetched file is its own lock: who downloads it holds it alone, who reads it shares it, and the system lets go of
what a killed process held. A download goes into NAME.part and is gone on with after an interruption where the server
says, by the version kept in NAME.tag, that the file is still the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from edge.sources import SourceError

from .atomic import write_atomically
from .bodies import PassingError, RestartError, ask, without_secrets
from .recordings import REMOTE

ATTEMPTS = 5
"""How many in a row may bring nothing."""
FIRST_WAIT_SECONDS = 0.5
"""Before the second attempt; doubled before each further one, and up to half of it taken off at random."""
_LOOK_SECONDS = 0.1
"""How often a process looks whether another has finished a download."""
_VIDEO_SITES = re.compile(r"(.+\.)?(youtube\.com|youtu\.be|youtube-nocookie\.com|vimeo\.com|dailymotion\.com)")


def local_file(uri: str, cache: Path) -> Path:
    """Give a recording as a local file: its own, or one fetched into `cache`, which stays there.

    What is in `cache` is not compared with the server again. Errors are those of `fetched`.
    """
    with fetched(uri, cache, keep=True) as file:
        return file


@contextmanager
def fetched(uri: str, cache: Path, *, keep: bool = False) -> Iterator[Path]:
    """Give a recording as a local file: its own, or one fetched into `cache`, which is removed afterwards.

    Several processes may ask for the same recording: one fetches it, and removes it, unless `keep`, when the last is
    done. SourceError where the recording cannot be had, OSError where `cache` cannot be written.
    """
    if not uri.startswith(REMOTE):
        yield Path(uri)
        return
    _refuse_pages(uri)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}{_ending(uri)}"
    file, own = _hold(uri, path)
    with file:
        try:
            yield path
        finally:
            if own and not keep:
                fcntl.flock(file, fcntl.LOCK_EX)
                path.unlink(missing_ok=True)


def _refuse_pages(uri: str) -> None:
    if uri.startswith("s3://"):
        return
    try:
        host = urlsplit(uri).hostname or ""
    except ValueError as error:
        msg = f"{uri}: is no address ({error})"
        raise SourceError(msg) from None
    if not host:
        msg = f"{uri}: is no address (it names no server)"
        raise SourceError(msg)
    if _VIDEO_SITES.fullmatch(host):
        msg = f"{uri}: Touchline does not download from video sites; give a file, or the address of a media file"
        raise SourceError(msg)


def _ending(uri: str) -> str:
    """The ending of the file's name, by which some formats are known."""
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", without_secrets(uri))
    return found[0] if found else ""


def _hold(uri: str, path: Path) -> tuple[IO[bytes], bool]:
    """Open a recording's file to share it, after fetching it if nobody has; say whether it was fetched here."""
    part = path.with_name(f"{path.name}.part")
    while True:
        file = _locked(path, "rb", fcntl.LOCK_SH)
        if file is not None:
            return file, False
        file = _locked(part, "ab", fcntl.LOCK_EX | fcntl.LOCK_NB)
        if file is None:
            time.sleep(_LOOK_SECONDS)
            continue
        with _closed_on_failure(file):
            if not path.exists():
                _download(uri, file, part)
                part.rename(path)
                fcntl.flock(file, fcntl.LOCK_SH)
                return file, True
            part.unlink()  # another process was quicker, and this one is new and empty
        file.close()


def _locked(path: Path, mode: str, how: int) -> IO[bytes] | None:
    """Open and lock a file; None where it is not there, is held by another, or was renamed or removed meanwhile."""
    try:
        file: IO[bytes] = path.open(mode)
    except FileNotFoundError:
        return None
    with _closed_on_failure(file):
        try:
            fcntl.flock(file, how)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
    file.close()
    return None


@contextmanager
def _closed_on_failure(file: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):  # a full disk refuses once more what is still to be written
            file.close()
        raise


def _download(uri: str, file: IO[bytes], part: Path) -> None:
    """Fill `file`, which is `part`, from where it ends; wait out what may pass."""
    tag = part.with_suffix(".tag")
    furthest, failures = _size(file), 0
    while True:
        try:
            _go_on(uri, file, tag)
        except PassingError as error:
            if isinstance(error, RestartError):
                file.truncate(0)
            size = _size(file)
            failures = 0 if size > furthest else failures + 1
            furthest = max(furthest, size)
            if failures == ATTEMPTS:
                msg = f"{without_secrets(uri)}: not fetched in {ATTEMPTS} attempts; the last: {error}"
                raise SourceError(msg) from None
            time.sleep(FIRST_WAIT_SECONDS * 2 ** max(0, failures - 1) * random.uniform(0.5, 1))  # noqa: S311 - no secret
        except SourceError:
            if _size(file) == 0:
                part.unlink()
                tag.unlink(missing_ok=True)
            raise
        except OSError as error:  # the disk's, for the network's are none here
            raise OSError(error.errno, error.strerror, str(part)) from None
        else:
            tag.unlink()
            return


def _go_on(uri: str, file: IO[bytes], tag: Path) -> None:
    """Try once to get what is missing; PassingError where not all of it came."""
    have = _size(file)
    version = tag.read_text(encoding="utf-8") if have and tag.exists() else ""
    body = ask(uri, have if version else 0, version)
    if body.start == 0:
        file.truncate(0)
        write_atomically(tag, body.version.encode())
    for chunk in body.chunks():
        file.write(chunk)
    size = _size(file)
    if body.size is not None and size != body.size:
        msg = f"{size} of {body.size} bytes came"
        raise PassingError(msg) if size < body.size else RestartError(msg)


def _size(file: IO[bytes]) -> int:
    file.flush()
    return os.fstat(file.fileno()).st_size
