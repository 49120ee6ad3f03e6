"""Speech that was paid for once is kept: a folder of WAV files named by what was asked for."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import wave
from pathlib import Path

import numpy as np

from edge.voice import Speech, VoiceError

NO_CACHE = "none"

log = logging.getLogger(__name__)


def cache_folder(named: str = "") -> Path | None:
    """Find the folder: the one named, none for `none`, or `touchline/speech` in XDG_CACHE_HOME. VoiceError."""
    if named == NO_CACHE:
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = Path(named).expanduser() if named else home / "touchline" / "speech"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cache {folder}: cannot be made ({(error.strerror or str(error)).lower()}); name another, or none"
        raise VoiceError(msg) from None
    return folder


def cache_key(asked: object) -> str:
    """Name what was asked for: the same for the same."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def kept(folder: Path | None, key: str) -> Speech | None:
    """Find speech; what is damaged counts as not there."""
    if folder is None:
        return None
    try:
        with wave.open(str(_file(folder, key))) as file:
            data = file.readframes(file.getnframes())
            if not data or len(data) != 2 * file.getnframes():
                return None
            return Speech(np.frombuffer(data, "<i2").astype(np.int16), file.getframerate())
    except (OSError, EOFError, wave.Error):
        return None


def keep(folder: Path | None, key: str, speech: Speech) -> None:
    """Keep speech; that it cannot be kept is logged, as the speech itself is there."""
    if folder is None:
        return
    try:
        _file(folder, key).parent.mkdir(mode=0o700, exist_ok=True)
        speech.write(_file(folder, key))
    except OSError as error:
        log.warning("cache %s: cannot be written (%s)", folder, (error.strerror or str(error)).lower())


def _file(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.wav"
