"""What surrounds the work of a step: outputs that exist are kept, and the run's log says what happened.

Where the environment names a store, as a run on this machine does, the outputs of a step lie there under the hash of
what went into them: its inputs' contents, its parameters and this code. On a cluster Kubeflow's cache does that.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloud_train.atomic import write_atomically
from cloud_train.provenance import PIPELINE_RUN

STORE, LOG, RUNNER = "TOUCHLINE_STORE", "TOUCHLINE_RUN_LOG", "TOUCHLINE_RUNNER"
"""Environment variables: the folder of kept outputs, the run's log of steps, the process with which a step ends."""
RECORD = "step.json"
RUN = "pipeline_run"
"""The parameter of a step that is told the name of the run."""
STOP = "stop"
"""A file beside the log: no step begins any more."""


Work = Callable[..., Any]


def step(title: str, *outputs: str, kept: bool = True, always: bool = False) -> Callable[[Work], Work]:
    """Make a step of a function that takes keywords; `outputs` names artifacts, `title` may hold `{parameters}`.

    A parameter `pipeline_run` does not count among what goes in. `always`: also once a stop was asked for.
    """

    def wrap(work: Work) -> Work:
        @functools.wraps(work)
        def run(**given: Any) -> Any:  # noqa: ANN401 - whatever the step returns
            name = title.format(**given)
            _end_with_runner()
            made = {output: given[output] for output in outputs}
            with _Told(name, made, always=always) as told:
                if RUN in given:  # Kubeflow's name, where the runner has not given one
                    os.environ.setdefault(PIPELINE_RUN, given[RUN])
                    given[RUN] = os.environ[PIPELINE_RUN]
                store = os.environ.get(STORE)
                if store and kept:
                    put_in = {key: value for key, value in given.items() if key not in (*outputs, RUN)}
                    return told.kept(Path(store) / _key(name, put_in), functools.partial(work, **given))
                result = work(**given)
                for artifact in made.values():
                    _sign(artifact)
                return result

        return run

    return wrap


class _Told:
    """The log's account of one step, from its beginning to its end."""

    def __init__(self, name: str, made: Mapping[str, Any], *, always: bool) -> None:
        self._name, self._made, self._always = name, made, always
        self._how, self._key = "done", ""

    def __enter__(self) -> _Told:  # noqa: PYI034 - Self is Python 3.11's
        log = os.environ.get(LOG)
        if log and not self._always and (Path(log).parent / STOP).exists():
            tell(self._name, "skipped", reason="the run was stopped")
            raise SystemExit(1)
        tell(self._name, "started")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            tell(self._name, "failed", reason=_reason(error))
            return
        outputs = {name: {"path": a.path, "metadata": dict(a.metadata)} for name, a in self._made.items()}
        tell(self._name, self._how, key=self._key, outputs=outputs)

    def kept(self, place: Path, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the step returns
        """Take the outputs from `place`, or make them beside it, where a killed step goes on, and move them there."""
        self._key = place.name[:12]
        if (place / RECORD).is_file():
            self._how = "kept"
            return self._taken(place)
        scratch = place.with_name(f".{place.name}")
        scratch.mkdir(parents=True, exist_ok=True)
        for name, artifact in self._made.items():
            artifact.path = str(scratch / name)
        result = work()
        for artifact in self._made.values():
            _sign(artifact)
        metadata = {name: dict(artifact.metadata) for name, artifact in self._made.items()}
        write_atomically(scratch / RECORD, json.dumps({"result": result, "metadata": metadata}).encode())
        shutil.rmtree(place, ignore_errors=True)
        scratch.rename(place)
        return self._taken(place)

    def _taken(self, place: Path) -> Any:  # noqa: ANN401 - what the step returned
        record = json.loads((place / RECORD).read_bytes())
        for name, artifact in self._made.items():
            artifact.path = str(place / name)
            artifact.metadata.update(record["metadata"][name])
        return record["result"]


def tell(name: str, state: str, **more: Any) -> None:  # noqa: ANN401 - what JSON holds
    """Add a line about a step to the run's log, if there is one; one write, so that lines of two steps never mix."""
    log = os.environ.get(LOG)
    if log:
        line = json.dumps({"step": name, "state": state, "at": time.time(), **more}) + "\n"
        with Path(log).open("ab", buffering=0) as file:
            file.write(line.encode())


def _reason(error: BaseException) -> str:
    from cloud_train.stop import Stopped

    if isinstance(error, KeyboardInterrupt | Stopped):
        return str(error) or "stopped as asked"
    known = type(error).__module__.partition(".")[0] in ("cloud_train", "edge")
    return " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())


def _key(name: str, put_in: Mapping[str, Any]) -> str:
    parts = {key: _identity(value) for key, value in put_in.items()}
    return hashlib.sha256(json.dumps([name, parts, code_sha256()], sort_keys=True).encode()).hexdigest()


def _identity(value: Any) -> Any:  # noqa: ANN401 - an artifact or a parameter, or a list of them
    if isinstance(value, list):
        return [_identity(one) for one in value]
    if hasattr(value, "metadata"):
        return value.metadata.get("sha256") or tree_sha256(Path(value.path))
    if isinstance(value, str) and value and Path(value).exists():  # a place counts by what lies there
        return [value, _stamps(Path(value))]
    return value


def _stamps(place: Path) -> str:
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    stamps = [(str(f.relative_to(place)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()


def _sign(artifact: Any) -> None:  # noqa: ANN401 - an artifact of kfp's
    """Let an artifact say what it holds, so that whatever is made of the same is found again."""
    place = Path(artifact.path)
    if place.exists():
        artifact.metadata["sha256"] = tree_sha256(place)


def tree_sha256(place: Path) -> str:
    """Hash a file, or the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for file in [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(place)}\0".encode())
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@functools.cache
def code_sha256() -> str:
    """Hash the code of both packages: what other code made is not what this code would make."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for package in ("cloud_train", "edge"):
        for file in sorted((root / package).rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _end_with_runner() -> None:
    """End when the process that runs the pipeline is gone, however it ended: the next run begins this step again."""
    import threading

    runner = os.environ.get(RUNNER)

    def watch() -> None:
        while Path(f"/proc/{runner}").exists():
            time.sleep(0.5)
        os._exit(1)

    if runner:
        threading.Thread(target=watch, daemon=True).start()
