"""Recordings to S3, and a bundle back."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Any

from edge.bundle import Bundle

from .aws import Aws, CloudError, S3Address
from .progress import track

THREADS = 8


def upload(aws: Aws, folder: Path, to: S3Address) -> S3Address:
    """Upload a folder below `to`, but for what is there already; return the address of a list of exactly its files.

    That list is a SageMaker ManifestFile: a file that was uploaded once and then deleted here is not in it.
    """
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    there = _sizes(aws, to)
    pool = ThreadPoolExecutor(THREADS)
    try:
        jobs = [pool.submit(_upload_one, aws, folder / name, to / name, there) for name in names]
        for job in track(as_completed(jobs), f"uploading to {to}", len(jobs)):
            job.result()
    finally:
        pool.shutdown(cancel_futures=True)
    listing = json.dumps([{"prefix": f"{to}/"}, *names]).encode()
    listed = S3Address(to.bucket, f"{to.key}-{hashlib.sha256(listing).hexdigest()[:12]}.manifest")
    aws.s3.put_object(Bucket=listed.bucket, Key=listed.key, Body=listing)
    return listed


def _sizes(aws: Aws, prefix: S3Address) -> dict[str, int]:
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=f"{prefix.key}/")
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}


def _upload_one(aws: Aws, path: Path, to: S3Address, there: dict[str, int]) -> None:
    sha256 = _sha256(path)
    if there.get(to.key) == path.stat().st_size and _hash(aws, to) == sha256:
        return
    with path.open("rb") as file:  # in parts where it is large
        aws.s3.upload_fileobj(file, to.bucket, to.key, ExtraArgs={"Metadata": {"sha256": sha256}})


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _hash(aws: Aws, address: S3Address) -> Any:  # noqa: ANN401 - text, or None where another program uploaded it
    return aws.s3.head_object(Bucket=address.bucket, Key=address.key)["Metadata"].get("sha256")


def fetch(aws: Aws, archive: S3Address, out: Path) -> Bundle:
    """Download a job's model.tar.gz, unpack it, verify that it is a bundle, and put it at `out`, whole or not at all.

    Members that would land outside, links to outside and devices are refused by tarfile's `data` filter.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        packed, staged = Path(scratch) / "model.tar.gz", Path(scratch) / "new"
        staged.mkdir(mode=0o755)
        with packed.open("wb") as file:
            aws.s3.download_fileobj(archive.bucket, archive.key, file)
        unpacked(packed, staged, str(archive))
        Bundle.load(staged)
        if out.exists():
            out.rename(Path(scratch) / "old")
        staged.rename(out)
    return Bundle.load(out)


def unpacked(packed: Path, folder: Path, what: str) -> None:
    """Unpack a model.tar.gz of plain files into a folder; CloudError where it is none."""
    try:
        with tarfile.open(packed, "r:gz") as tar:
            _unpack(tar, folder)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        msg = f"{what}: cannot be unpacked ({error})"
        raise CloudError(msg) from None


def _unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Write an archive's files into `folder`; TarError where a member is no plain file of a flat folder.

    Python's own filter for this is missing before 3.10.12 and 3.11.4.
    """
    for member in tar:
        name = PurePosixPath(member.name)
        if member.isdir() and len(name.parts) == 0:
            continue
        content = tar.extractfile(member) if member.isreg() and len(name.parts) == 1 and name.name != ".." else None
        if content is None:
            msg = f"{member.name!r} is no file of a bundle"
            raise tarfile.TarError(msg)
        with content, (folder / name.name).open("wb") as file:
            shutil.copyfileobj(content, file)
