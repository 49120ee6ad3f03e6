"""Recordings that lie elsewhere, fetched for as long as they are read: http(s) and S3."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from edge.sources import SourceError

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 20
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that another attempt may not meet again."""


def is_remote(uri: str) -> bool:
    """Say whether a recording lies elsewhere."""
    return uri.startswith(("http://", "https://", "s3://"))


@contextmanager
def fetched(uri: str, cache: Path) -> Iterator[Path]:
    """Give a recording as a local file: its own, or one fetched into `cache`, which is removed afterwards.

    What an interruption left of a download is gone on with. SourceError where the recording cannot be had.
    """
    if not is_remote(uri):
        yield Path(uri)
        return
    cache.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(uri.encode()).hexdigest()[:16] + PurePosixPath(urlsplit(uri).path).suffix
    with (cache / f"{name}.part").open("a+b") as part:
        fcntl.flock(part, fcntl.LOCK_EX)  # the same recording may be listed twice, under two names
        (_from_s3 if uri.startswith("s3://") else _from_http)(uri, part, cache / f"{name}.tag")
        file = cache / f"{name}"
        Path(part.name).rename(file)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
        (cache / f"{name}.tag").unlink(missing_ok=True)


def _from_http(uri: str, part: IO[bytes], tag: Path) -> None:
    """Append to `part` until it is whole; `tag` remembers of which version of the file it is."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if _get(uri, part, tag):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # the file has become shorter
                part.truncate(0)
            elif error.code not in PASSING:
                msg = f"{uri}: the server says {error.code} {error.reason}"
                raise SourceError(msg) from None
            reason = f"the server says {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        if attempt < ATTEMPTS:
            time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
    msg = f"{uri}: not fetched in {ATTEMPTS} attempts; the last: {reason}"
    raise SourceError(msg)


def _get(uri: str, part: IO[bytes], tag: Path) -> bool:
    """Go on with a download; say whether it is whole now."""
    have = part.seek(0, 2)
    version = json.loads(tag.read_text()) if have and tag.is_file() else None
    headers = {"Range": f"bytes={have}-", "If-Range": version} if version else {}
    with urllib.request.urlopen(urllib.request.Request(uri, headers=headers), timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http(s) alone comes here
        if answer.headers.get_content_type() == "text/html":
            msg = f"{uri}: is a web page, not a recording; give the address of a media file, or a file"
            raise SourceError(msg)
        if answer.status != http.client.PARTIAL_CONTENT:
            part.truncate(0)
            tag.write_text(json.dumps(answer.headers.get("ETag") or answer.headers.get("Last-Modified")))
        begun = part.seek(0, 2)
        while chunk := answer.read(CHUNK):
            part.write(chunk)
        part.flush()
        length = answer.headers.get("Content-Length")
        return length is None or part.tell() - begun == int(length)


def _from_s3(uri: str, part: IO[bytes], _: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(uri)
    part.truncate(0)
    try:
        s3_client().download_fileobj(place.netloc, place.path.lstrip("/"), part)
    except ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        msg = f"{uri}: S3 says {code} {text}".rstrip()
        raise SourceError(msg) from None
    except BotoCoreError as error:
        msg = f"{uri}: {str(error).rstrip('.').lower()}"
        raise SourceError(msg) from None
    part.flush()


@lru_cache(1)
def s3_client() -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """Give this process's S3 client; it retries by itself."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": ATTEMPTS}))
