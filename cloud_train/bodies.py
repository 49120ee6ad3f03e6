"""What servers send of a recording, from its start or from where a download stopped: HTTP and S3."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException, HTTPResponse, InvalidURL
from socket import EAI_AGAIN, gaierror
from ssl import SSLCertVerificationError
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from edge import __version__
from edge.sources import SourceError

TIMEOUT_SECONDS = 30
CHUNK = 1 << 16
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that another attempt may not meet again."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")


class PassingError(Exception):
    """A failure that another attempt may not meet again; what came so far is good."""


class RestartError(PassingError):
    """What came so far does not go with what the server has: another attempt must begin anew."""


@dataclass(frozen=True)
class Body:
    """The bytes of a file from `start` on; `size` is that of the whole file, None where the server does not say.

    By `version` the server can be asked for the rest of the same file; empty where it does not tell versions apart.
    `errors` are what reading `stream` may raise.
    """

    start: int
    size: int | None
    version: str
    stream: Any  # http.client.HTTPResponse, or botocore's StreamingBody
    errors: tuple[type[Exception], ...]

    def chunks(self) -> Iterator[bytes]:
        """Read to the end; PassingError where the connection breaks."""
        try:
            while chunk := self.stream.read(CHUNK):
                yield chunk
        except self.errors as error:
            raise PassingError(_reason(error)) from None
        finally:
            self.stream.close()


def ask(uri: str, start: int, version: str) -> Body:
    """Ask for a file from byte `start` on if it is still of this version, else for the whole.

    SourceError where another attempt would be in vain.
    """
    return _ask_s3(uri, start, version) if uri.startswith("s3://") else _ask_http(uri, start, version)


def without_secrets(uri: str) -> str:
    """Give an address without user, password and query, which may be a signature."""
    if uri.startswith("s3://"):
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _ask_http(uri: str, start: int, version: str) -> Body:
    headers = {"User-Agent": f"touchline/{__version__}"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    request = Request(quote(uri, safe="%/:=&?~#+!$,;'@()*[]"), headers=headers)  # noqa: S310 - http(s) alone comes here
    try:
        response = urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310 - as above
    except HTTPError as error:
        error.close()
        raise _refusal(uri, error.code, f"the server says {error.code} {error.reason}") from None
    except InvalidURL as error:
        msg = f"{without_secrets(uri)}: is no address ({error})"
        raise SourceError(msg) from None
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise _unreached(uri, error) from None
    return _http_body(uri, response, start, version)


def _refusal(uri: str, status: int, text: str) -> Exception:
    if status in {412, 416}:  # the file is another, or shorter
        return RestartError(text)
    return PassingError(text) if status in PASSING else SourceError(f"{without_secrets(uri)}: {text}")


def _unreached(uri: str, error: Exception) -> Exception:
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    no_such_host = isinstance(cause, gaierror) and cause.errno != EAI_AGAIN
    if no_such_host or isinstance(cause, SSLCertVerificationError):
        return SourceError(f"{without_secrets(uri)}: {_reason(cause)}")
    return PassingError(_reason(cause))


def _http_body(uri: str, response: HTTPResponse, start: int, version: str) -> Body:
    headers, errors = response.headers, (OSError, HTTPException)
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        response.close()
        msg = f"{without_secrets(uri)}: is a web page, not a recording; give the address of a media file, or a file"
        raise SourceError(msg)
    etag = headers["ETag"] or ""
    found = etag if etag.startswith('"') else headers["Last-Modified"] or ""  # a weak ETag, W/"...", is no good here
    if response.status != 206:
        return Body(0, response.length, found, response, errors)
    sent = _CONTENT_RANGE.fullmatch(headers["Content-Range"] or "")
    if sent is None or int(sent[1]) != start or (found and found != version):
        response.close()
        msg = "the server sent another part than the one asked for"
        raise RestartError(msg)
    return Body(start, None if sent[2] == "*" else int(sent[2]), version, response, errors)


@lru_cache(1)
def s3_client(_process: int) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """Give the S3 client of this process; one that was forked needs its own. It leaves retries to its caller."""
    from boto3.session import Session
    from botocore.config import Config

    settings = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=TIMEOUT_SECONDS)
    return Session().client("s3", config=settings)


def _ask_s3(uri: str, start: int, version: str) -> Body:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
    from urllib3.exceptions import HTTPError as BrokenError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    rest = {"Range": f"bytes={start}-", "IfMatch": version} if start else {}
    try:
        answer = s3_client(os.getpid()).get_object(Bucket=bucket, Key=key, **rest)
    except ClientError as error:
        status, told = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]
        text = f"S3 says {status} {told['Code']} {told.get('Message', '')}".rstrip(" .")
        raise _refusal(uri, status, text) from None
    except ParamValidationError:
        msg = f"{uri}: names no object; an address is s3://BUCKET/KEY"
        raise SourceError(msg) from None
    except NoCredentialsError:
        msg = f"{uri}: no AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise SourceError(msg) from None
    except (BotoCoreError, ValueError) as error:
        raise _s3_unreached(uri, error) from None
    size = start + answer["ContentLength"]
    return Body(start, size, answer["ETag"], answer["Body"], (BotoCoreError, BrokenError, OSError))


def _s3_unreached(uri: str, error: Exception) -> Exception:
    from botocore.exceptions import ConnectionError as UnreachedError
    from botocore.exceptions import HTTPClientError

    text = " ".join(str(error).rstrip(".").split())
    return PassingError(text) if isinstance(error, UnreachedError | HTTPClientError) else SourceError(f"{uri}: {text}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
